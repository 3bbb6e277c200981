// The text panel: each token coloured by the attention it gets at the step in view, and by whether the policy keeps
// it.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <imgui.h>

#include "viz/panels/panel.h"
#include "viz/render/colormap.h"
#include "viz/render/theme.h"
#include "viz/session/token_text.h"

namespace reattend::viz {
namespace {

float width_of(const char* text, size_t n_byte) {
  return ImGui::CalcTextSize(text, text + n_byte).x;
}

class Tokens : public Panel {
 public:
  const char* name() const override { return "Tokens"; }
  Dock dock() const override { return Dock::right_bottom; }
  const char* shows() const override { return "The text, each token coloured by the attention that it gets."; }
  void draw(Session& session, SharedView& view) override;

 private:
  /// A token's place in its line, in pixels. A character that lies across several tokens is drawn over all of them: the
  /// first has the text of its whole group, each of the others a share of the character's width.
  struct Placed {
    std::string text;
    float x = 0, width = 0;
  };
  /// Tokens [first, end) of one line.
  struct Line {
    int32_t first = 0, end = 0;
  };

  void lay_out(const OpenedTrace& trace, float width);
  void draw_line(Session& session, SharedView& view, const Line& line, int32_t step);
  void draw_behind(const Session& session, const SharedView& view, int32_t position, int32_t step, ImVec2 low,
                   ImVec2 high) const;
  void point_at(Session& session, SharedView& view, int32_t position, int32_t step) const;

  std::vector<Placed> tokens_;
  std::vector<Line> lines_;
  std::string not_drawn_;  ///< which scripts the fonts lack; empty when none
  uint64_t trace_version_ = 0;
  float width_ = 0, font_size_ = 0;
  Cell shown_;  ///< what has been scrolled to
};

void Tokens::lay_out(const OpenedTrace& trace, float width) {
  tokens_.clear();
  lines_.clear();
  Line line;
  float x = 0;
  const auto end_line = [&](int32_t next) {
    line.end = next;
    lines_.push_back(line);
    line.first = next;
    x = 0;
  };
  const std::vector<TokenGroup> groups = token_groups(trace.token_texts);
  for (const TokenGroup& group : groups) {
    const char* const text = group.text.c_str();
    const float group_width = width_of(text, group.text.size());
    if (x > 0 && x + group_width > width) end_line(static_cast<int32_t>(tokens_.size()));
    float begin = 0;
    for (const TokenEnd& token : group.ends) {
      const float from = width_of(text, token.from), to = width_of(text, token.to);
      const float end = from + static_cast<float>(token.share) * (to - from);
      tokens_.push_back({.text = &token == group.ends.data() ? group.text : "", .x = x + begin, .width = end - begin});
      begin = end;
    }
    x += group_width;
    const auto last = static_cast<int32_t>(tokens_.size());
    if (trace.token_texts[static_cast<size_t>(last - 1)].find('\n') != std::string::npos) end_line(last);
  }
  if (line.first < static_cast<int32_t>(tokens_.size())) end_line(static_cast<int32_t>(tokens_.size()));
  not_drawn_.clear();
  ImFont* const font = ImGui::GetFont();
  for (const std::string& script : scripts_without_glyphs(
           groups, [font](char32_t code) { return font->IsGlyphInFont(static_cast<ImWchar>(code)); })) {
    not_drawn_ += (not_drawn_.empty() ? "" : ", ") + script;
  }
}

/// The colours of a token's attention and of whether the policy keeps it.
void Tokens::draw_behind(const Session& session, const SharedView& view, int32_t position, int32_t step, ImVec2 low,
                         ImVec2 high) const {
  const Palette& colors = palette(view.light);
  const ColorScale scale{
      .low = view.logarithmic ? 1e-5F : 0.0F, .high = view.logarithmic ? 0.1F : 1.0F, .logarithmic = view.logarithmic};
  ImDrawList& list = *ImGui::GetWindowDrawList();
  const std::optional<float> weight = session.weight(step, position);
  const std::optional<bool> attended = session.attended(step, position);
  ImVec4 color = view.marks && attended ? (*attended ? colors.kept : colors.lost) : colors.kept;
  if (weight) {
    color.w = 0.75F * scale.place(*weight);
    list.AddRectFilled(low, ImVec2(high.x, high.y + 1), ImGui::ColorConvertFloat4ToU32(color));
  }
  if (view.marks && attended.value_or(false)) {
    color.w = 1;
    list.AddLine(ImVec2(low.x, high.y), high, ImGui::ColorConvertFloat4ToU32(color));
  }
}

/// What the token under the mouse says, and what a click on it does.
void Tokens::point_at(Session& session, SharedView& view, int32_t position, int32_t step) const {
  if (position < session.trace()->info.n_prompt + step) view.next_hover = Cell{step, position};
  std::string text = fmt::format("position {}, token \u201c{}\u201d", position, session.token_text(position));
  if (const std::optional<float> weight = session.weight(step, position))
    text += fmt::format("\nweight {:.9g} at step {}", *weight, step);
  if (const std::optional<bool> attended = session.attended(step, position))
    text += *attended ? "\nattended" : "\nnot attended";
  ImGui::SetTooltip("%s", text.c_str());
  if (ImGui::IsMouseClicked(ImGuiMouseButton_Left)) session.select_position(position);
}

void Tokens::draw_line(Session& session, SharedView& view, const Line& line, int32_t step) {
  const int32_t n_position = session.trace()->info.n_prompt + step;  // positions that exist at this step
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  const float height = ImGui::GetTextLineHeight();
  ImDrawList& list = *ImGui::GetWindowDrawList();
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  const bool hovered = ImGui::IsWindowHovered();
  const ImU32 frame = ImGui::ColorConvertFloat4ToU32(palette(view.light).cursor);
  const auto place_of = [&](int32_t i) {
    const Placed& token = tokens_[static_cast<size_t>(i)];
    const ImVec2 low(corner.x + token.x, corner.y);
    return std::pair{low, ImVec2(low.x + token.width, low.y + height)};
  };
  for (int32_t i = line.first; i < line.end; ++i) {
    const auto [low, high] = place_of(i);
    draw_behind(session, view, i, step, low, high);
  }
  for (int32_t i = line.first; i < line.end; ++i) {
    const auto [low, high] = place_of(i);
    const bool under_mouse =
        hovered && mouse.x >= low.x && mouse.x < high.x && mouse.y >= low.y && mouse.y < high.y + 2;
    const bool marked = view.hover ? view.hover->position == i : session.selection().position == i;
    if (marked || under_mouse) list.AddRect(ImVec2(low.x - 1, low.y), ImVec2(high.x + 1, high.y + 1), frame);
    const ImU32 ink = i < n_position ? ImGui::GetColorU32(ImGuiCol_Text) : ImGui::GetColorU32(ImGuiCol_TextDisabled);
    list.AddText(low, ink, tokens_[static_cast<size_t>(i)].text.c_str());
    if (under_mouse) point_at(session, view, i, step);
  }
  ImGui::Dummy(ImVec2(1, height));
}

void Tokens::draw(Session& session, SharedView& view) {
  if (session.trace() == nullptr) return;
  const TraceInfo& info = session.trace()->info;
  const Selection& at = session.selection();
  const int32_t step = view.hover ? view.hover->step : at.step;
  const int32_t fed = info.n_prompt - 1 + step;
  ImGui::TextUnformatted(fmt::format("step {} feeds \u201c{}\u201d", step, session.token_text(fed)).c_str());
  if (!session.trace()->steps.logprob.empty() && step < static_cast<int32_t>(session.trace()->steps.logprob.size())) {
    ImGui::TextDisabled("%s", fmt::format("next \u201c{}\u201d, log-probability {:.3f}", session.token_text(fed + 1),
                                          session.trace()->steps.logprob[static_cast<size_t>(step)])
                                  .c_str());
  }
  if (!not_drawn_.empty()) {
    ImGui::PushTextWrapPos(0);
    ImGui::TextDisabled("The fonts found here lack characters of: %s (drawn as boxes).", not_drawn_.c_str());
    ImGui::PopTextWrapPos();
    ImGui::SetItemTooltip("fonts are looked for in /usr/share/fonts and ~/.local/share/fonts: %s",
                          fallback_fonts().c_str());
  }
  ImGui::Separator();
  if (ImGui::BeginChild("text", ImVec2(0, 0), ImGuiChildFlags_None, ImGuiWindowFlags_AlwaysVerticalScrollbar)) {
    const float width = ImGui::GetContentRegionAvail().x;
    if (trace_version_ != session.trace_version() || width_ != width || font_size_ != ImGui::GetFontSize()) {
      trace_version_ = session.trace_version(), width_ = width, font_size_ = ImGui::GetFontSize();
      lay_out(*session.trace(), width);
      shown_ = {};
    }
    // Scrolls to what was pointed at elsewhere, or else to the token of the selected step; never under the mouse.
    const Cell focus = view.hover ? *view.hover : Cell{at.step, at.position >= 0 ? at.position : fed};
    const float line_height = ImGui::GetTextLineHeightWithSpacing();
    if (!(focus == shown_) && !ImGui::IsWindowHovered()) {
      shown_ = focus;
      const auto line = std::upper_bound(lines_.begin(), lines_.end(), focus.position,
                                         [](int32_t p, const Line& l) { return p < l.end; });
      const float y = static_cast<float>(line - lines_.begin()) * line_height;
      const float top = ImGui::GetScrollY(), room = ImGui::GetWindowHeight() - 2 * line_height;
      if (y < top + line_height || y > top + room) ImGui::SetScrollY(y - room / 2);
    }
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(lines_.size()), line_height);
    while (clipper.Step()) {
      for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
        draw_line(session, view, lines_[static_cast<size_t>(i)], step);
      }
    }
  }
  ImGui::EndChild();
}

}  // namespace

std::unique_ptr<Panel> make_tokens() {
  return std::make_unique<Tokens>();
}

}  // namespace reattend::viz
