// What several actions and the window itself have to do.
#include "viz/actions/workbench.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "viz/render/theme.h"

namespace reattend::viz {

void Workbench::open(const std::filesystem::path& path) {
  files.add({path});
  files.update(session);
}

void Workbench::set_light(bool light) {
  view.light = light;
  apply_theme(light);
}

Panel& Workbench::panel(const std::string& name, const std::string& where) const {
  for (const auto& each : panels) {
    if (name == each->name()) return *each;
  }
  fail_usage({.where = where,
              .expected = fmt::format("one of {}", fmt::join(panel_names(*this), ", ")),
              .got = "\"" + name + "\""});
}

void Workbench::show(Panel& panel) {
  panel.open = true;
  front = panel.name();
}

std::vector<std::string> panel_names(const Workbench& bench) {
  std::vector<std::string> names;
  for (const auto& each : bench.panels) names.emplace_back(each->name());
  return names;
}

}  // namespace reattend::viz
