// Dots over a logarithmic axis of harm.
#include "viz/panels/tried_plot.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <implot.h>

#include "viz/panels/plot_helpers.h"
#include "viz/render/theme.h"
#include "viz/session/baseline.h"
#include "viz/session/goal.h"
#include "viz/session/tried.h"

namespace reattend::viz {

double harm_of(const Metrics& metrics, bool has_kl) {
  return has_kl ? metrics.predicted_kl : metrics.estimate;
}

std::string harm_name(const Session& session) {
  const Prediction& law = session.tuning()->prediction;
  return law.curve.exists() ? "KL" : law.estimate;
}

std::string cost_name(const Session& session) {
  return session.tuning()->calibrated ? "ms" : "MB";
}

std::string numbers_in_words(const Session& session, const Settings& settings, const Metrics& metrics) {
  std::vector<std::string> parts;
  const auto add = [&](const std::string& name, double value) {
    if (!std::isnan(value)) parts.push_back(fmt::format("{} {:.4g}", name, value));
  };
  add(harm_name(session), harm_of(metrics, session.tuning()->prediction.curve.exists()));
  add(cost_name(session) + "/token", metrics.cost);
  add("lost mass", metrics.lost), add("output error", metrics.output_error_mean);
  if (metrics.measured) add("measured KL", metrics.measured->kl), add("measured ms/token", metrics.measured->ms);
  std::string text = settings.summary();
  for (const std::string& each : parts) text += "\n" + each;
  return text;
}

void TriedPlot::fit(const Session& session) {
  const bool has_kl = session.tuning()->prediction.curve.exists();
  double low = HUGE_VAL, high = 0, cheapest = session.tuning()->full_cost, dearest = cheapest;
  for (const TriedSetting& each : session.data<Tried>().settings()) {
    for (const double harm : {harm_of(each.metrics, has_kl), each.metrics.measured ? each.metrics.measured->kl : 0}) {
      if (harm > 0) low = std::min(low, harm), high = std::max(high, harm);
    }
    if (std::isfinite(each.metrics.cost)) {
      cheapest = std::min(cheapest, each.metrics.cost), dearest = std::max(dearest, each.metrics.cost);
    }
  }
  for (const GoalBound& each : bounds_of(session)) {
    if (each.bound.of == Bounded::kl && has_kl)
      low = std::min(low, each.bound.limit), high = std::max(high, each.bound.limit);
  }
  if (!(high > 0)) low = high = 1;
  constexpr double kRoom = 1.6;
  harm_low_ = low / kRoom, harm_high_ = high * kRoom;
  const double side = std::max(0.08 * (dearest - cheapest), 0.01 * dearest);
  cost_low_ = cheapest - side, cost_high_ = dearest + side;
}

void TriedPlot::draw_bounds(const Session& session, const SharedView& view) const {
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  const ImU32 color = ImGui::ColorConvertFloat4ToU32(palette(view.light).threshold);
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  const bool has_kl = session.tuning()->prediction.curve.exists();
  for (const GoalBound& each : bounds_of(session)) {
    const ImVec2 at = ImPlot::PlotToPixels(each.bound.limit, std::max(each.bound.limit, harm_low_));
    if (each.bound.of == Bounded::kl && has_kl)
      list.AddLine(ImVec2(corner.x, at.y), ImVec2(corner.x + size.x, at.y), color);
    if (each.bound.of == Bounded::ms) list.AddLine(ImVec2(at.x, corner.y), ImVec2(at.x, corner.y + size.y), color);
  }
  const double full = session.tuning()->full_cost;
  vertical_line(full, palette(view.light).dim);
}

void TriedPlot::draw_dots(Session& session, const SharedView& view) const {
  const std::vector<TriedSetting>& tried = session.data<Tried>().settings();
  const bool has_kl = session.tuning()->prediction.curve.exists();
  const Palette& colors = palette(view.light);
  const auto ink = [](ImVec4 color) { return ImGui::ColorConvertFloat4ToU32(color); };
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  const float em = ImGui::GetFontSize();
  // What loses nothing has no place on the axis: it lies at its lower end.
  const auto place = [&](double cost, double harm) { return ImPlot::PlotToPixels(cost, std::max(harm, harm_low_)); };
  const auto at = [&](const Metrics& metrics) { return place(metrics.cost, harm_of(metrics, has_kl)); };
  const auto known = [&](const Metrics& metrics) {
    return std::isfinite(metrics.cost) && std::isfinite(harm_of(metrics, has_kl));
  };
  std::vector<ImVec2> path;
  for (const size_t i : front_of(tried, has_kl)) path.push_back(at(tried[i].metrics));
  list.AddPolyline(path.data(), static_cast<int>(path.size()), ink(colors.dim), 0.08F * em);

  const ImVec2 mouse = ImGui::GetMousePos();
  const TriedSetting* nearest = nullptr;
  float least = 0.8F * em;
  for (const TriedSetting& each : tried) {
    const auto near = [&](ImVec2 dot) {
      const float away = std::hypot(mouse.x - dot.x, mouse.y - dot.y);
      if (away < least) least = away, nearest = &each;
    };
    const bool is_now = each.settings == session.settings();
    if (known(each.metrics)) {
      const ImVec2 dot = at(each.metrics);
      // Open: predicted. Filled squares are what an engine measured.
      list.AddCircle(dot, 0.28F * em, ink(is_now ? colors.threshold : colors.kept), 0, 0.13F * em);
      near(dot);
    }
    const std::optional<Score>& measured = each.metrics.measured;
    if (!measured || !std::isfinite(measured->kl)) continue;
    const double ms = std::isfinite(measured->ms) ? measured->ms : each.metrics.cost;
    if (!std::isfinite(ms) || !has_kl) continue;
    const ImVec2 dot = place(ms, measured->kl);
    const float half = 0.24F * em;
    if (known(each.metrics)) list.AddLine(at(each.metrics), dot, ink(colors.dim));
    list.AddRectFilled(ImVec2(dot.x - half, dot.y - half), ImVec2(dot.x + half, dot.y + half), ink(colors.kept));
    near(dot);
  }
  const Baseline& baseline = session.data<Baseline>();
  if (baseline.judged() != nullptr && known(baseline.judged()->metrics)) {
    const ImVec2 dot = at(baseline.judged()->metrics);
    const float arm = 0.5F * em;
    list.AddQuad(ImVec2(dot.x, dot.y - arm), ImVec2(dot.x + arm, dot.y), ImVec2(dot.x, dot.y + arm),
                 ImVec2(dot.x - arm, dot.y), ink(colors.full), 0.14F * em);
  }
  if (!ImPlot::IsPlotHovered() || nearest == nullptr) return;
  ImGui::SetTooltip("%s\nclick: back to it", numbers_in_words(session, nearest->settings, nearest->metrics).c_str());
  if (plot_clicked()) session.set_settings(Settings(nearest->settings));
}

void TriedPlot::draw(Session& session, const SharedView& view, ImVec2 size) {
  const uint64_t version = session.data<Tried>().version();
  const bool fits = std::exchange(version_, version) != version;
  if (fits) fit(session);
  if (!ImPlot::BeginPlot("##dots", size, ImPlotFlags_NoTitle | ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText)) return;
  ImPlot::SetupAxis(ImAxis_X1, (cost_name(session) + "/token").c_str());
  ImPlot::SetupAxis(ImAxis_Y1, harm_name(session).c_str());
  ImPlot::SetupAxisScale(ImAxis_Y1, ImPlotScale_Log10);
  ImPlot::SetupAxisFormat(ImAxis_Y1, "%g");
  const ImPlotCond when = fits ? ImPlotCond_Always : ImPlotCond_Once;
  ImPlot::SetupAxisLimits(ImAxis_X1, cost_low_, cost_high_, when);
  ImPlot::SetupAxisLimits(ImAxis_Y1, harm_low_, harm_high_, when);
  ImPlot::PushPlotClipRect();
  draw_bounds(session, view);
  draw_dots(session, view);
  ImPlot::PopPlotClipRect();
  ImPlot::EndPlot();
}

}  // namespace reattend::viz
