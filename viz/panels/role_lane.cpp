// Draws one rectangle for each step that is not partial.
#include "viz/panels/role_lane.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <implot.h>

#include "viz/panels/plot_helpers.h"
#include "viz/render/theme.h"
#include "viz/session/differences.h"
#include "viz/session/step_reasons.h"

namespace reattend::viz {
namespace {

/// Between top and bottom of the plot's y axis.
void draw_roles(const LayerReplay& replay, const TraceInfo& info, const SharedView& view, double top, double bottom) {
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  const Palette& colors = palette(view.light);
  const ImU32 full = ImGui::ColorConvertFloat4ToU32(colors.full);
  const ImU32 selects = ImGui::ColorConvertFloat4ToU32(colors.kept);
  const int32_t first = std::clamp(cell_at(view.steps.low), 1, info.n_step);
  const int32_t last = std::clamp(cell_at(view.steps.high), 1, info.n_step);
  const double row = (bottom - top) / info.n_kv_head;
  if (view.steps.low > info.n_step + 0.5) return;  // a second trace may end before
  list.AddRectFilled(ImPlot::PlotToPixels(view.steps.low, top),
                     ImPlot::PlotToPixels(std::min(view.steps.high, info.n_step + 0.5), bottom),
                     ImGui::ColorConvertFloat4ToU32(colors.partial));
  for (int32_t head = 0; head < info.n_kv_head; ++head) {
    for (int32_t t = first; t <= last; ++t) {
      const auto cell = static_cast<size_t>((t - 1) * info.n_kv_head + head);
      const StepRole role = role_of(replay, cell, info.n_prompt - 1 + t);
      if (role == StepRole::partial) continue;
      const ImVec2 low = ImPlot::PlotToPixels(t - 0.5, top + row * head);
      const ImVec2 high = ImPlot::PlotToPixels(t + 0.5, top + row * (head + 1));
      // A full step stays visible where many share a pixel.
      list.AddRectFilled(low, ImVec2(std::max(high.x, low.x + 1), high.y), role == StepRole::full ? full : selects);
    }
  }
}

}  // namespace

void draw_role_lane(const Session& session, const SharedView& view) {
  const LayerReplay* const replay = session.layer();
  if (replay == nullptr) return;
  const TraceInfo& info = session.trace()->info;
  const std::optional<BaselineLayer> before = session.shows_trial() ? baseline_lane(session) : std::nullopt;
  ImPlot::PushPlotClipRect();
  if (!before) {
    draw_roles(*replay, info, view, 0, 1);
  } else {
    constexpr double kGap = 0.04;
    draw_roles(*before->replay, *before->info, view, 0, 0.5 - kGap);
    draw_roles(*replay, info, view, 0.5 + kGap, 1);
  }
  ImPlot::PopPlotClipRect();
}

const char* role_name(StepRole role) {
  return role == StepRole::full ? "full" : role == StepRole::selects ? "chooses anew" : "partial";
}

std::string reason_under_mouse(const Session& session) {
  const LayerReplay* const replay = session.layer();
  if (replay == nullptr || !session.layer_is_current() || !ImPlot::IsPlotHovered()) return {};
  const TraceInfo& info = session.trace()->info;
  const int32_t step = cell_at(ImPlot::GetPlotMousePos().x);
  if (step < 1 || step > info.n_step) return {};
  return in_words(StepReasons(*replay, session.settings(), info).of(step, session.selection().kv_head));
}

std::string step_beside_baseline(const Session& session, int32_t step) {
  const LayerReplay* const replay = session.layer();
  const std::optional<BaselineLayer> before = session.shows_trial() ? baseline_lane(session) : std::nullopt;
  if (replay == nullptr || !before) return {};
  const TraceInfo &info = session.trace()->info, &there = *before->info;
  if (step > there.n_step) return fmt::format("\n{} has {} steps", before->name, there.n_step);
  const auto cell = static_cast<size_t>((step - 1) * info.n_kv_head + session.selection().kv_head);
  const char* const role = role_name(role_of(*before->replay, cell, there.n_prompt - 1 + step));
  if (!before->same_steps) {
    return fmt::format("\n{} at its step {}: {}, recovered {:.4f}", before->name, step, role,
                       before->replay->recovered[cell]);
  }
  const float more = replay->recovered[cell] - before->replay->recovered[cell];
  const std::string change =
      more == 0 ? "as much recovered" : fmt::format("{:.4f} {} recovered", std::abs(more), more > 0 ? "less" : "more");
  return fmt::format("\nbaseline: {}, {}", role, change);
}

}  // namespace reattend::viz
