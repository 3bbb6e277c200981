// The profile panel: where a step's time goes. No profile is read yet, which it says; what the recording measured of
// its steps' times it shows.
#include <algorithm>
#include <cmath>

#include <implot.h>

#include "base/error.h"
#include "viz/panels/panel.h"
#include "viz/panels/plot_helpers.h"
#include "viz/panels/step_axis.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

class ProfilePanel : public Panel {
 public:
  const char* name() const override { return "Profile"; }
  Dock dock() const override { return Dock::right_top; }
  const char* shows() const override { return "How long each step of the recording took."; }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"step times", [&session] { return times_table(session); }}};
  }
  MakeChart chart() const override { return times_chart; }
  void draw(Session& session, SharedView& view) override;

 private:
  static reattend::Table times_table(const Session& session);
  static reattend::Chart times_chart(const Session& session);
  void draw_times(Session& session, SharedView& view);

  uint64_t trace_version_ = 0;
  double most_ = 1;  ///< ms of the slowest step
};

reattend::Table ProfilePanel::times_table(const Session& session) {
  reattend::Table out = {.name = "step times", .columns = {{.key = "step"}, {.key = "ms"}}};
  for (const double ms : session.trace()->steps.ms) out.rows.push_back({static_cast<int64_t>(out.rows.size()) + 1, ms});
  return out;
}

reattend::Chart ProfilePanel::times_chart(const Session& session) {
  reattend::Series series{.name = "recorded"};
  for (const double ms : session.trace()->steps.ms) {
    series.x.push_back(static_cast<double>(series.x.size()) + 1), series.y.push_back(ms);
  }
  if (series.x.empty()) fail({"Profile", "times of steps", "a trace without any", "record it anew"});
  return {.title = "Times of the recorded steps",
          .subtitle = session.trace()->info.policy_text(),
          .panels = {{.x = {.title = "step", .whole = true}, .y = {.title = "ms"}, .series = {std::move(series)}}}};
}

void ProfilePanel::draw_times(Session& session, SharedView& view) {
  const std::vector<double>& ms = session.trace()->steps.ms;
  const ImVec2 room = ImGui::GetContentRegionAvail();
  if (!ImPlot::BeginPlot("##times", ImVec2(-1, -1),
                         ImPlotFlags_NoTitle | ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText))
    return;
  set_up_step_axis(session.trace()->info, view, StepsGo::across, "step", 0, room.x);
  ImPlot::SetupAxis(ImAxis_Y1, "ms", ImPlotAxisFlags_Lock);
  ImPlot::SetupAxisLimits(ImAxis_Y1, 0, 1.05 * most_, ImPlotCond_Always);
  ImPlotSpec spec;
  spec.LineColor = palette(view.light).kept;
  ImPlot::PlotLine("##ms", ms.data(), static_cast<int>(ms.size()), 1, 1, spec);
  vertical_line(session.selection().step, palette(view.light).cursor);
  draw_step_marks(session, view, StepsGo::across);
  if (ImPlot::IsPlotHovered()) {
    const int32_t step = cell_at(ImPlot::GetPlotMousePos().x);
    if (step >= 1 && step <= static_cast<int32_t>(ms.size())) {
      ImGui::SetTooltip("step %d took %.4g ms", step, ms[static_cast<size_t>(step - 1)]);
    }
  }
  mark_range(session.trace()->info, view, StepsGo::across);
  select_step_by_click(session, view);
  ImPlot::EndPlot();
}

void ProfilePanel::draw(Session& session, SharedView& view) {
  const std::vector<double>& ms = session.trace()->steps.ms;
  ImGui::TextWrapped(
      "docs/profile.md has where a step's instructions, time and bytes go, and the commands that measure them; the "
      "window reads no profiler's numbers yet.");
  if (session.trace()->info.n_step == 0 || ms.empty()) {
    return ImGui::TextDisabled("The recording has no times of steps.");
  }
  if (trace_version_ != session.trace_version()) {
    trace_version_ = session.trace_version();
    most_ = std::max(1e-6, *std::ranges::max_element(ms));
  }
  ImGui::TextDisabled("How long each step took while it was recorded:");
  draw_times(session, view);
}

}  // namespace

std::unique_ptr<Panel> make_profile() {
  return std::make_unique<ProfilePanel>();
}

}  // namespace reattend::viz
