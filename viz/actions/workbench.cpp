// What several actions and the window itself have to do.
#include "viz/actions/workbench.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "viz/render/theme.h"

namespace reattend::viz {

void Workbench::set_light(bool light) {
  view.light = light;
  apply_theme(light);
}

Panel& Workbench::panel(const std::string& name, const std::string& where) const {
  std::string names;
  for (const auto& each : panels) {
    if (name == each->name()) return *each;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", each->name());
  }
  fail_usage({.where = where, .expected = "one of " + names, .got = "\"" + name + "\""});
}

void Workbench::show(Panel& panel) {
  panel.open = true;
  front = panel.name();
}

}  // namespace reattend::viz
