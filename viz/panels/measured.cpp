// The measured panel: what an engine found of settings beside what had been predicted, as points about the diagonal and
// as rows.
#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <imgui.h>
#include <implot.h>

#include "base/utf8.h"
#include "viz/panels/panel.h"
#include "viz/panels/panel_charts.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/plot_helpers.h"
#include "viz/panels/waiting.h"
#include "viz/render/theme.h"
#include "viz/session/measured.h"

namespace reattend::viz {
namespace {

/// One number of a setting: as it was predicted and as it was measured.
struct Pair {
  double predicted, measured;
  bool known() const { return predicted > 0 && measured > 0; }
};

struct Chart {
  const char *id, *title, *unit;
  Pair (*of)(const MeasuredSetting&);
  bool log;  ///< both axes
};
constexpr Chart kCharts[] = {
    {"##kl", "KL", "nats",
     [](const MeasuredSetting& m) {
       return Pair{m.predicted_kl, m.measured.kl};
     },
     true},
    {"##ms", "time", "ms/token",
     [](const MeasuredSetting& m) {
       return Pair{m.predicted_ms, m.measured.ms};
     },
     false},
};

std::string in_words(const MeasuredSetting& each) {
  std::string text = each.settings.summary() + fmt::format("\nKL {:.4g}", each.measured.kl);
  if (!std::isnan(each.predicted_kl)) text += fmt::format(", predicted {:.4g}", each.predicted_kl);
  if (!std::isnan(each.measured.ms)) text += fmt::format("\n{:.2f} ms/token", each.measured.ms);
  if (!std::isnan(each.measured.ms) && !std::isnan(each.predicted_ms))
    text += fmt::format(", predicted {:.2f}", each.predicted_ms);
  return text + "\nclick: the setting under trial";
}

class MeasuredPanel : public Panel {
 public:
  const char* name() const override { return "Measured"; }
  Dock dock() const override { return Dock::right_top; }
  const char* shows() const override { return "What the engine measured of settings, against what was predicted."; }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"measured", [&session] { return measured_table(session); }}};
  }
  MakeChart chart() const override { return measured_chart; }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_words(const Session& session, const SharedView& view, const TraceFiles& files);
  void draw_chart(Session& session, const SharedView& view, const TraceFiles& files, const Chart& chart, ImVec2 size);
  void draw_table(Session& session, const TraceFiles& files);
};

void MeasuredPanel::draw_words(const Session& session, const SharedView& view, const TraceFiles& files) {
  const Correction& correction = session.tuning()->prediction.correction;
  ImGui::PushTextWrapPos(0);
  std::string words =
      "Upwards what was measured, across what had been predicted before; a point on the line was right.";
  if (correction.n > 0) {
    words += fmt::format(" All predictions of KL are now multiplied by {:.3g}", correction.kl);
    if (correction.n_timed > 0) words += fmt::format(", of times by {:.3g}", correction.ms);
    words += fmt::format(", by {} verified {}.", correction.n, correction.n == 1 ? "setting" : "settings");
  }
  ImGui::TextColored(palette(view.light).dim, "%s", words.c_str());
  for (const std::string& each : files.complaints)
    ImGui::TextColored(palette(view.light).error, "%s", visible(each).c_str());
  ImGui::PopTextWrapPos();
}

/// Limits of both axes that show all points with room about them; nothing without points.
std::optional<Limits> limits_of(const TraceFiles& files, const Chart& chart) {
  double low = HUGE_VAL, high = 0;
  for (const MeasuredSetting& each : files.measured) {
    const Pair pair = chart.of(each);
    if (!pair.known()) continue;
    low = std::min({low, pair.predicted, pair.measured}), high = std::max({high, pair.predicted, pair.measured});
  }
  if (!(high > 0)) return {};
  constexpr double kRoom = 1.5, kMargin = 0.15;
  if (chart.log) return Limits{low / kRoom, high * kRoom};
  const double margin = std::max(kMargin * (high - low), 0.02 * high);
  return Limits{std::max(0.0, low - margin), high + margin};
}

void MeasuredPanel::draw_chart(Session& session, const SharedView& view, const TraceFiles& files, const Chart& chart,
                               ImVec2 size) {
  const std::optional<Limits> limits = limits_of(files, chart);
  if (!limits) {
    ImGui::BeginChild(chart.id, size);
    ImGui::TextWrapped("No %s that was both predicted and measured.", chart.title);
    ImGui::EndChild();
    return;
  }
  constexpr ImPlotFlags kFlags = ImPlotFlags_NoTitle | ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText |
                                 ImPlotFlags_NoMenus | ImPlotFlags_NoBoxSelect;
  if (!ImPlot::BeginPlot(chart.id, size, kFlags)) return;
  constexpr ImPlotAxisFlags kLocked = ImPlotAxisFlags_Lock | ImPlotAxisFlags_NoMenus;
  ImPlot::SetupAxis(ImAxis_X1, fmt::format("{} predicted, {}", chart.title, chart.unit).c_str(), kLocked);
  ImPlot::SetupAxis(ImAxis_Y1, "measured", kLocked);
  for (const ImAxis axis : {ImAxis_X1, ImAxis_Y1}) {
    if (chart.log) ImPlot::SetupAxisScale(axis, ImPlotScale_Log10);
    ImPlot::SetupAxisFormat(axis, "%g");
    ImPlot::SetupAxisLimits(axis, limits->low, limits->high, ImPlotCond_Always);
  }
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  const Palette& colors = palette(view.light);
  const float unit = ImGui::GetFontSize();
  const ImU32 line = ImGui::ColorConvertFloat4ToU32(colors.dim);
  ImPlot::PushPlotClipRect();
  const auto draw_ratio = [&](double ratio, float width) {
    list.AddLine(ImPlot::PlotToPixels(limits->low, limits->low * ratio),
                 ImPlot::PlotToPixels(limits->high, limits->high * ratio), line, width);
  };
  draw_ratio(1, unit * 0.12F);
  const KlCurve& law = session.tuning()->prediction.curve;
  if (chart.log && law.exists()) draw_ratio(law.spread, unit * 0.05F), draw_ratio(1 / law.spread, unit * 0.05F);
  const MeasuredSetting* under = nullptr;
  float nearest = unit * 0.7F;
  for (const MeasuredSetting& each : files.measured) {
    const Pair pair = chart.of(each);
    if (!pair.known()) continue;
    const ImVec2 at = ImPlot::PlotToPixels(pair.predicted, pair.measured), mouse = ImGui::GetMousePos();
    const bool current = each.settings == session.settings();
    list.AddCircleFilled(at, unit * 0.3F, ImGui::ColorConvertFloat4ToU32(current ? colors.full : colors.kept));
    if (current) list.AddCircle(at, unit * 0.5F, ImGui::GetColorU32(ImGuiCol_Text), 0, unit * 0.1F);
    const float away = std::hypot(at.x - mouse.x, at.y - mouse.y);
    if (away < nearest) nearest = away, under = &each;
  }
  ImPlot::PopPlotClipRect();
  if (under != nullptr && ImPlot::IsPlotHovered()) {
    ImGui::SetTooltip("%s", in_words(*under).c_str());
    if (plot_clicked()) session.set_settings(Settings(under->settings));
  }
  ImPlot::EndPlot();
}

void MeasuredPanel::draw_table(Session& session, const TraceFiles& files) {
  constexpr ImGuiTableFlags kFlags = ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_ScrollX |
                                     ImGuiTableFlags_SizingFixedFit | ImGuiTableFlags_BordersInnerV;
  if (!ImGui::BeginTable("settings", 7, kFlags)) return;
  ImGui::TableSetupScrollFreeze(1, 1);
  for (const char* const title : {"setting", "KL", "predicted", "ms", "predicted", "top-1", "from"})
    ImGui::TableSetupColumn(title);
  ImGui::TableHeadersRow();
  const auto number = [](double x, const char* format) {
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(std::isnan(x) ? "\u2013" : fmt::format(fmt::runtime(format), x).c_str());
  };
  std::optional<Settings> chosen;
  for (const MeasuredSetting& each : files.measured) {
    ImGui::PushID(&each);
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    if (ImGui::Selectable(each.settings.summary().c_str(), each.settings == session.settings(),
                          ImGuiSelectableFlags_SpanAllColumns)) {
      chosen = each.settings;
    }
    number(each.measured.kl, "{:.4g}"), number(each.predicted_kl, "{:.4g}");
    number(each.measured.ms, "{:.2f}"), number(each.predicted_ms, "{:.2f}");
    number(each.measured.agreement, "{:.3f}");
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(visible(each.from).c_str());
    ImGui::PopID();
  }
  ImGui::EndTable();
  if (chosen) session.set_settings(*chosen);
}

void MeasuredPanel::draw(Session& session, SharedView& view) {
  if (lacks_steps(session)) return;
  const TraceFiles& files = session.data<Measured>().files();
  if (files.measured.empty()) {
    ImGui::TextWrapped(
        "Nothing was measured on this trace yet. Verify, in the panel Engine, measures the setting under trial; "
        "Compare and Tune measure several.");
    for (const std::string& each : files.complaints) ImGui::TextWrapped("%s", visible(each).c_str());
    return;
  }
  draw_words(session, view, files);
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float em = ImGui::GetFontSize(), gap = ImGui::GetStyle().ItemSpacing.x;
  const float rows = std::min(static_cast<float>(files.measured.size()) + 2, 8.0F);
  const float height = std::max(10 * em, room.y - rows * ImGui::GetTextLineHeightWithSpacing());
  const bool both = room.x > 30 * em;
  draw_chart(session, view, files, kCharts[0], ImVec2(both ? (room.x - gap) / 2 : -1, height));
  if (both) {
    ImGui::SameLine();
    draw_chart(session, view, files, kCharts[1], ImVec2(-1, height));
  }
  draw_table(session, files);
}

}  // namespace

std::unique_ptr<Panel> make_measured() {
  return std::make_unique<MeasuredPanel>();
}

}  // namespace reattend::viz
