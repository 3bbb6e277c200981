// `--chart-format svg|png|both`, of commands that draw several charts into a folder under names of their own.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/progress.h"
#include "report/chart.h"

namespace reattend::cli {

struct ChartFormat {
  std::string format = "svg";

  CLI::Option* add_to(CLI::App& app);
  /// A chart's file in each format, the one to show beside text first.
  std::vector<std::filesystem::path> files(const std::filesystem::path& folder, const std::string& chart) const;
  /// Throws Error (usage) for a folder that is called like one chart's file and is not there.
  static void check_folder(const std::filesystem::path& folder, const char* option);
  /// As check_chart_path() for all of them; the folder must be there.
  void check(const std::filesystem::path& folder, const std::vector<std::string>& charts, bool force) const;
  void write(const Chart& chart, const std::filesystem::path& folder, const std::string& name, bool force,
             const Cancel& cancel) const;
};

}  // namespace reattend::cli
