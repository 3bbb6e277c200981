// Writes a chart as SVG itself and leaves pixels to librsvg's program, so that nothing here links a renderer.
#include "report/chart_file.h"

#include <fstream>

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/subprocess.h"
#include "base/temporary_folder.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRenderer = "rsvg-convert";
constexpr const char* kRemedy = "install the package librsvg2-bin, or name the chart .svg";

bool is_png(const fs::path& path) {
  return path.extension() == ".png";
}

/// Another file than a picture is not replaced, whatever `force` says.
void refuse_to_replace_by_png(const fs::path& path, bool force, const std::string& option) {
  refuse_to_replace(path, force, option);
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return;
  char head[4] = {};
  std::ifstream(path, std::ios::binary).read(head, sizeof head);
  if (std::string_view(head, sizeof head) == "\x89PNG") return;
  fail_usage({.where = path.string(),
              .expected = "no file yet, or a PNG that may be replaced",
              .got = "a file that is none",
              .remedy = "give another " + option});
}

std::string to_png(const Chart& chart, const Cancel& cancel) {
  const TemporaryFolder folder;
  const fs::path svg = folder.path() / "chart.svg", png = folder.path() / "chart.png", log = folder.path() / "log";
  write_text_file(svg, to_svg(chart), true);
  const int status = run_program({.arguments = {kRenderer, "--format", "png", "--zoom", "2", svg.string()},
                                  .out = png,
                                  .errors = log,
                                  .remedy = kRemedy},
                                 cancel);
  cancel.check();
  constexpr size_t kMostBytes = size_t{1} << 28;
  std::string bytes = read_text(png, {.where = kRenderer, .expected = "a PNG of the chart"}, kMostBytes);
  if (status != 0 || !bytes.starts_with("\x89PNG")) {
    fail({.where = kRenderer,
          .expected = "a PNG of the chart",
          .got = fmt::format("exit status {} ({})", status, last_line(log)),
          .remedy = "name the chart .svg"});
  }
  return bytes;
}

}  // namespace

void check_chart_path(const fs::path& path, bool force, const std::string& option) {
  if (path.empty()) return;
  if (!is_png(path) && path.extension() != ".svg") {
    fail_usage({.where = option,
                .expected = "a name that ends in .svg or .png",
                .got = fmt::format("\"{}\"", path.string()),
                .remedy = "the suffix says what is drawn"});
  }
  is_png(path) ? refuse_to_replace_by_png(path, force, option) : refuse_to_replace_by_text(path, force, option);
  check_folder_of(path, option);
  if (is_png(path) && !find_program(kRenderer)) {
    fail({.where = fmt::format("{} {}", option, path.string()),
          .expected = fmt::format("the program {}, which draws PNG", kRenderer),
          .got = "none on PATH",
          .remedy = kRemedy});
  }
}

void write_chart(const Chart& chart, const fs::path& path, bool force, const Cancel& cancel) {
  if (!is_png(path)) return write_text_file(path, to_svg(chart), force);
  WholeFile file(path, force);
  file.write(to_png(chart, cancel));
  file.publish();
}

}  // namespace reattend
