// Names, checks and writes a command's charts in the formats that were asked for.
#include "cli/options/chart_format.h"

#include <fmt/format.h>

#include "base/error.h"
#include "report/chart_file.h"

namespace reattend::cli {

CLI::Option* ChartFormat::add_to(CLI::App& app) {
  return app.add_option("--chart-format", format, "Draw charts as svg, png (by rsvg-convert) or both")
      ->type_name("svg|png|both")
      ->check(CLI::IsMember({"svg", "png", "both"}).description(""))
      ->capture_default_str();
}

std::vector<std::filesystem::path> ChartFormat::files(const std::filesystem::path& folder,
                                                      const std::string& chart) const {
  std::vector<std::filesystem::path> out;
  for (const char* const each : {"svg", "png"}) {
    if (format == each || format == "both") out.push_back(folder / (chart + "." + each));
  }
  return out;
}

void ChartFormat::check_folder(const std::filesystem::path& folder, const char* option) {
  const std::string extension = folder.extension().string();
  if ((extension != ".svg" && extension != ".png") || std::filesystem::is_directory(folder)) return;
  fail_usage({fmt::format("{} {}", option, folder.string()), "a folder, for there are several charts", "a file's name",
              fmt::format("give a folder{}", extension == ".png" ? ", and --chart-format png" : "")});
}

void ChartFormat::check(const std::filesystem::path& folder, const std::vector<std::string>& charts, bool force) const {
  for (const std::string& chart : charts) {
    for (const std::filesystem::path& file : files(folder, chart)) check_chart_path(file, force, "--chart-format");
  }
}

void ChartFormat::write(const Chart& chart, const std::filesystem::path& folder, const std::string& name, bool force,
                        const Cancel& cancel) const {
  for (const std::filesystem::path& file : files(folder, name)) write_chart(chart, file, force, cancel);
}

}  // namespace reattend::cli
