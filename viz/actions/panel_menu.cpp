// Offers what the panel has.
#include "viz/actions/panel_menu.h"

#include <system_error>

#include <fmt/format.h>
#include <imgui.h>

#include "base/ascii.h"

namespace reattend::viz {
namespace {

/// "trace-timeline.csv", or with a number where that is there already.
std::string free_name(const Workbench& bench, const Panel& panel, const char* suffix) {
  const std::filesystem::path trace = bench.session.path();
  const std::string stem = fmt::format("{}-{}", trace.stem().string(), ascii_lower(std::string_view(panel.name())));
  std::filesystem::path file = trace.parent_path() / (stem + suffix);
  std::error_code error;
  for (int i = 2; std::filesystem::exists(file, error); ++i) {
    file = trace.parent_path() / fmt::format("{}-{}{}", stem, i, suffix);
  }
  return file.string();
}

Call call(const Actions& actions, const char* name, const Panel& panel, const std::string& file) {
  Call out{&actions.get(name)};
  out.arguments.set("panel", std::string(panel.name()));
  if (!file.empty()) out.arguments.set("file", file);
  return out;
}

}  // namespace

std::optional<Call> draw_panel_menu(const Actions& actions, const Workbench& bench, const Panel& panel) {
  std::optional<Call> chosen;
  if (!ImGui::BeginPopupContextItem()) return chosen;
  if (ImGui::MenuItem("copy numbers")) chosen = call(actions, "panel.copy", panel, {});
  if (ImGui::MenuItem("save numbers as CSV")) {
    chosen = call(actions, "panel.export", panel, free_name(bench, panel, ".csv"));
  }
  if (ImGui::MenuItem("save curves as SVG", nullptr, false, static_cast<bool>(panel.chart()))) {
    chosen = call(actions, "panel.export", panel, free_name(bench, panel, ".svg"));
  }
  if (ImGui::MenuItem("save a picture as PNG", nullptr, false, bench.takes_pictures)) {
    chosen = call(actions, "panel.picture", panel, free_name(bench, panel, ".png"));
  }
  ImGui::EndPopup();
  return chosen;
}

}  // namespace reattend::viz
