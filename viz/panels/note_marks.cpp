// Draws over plots, on their own draw lists.
#include "viz/panels/note_marks.h"

#include <algorithm>

#include <fmt/format.h>
#include <imgui.h>
#include <implot.h>

#include "viz/render/theme.h"
#include "viz/session/project.h"

namespace reattend::viz {
namespace {

void tell(const Note& note) {
  ImGui::SetTooltip("%s\n%s", place_of(note).c_str(), note.text.empty() ? "a note without text" : note.text.c_str());
}

bool is_shown(const Note& note, const Session& session) {
  return note.layer < 0 || note.layer == session.selection().layer;
}

}  // namespace

std::string place_of(const Note& note) {
  const auto range = [](const char* one, int32_t first, int32_t last) {
    return first == last ? fmt::format("{} {}", one, first) : fmt::format("{}s {}\u2013{}", one, first, last);
  };
  std::string text = range("step", note.steps.first, note.steps.last);
  if (note.first_position >= 0) text += ", " + range("position", note.first_position, note.last_position);
  return text;
}

void mark_notes_over_steps(const Session& session, const SharedView& view) {
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  const float mark = ImGui::GetFontSize() * 0.6F, bottom = corner.y + size.y;
  const ImU32 color = ImGui::ColorConvertFloat4ToU32(palette(view.light).note);
  ImPlot::PushPlotClipRect();
  for (const Note& note : session.data<Project>().notes()) {
    if (!is_shown(note, session)) continue;
    const float low = ImPlot::PlotToPixels(note.steps.first - 0.5, 0).x;
    const float high = std::max(low + 2, ImPlot::PlotToPixels(note.steps.last + 0.5, 0).x), middle = (low + high) / 2;
    ImDrawList& list = *ImPlot::GetPlotDrawList();
    list.AddRectFilled(ImVec2(low, bottom - mark * 0.3F), ImVec2(high, bottom), color);
    list.AddTriangleFilled(ImVec2(middle - mark / 2, bottom), ImVec2(middle, bottom - mark),
                           ImVec2(middle + mark / 2, bottom), color);
    const ImVec2 hit_low(std::min(low, middle - mark / 2), bottom - mark),
        hit_high(std::max(high, middle + mark / 2), bottom);
    if (ImPlot::IsPlotHovered() && ImGui::IsMouseHoveringRect(hit_low, hit_high)) tell(note);
  }
  ImPlot::PopPlotClipRect();
}

void mark_notes_over_cells(const Session& session, const SharedView& view) {
  const ImU32 color = ImGui::ColorConvertFloat4ToU32(palette(view.light).note);
  const float least = ImGui::GetFontSize() * 0.6F;
  ImPlot::PushPlotClipRect();
  for (const Note& note : session.data<Project>().notes()) {
    if (!is_shown(note, session) || note.first_position < 0) continue;
    ImVec2 low = ImPlot::PlotToPixels(note.first_position - 0.5, note.steps.first - 0.5);
    ImVec2 high = ImPlot::PlotToPixels(note.last_position + 0.5, note.steps.last + 0.5);
    const ImVec2 middle((low.x + high.x) / 2, (low.y + high.y) / 2);
    low = ImVec2(std::min(low.x, middle.x - least / 2), std::min(low.y, middle.y - least / 2));
    high = ImVec2(std::max(high.x, middle.x + least / 2), std::max(high.y, middle.y + least / 2));
    ImPlot::GetPlotDrawList()->AddRect(low, high, color, 2, 2);
    if (ImPlot::IsPlotHovered() && ImGui::IsMouseHoveringRect(low, high)) tell(note);
  }
  ImPlot::PopPlotClipRect();
}

}  // namespace reattend::viz
