// One line of buttons, and the figures behind it in as many lines as they take.
#include "viz/panels/range_bar.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <imgui.h>
#include <imgui_stdlib.h>

#include "base/error.h"
#include "base/utf8.h"
#include "viz/panels/step_axis.h"
#include "viz/render/elided_text.h"
#include "viz/render/theme.h"
#include "viz/session/slice_saver.h"

namespace reattend::viz {

std::shared_ptr<const RangePage> range_figures(const Session& session, const SharedView& view) {
  if (!view.range) return nullptr;
  const Selection& at = session.selection();
  return session.data<RangeData>().ask({*view.range, at.layer, at.kv_head});
}

const Spread& lost_in_range(const RangePage& page, int32_t layer) {
  return page.layers[static_cast<size_t>(layer)][static_cast<size_t>(StepMeasure::lost)];
}

std::string range_name(const Steps& range) {
  return fmt::format("steps {} to {}", range.first, range.last);
}

std::string figure_text(StepMeasure measure, double figure) {
  if (std::isnan(figure)) return "\u2013";
  return measure == StepMeasure::positions ? fmt::format("{:.1f}", figure) : fmt::format("{:.4f}", figure);
}

void zoom_to_range(const TraceInfo& info, SharedView& view) {
  if (!view.range) return;
  const Limits all = all_steps(info);
  // No narrower than plots let the axis get.
  const double most = all.high - all.low, width = std::clamp<double>(view.range->size(), std::min(4.0, most), most);
  const double middle = (view.range->first + view.range->last) / 2.0;
  const double low = std::clamp(middle - width / 2, all.low, all.high - width);
  view.steps = {low, low + width};
}

void draw_range_table(const Session& session, const SharedView& view) {
  const std::shared_ptr<const RangePage> page = range_figures(session, view);
  if (!page || !ImGui::BeginTable("range", 6, ImGuiTableFlags_RowBg | ImGuiTableFlags_SizingStretchProp)) return;
  const auto layer = static_cast<size_t>(session.selection().layer);
  ImGui::TableSetupColumn(fmt::format("{}###range", range_name(*view.range)).c_str(), 0, 2.2F);
  ImGui::TableSetupColumn("mean", 0, 1);
  ImGui::TableSetupColumn("p50", 0, 1);
  ImGui::TableSetupColumn("p95", 0, 1);
  ImGui::TableSetupColumn("p99", 0, 1);
  ImGui::TableSetupColumn("all", 0, 1);
  ImGui::TableHeadersRow();
  const bool current = page->settings == session.settings();
  const ImVec4 color = current ? ImGui::GetStyleColorVec4(ImGuiCol_Text) : palette(view.light).dim;
  for (size_t m = 0; m < kStepMeasures; ++m) {
    const auto measure = static_cast<StepMeasure>(m);
    const Spread& of = page->layers[layer][m];
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(elided(kStepMeasureNames[m], ImGui::GetContentRegionAvail().x).c_str());
    ImGui::SetItemTooltip("%s", kStepMeasureNames[m]);
    int column = 0;
    for (const double figure : {of.mean, of.p50, of.p95, of.p99, page->all[m].mean}) {
      ImGui::TableNextColumn();
      // The last digits of five columns find no room beside the sliders.
      const std::string whole = figure_text(measure, figure);
      ImGui::TextColored(color, "%s", std::isnan(figure) ? whole.c_str() : fmt::format("{:.3g}", figure).c_str());
      ImGui::SetItemTooltip("%s%s", whole.c_str(),
                            ++column < 5 ? ", of the selected layer" : ", the mean over all layers");
    }
  }
  ImGui::EndTable();
}

void RangeBar::draw_save(Session& session, const SharedView& view) {
  if (!ImGui::BeginPopup("slice")) return;
  SliceSaver& saver = session.data<SliceSaver>();
  const std::string proposed = slice_path(session.path(), *view.range).string();
  if (path_.empty() || proposed_ != proposed) path_ = proposed_ = proposed;
  const TraceSlice slice = {.first_step = view.range->first, .last_step = view.range->last, .layers = {}};
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 30);
  ImGui::InputTextWithHint("##path", "file to save the trace to", &path_);
  std::error_code error;
  const bool exists = !path_.empty() && std::filesystem::exists(path_, error);
  if (saver.saving()) {
    const BackgroundTasks::Activity activity = session.activity();
    const double done = activity.total > 0 ? activity.done / activity.total : 0;
    ImGui::ProgressBar(static_cast<float>(done), ImVec2(ImGui::GetFontSize() * 20, 0), activity.what.c_str());
    ImGui::SameLine();
    if (ImGui::Button("cancel")) saver.cancel();
  } else {
    ImGui::BeginDisabled(path_.empty());
    if (ImGui::Button(exists ? "replace the file" : "save"))
      saver.save(session.path(), path_, slice, exists, session.pool());
    ImGui::EndDisabled();
    if (exists) {
      ImGui::SameLine();
      ImGui::TextDisabled("it exists");
    }
  }
  if (!saver.result().empty()) {
    ImGui::PushTextWrapPos(ImGui::GetFontSize() * 30);
    const Palette& colors = palette(view.light);
    ImGui::TextColored(saver.failed() ? colors.error : colors.dim, "%s", visible(saver.result()).c_str());
    ImGui::PopTextWrapPos();
  }
  ImGui::EndPopup();
}

void RangeBar::draw(Session& session, SharedView& view) {
  if (!view.range) return;
  const float right = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x;
  const ImVec4 text = ImGui::GetStyleColorVec4(ImGuiCol_Text), dim = palette(view.light).dim;
  ImGui::AlignTextToFramePadding();
  ImGui::TextColored(palette(view.light).threshold, "%s", range_name(*view.range).c_str());
  ImGui::SameLine();
  if (ImGui::SmallButton("zoom")) zoom_to_range(session.trace()->info, view);
  ImGui::SetItemTooltip("the axis shows these steps alone (Z)");
  ImGui::SameLine();
  if (ImGui::SmallButton("save as slice\u2026")) ImGui::OpenPopup("slice");
  ImGui::SetItemTooltip("a trace of these steps alone; what comes before them becomes its prompt");
  draw_save(session, view);
  ImGui::SameLine();
  const bool cleared = ImGui::SmallButton("clear");
  ImGui::SetItemTooltip("no range is marked (Esc)");
  const std::shared_ptr<const RangePage> page = range_figures(session, view);
  const bool current = page && page->settings == session.settings();
  for (const StepMeasure measure :
       {StepMeasure::recovered, StepMeasure::normalised, StepMeasure::overlap, StepMeasure::output_error}) {
    const auto m = static_cast<size_t>(measure);
    std::string line = fmt::format("{}: ", kStepMeasureNames[m]);
    if (page) {
      const Spread& of = page->head[m];
      const auto figure = [&](double x) { return figure_text(measure, x); };
      line +=
          fmt::format("{} (p50 {}, p95 {}, p99 {})", figure(of.mean), figure(of.p50), figure(of.p95), figure(of.p99));
    } else {
      line += "\u2026";
    }
    const float gap = ImGui::GetFontSize();
    if (ImGui::GetItemRectMax().x + gap + ImGui::CalcTextSize(line.c_str()).x < right) ImGui::SameLine(0, gap);
    ImGui::TextColored(current ? text : dim, "%s", line.c_str());
    ImGui::SetItemTooltip("over the steps of the range: mean, and the values that 50, 95 and 99 %% do not exceed");
  }
  if (cleared) view.range.reset();
}

}  // namespace reattend::viz
