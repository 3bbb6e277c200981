// The list of panels.
#include "viz/panels/panel.h"

namespace reattend::viz {

std::vector<std::unique_ptr<Panel>> make_panels() {
  constexpr std::unique_ptr<Panel> (*kMake[])() = {
      make_tune,  make_trace_info, make_timeline, make_ledger,    make_why_lost, make_heat_map,
      make_heads, make_curves,     make_engine,   make_landscape, make_measured, make_profile,
      make_tried, make_tokens,     make_texts,    make_notes,     make_history};
  std::vector<std::unique_ptr<Panel>> panels;
  for (const auto& make : kMake) panels.push_back(make());
  return panels;
}

}  // namespace reattend::viz
