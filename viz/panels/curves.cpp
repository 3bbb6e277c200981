// The curves panel, of the selected layer: the mass that K positions can hold, and how a kept set ages.
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <imgui.h>
#include <implot.h>

#include "policies/shared_parameters.h"
#include "viz/panels/panel.h"
#include "viz/panels/panel_charts.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/plot_helpers.h"
#include "viz/panels/waiting.h"
#include "viz/render/flow.h"
#include "viz/render/theme.h"
#include "viz/session/curves.h"
#include "viz/session/ledger.h"

namespace reattend::viz {
namespace {

class CurvesPanel : public Panel {
 public:
  const char* name() const override { return "Curves"; }
  Dock dock() const override { return Dock::right_bottom; }
  const char* shows() const override { return "How much of the attention K positions can hold, and how a set ages."; }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    std::vector<PanelTable> both = {{"mass by K", [&session] { return mass_table(session); }},
                                    {"sets by age", [&session] { return ages_table(session); }}};
    if (ages_) std::swap(both[0], both[1]);
    return both;
  }
  MakeChart chart() const override { return curves_chart; }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_mass(const LayerCurves& curves, const SharedView& view, ImVec2 size) const;
  void draw_ages(const Session& session, const LayerCurves& curves, const SharedView& view, ImVec2 size) const;

  bool ages_ = false;  ///< which of the two is shown
};

/// Logarithmic from the first to the last value of a list, both visible; shares upwards.
void set_up(const char* across, const std::vector<int32_t>& values) {
  ImPlot::SetupAxes(across, nullptr);
  ImPlot::SetupAxisScale(ImAxis_X1, ImPlotScale_Log10);
  ImPlot::SetupAxisLimits(ImAxis_X1, values.front() * 0.9, values.back() * 1.1, ImPlotCond_Always);
  ImPlot::SetupAxisLimits(ImAxis_Y1, 0, 1.03, ImPlotCond_Once);
  ImPlot::SetupLegend(ImPlotLocation_South);
}

void plot(const char* label, const std::vector<double>& across, const std::vector<double>& values, ImVec4 color,
          ImPlotMarker marker) {
  ImPlotSpec spec;
  spec.LineColor = color, spec.MarkerFillColor = color, spec.MarkerLineColor = color;
  spec.Marker = marker, spec.MarkerSize = 3, spec.LineWeight = 1.5F;
  spec.Flags = ImPlotLineFlags_SkipNaN;
  ImPlot::PlotLine(label, across.data(), values.data(), static_cast<int>(across.size()), spec);
}

std::vector<double> as_reals(const std::vector<int32_t>& values) {
  return {values.begin(), values.end()};
}

/// The place of the value under the mouse, the nearest on the logarithmic axis.
size_t under_mouse(const std::vector<int32_t>& values) {
  const double x = std::log(std::max(ImPlot::GetPlotMousePos().x, 1e-9));
  size_t best = 0;
  for (size_t i = 1; i < values.size(); ++i) {
    if (std::abs(std::log(values[i]) - x) < std::abs(std::log(values[best]) - x)) best = i;
  }
  return best;
}

void CurvesPanel::draw_mass(const LayerCurves& curves, const SharedView& view, ImVec2 size) const {
  if (!ImPlot::BeginPlot("##mass", size, ImPlotFlags_NoMouseText)) return;
  set_up("K, positions", curves.budgets);
  const std::vector<double> across = as_reals(curves.budgets);
  std::vector<double> mean, low, high;
  for (const Spread& each : curves.mass) {
    mean.push_back(each.mean), low.push_back(each.p05), high.push_back(each.p95);
  }
  const Palette& colors = palette(view.light);
  ImPlotSpec band;
  band.FillColor = colors.kept, band.FillAlpha = 0.25F;
  ImPlot::PlotShaded("5 to 95 % of steps", across.data(), low.data(), high.data(), static_cast<int>(across.size()),
                     band);
  plot("mass of the K best, mean", across, mean, colors.kept, ImPlotMarker_Circle);
  vertical_line(curves.budget, colors.cursor);
  if (ImPlot::IsPlotHovered()) {
    const size_t i = under_mouse(curves.budgets);
    const Spread& at = curves.mass[i];
    ImGui::SetTooltip(
        "K = %d: at best %.4f of the attention, mean over steps and KV heads;\n5 %% of them at most %.4f, "
        "least %.4f",
        curves.budgets[i], at.mean, at.p05, at.min);
  }
  ImPlot::EndPlot();
}

void CurvesPanel::draw_ages(const Session& session, const LayerCurves& curves, const SharedView& view,
                            ImVec2 size) const {
  if (!ImPlot::BeginPlot("##ages", size, ImPlotFlags_NoMouseText)) return;
  set_up("age of the set, steps", curves.lags);
  const std::vector<double> across = as_reals(curves.lags);
  std::vector<double> overlap, attended, stale;
  for (const AgedMeans& each : curves.aged) {
    overlap.push_back(each.overlap), attended.push_back(each.attended), stale.push_back(each.stale);
  }
  const Palette& colors = palette(view.light);
  plot("overlap with the step's own", across, overlap, colors.lost, ImPlotMarker_Square);
  plot("mass, with the tokens since", across, attended, colors.kept, ImPlotMarker_Circle);
  plot("mass of the set alone", across, stale, colors.threshold, ImPlotMarker_Diamond);
  const Settings& settings = session.settings();
  // A setting that is none for this model may have no value of the layer.
  if (settings.takes(kStride.key) && session.setting_error().empty()) {
    const auto stride = settings.count_or_never(kStride.key, curves.layer);
    if (stride && *stride <= curves.lags.back()) vertical_line(static_cast<double>(*stride), colors.cursor);
  }
  if (ImPlot::IsPlotHovered()) {
    const size_t i = under_mouse(curves.lags);
    const AgedMeans& at = curves.aged[i];
    ImGui::SetTooltip(
        "%d steps after it was chosen (%lld cases): overlap %.4f,\nmass %.4f with the tokens since, %.4f "
        "without; the best K hold %.4f",
        curves.lags[i], static_cast<long long>(at.n), at.overlap, at.attended, at.stale, at.oracle);
  }
  ImPlot::EndPlot();
}

void CurvesPanel::draw(Session& session, SharedView& view) {
  if (lacks_steps(session)) return;
  const LayerCurves* const curves = session.data<Curves>().ask();
  if (curves == nullptr) return ImGui::TextDisabled("curves of layer %d \u2026", session.selection().layer);
  const bool current = curves->layer == session.selection().layer;
  if (ImGui::RadioButton("mass by K", !ages_)) ages_ = false;
  ImGui::SetItemTooltip("how much of the attention K positions can hold");
  flow(checkbox_width("sets by age"));
  if (ImGui::RadioButton("sets by age", ages_)) ages_ = true;
  ImGui::SetItemTooltip("how a set of K = %d ages, kept as recycled attention keeps it", curves->budget);
  flow(text_width("layer 100"));
  ImGui::TextColored(current ? ImGui::GetStyleColorVec4(ImGuiCol_Text) : palette(view.light).dim, "layer %d",
                     curves->layer);
  const ImVec2 room = ImGui::GetContentRegionAvail();
  ages_ ? draw_ages(session, *curves, view, room) : draw_mass(*curves, view, room);
}

}  // namespace

std::unique_ptr<Panel> make_curves() {
  return std::make_unique<CurvesPanel>();
}

}  // namespace reattend::viz
