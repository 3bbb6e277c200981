// The text panel: each token coloured by what it weighs, loses or was worth to the model; search; a map of losses
// beside the scrollbar.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <imgui.h>
#include <misc/cpp/imgui_stdlib.h>

#include "viz/panels/loss_strip.h"
#include "viz/panels/panel.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/token_colors.h"
#include "viz/render/theme.h"
#include "viz/session/text_layout.h"
#include "viz/session/text_search.h"
#include "viz/session/token_text.h"

namespace reattend::viz {
namespace {

class Tokens : public Panel {
 public:
  const char* name() const override { return "Tokens"; }
  Dock dock() const override { return Dock::right_bottom; }
  const char* shows() const override { return "The text, each token coloured by the attention that it gets."; }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"tokens", [this, &session] { return tokens_table(session, session.selection().step, colors_.losses()); }}};
  }
  void draw(Session& session, SharedView& view) override;

 private:
  void take_text(const Session& session);
  void take_width(float width);
  void draw_step(const Session& session, int32_t step) const;
  void draw_search(Session& session, SharedView& view);
  void find(Session& session, SharedView& view);
  void go_to_hit(Session& session, int direction);
  void draw_text(Session& session, SharedView& view, int32_t step);
  void scroll_to(const Session& session, const SharedView& view);
  void draw_line(Session& session, SharedView& view, int32_t line, int32_t step);
  void draw_hits(const SharedView& view, int32_t line, ImVec2 corner, float height);
  void point_at(Session& session, SharedView& view, int32_t position, int32_t step) const;

  TextLayout layout_;
  TextSearch search_;
  TokenColors colors_;
  LossStrip strip_;
  std::string wanted_;       ///< as typed
  int32_t hit_ = -1;         ///< number of the one that is shown
  std::string not_drawn_;    ///< which characters the fonts lack; empty when none
  std::vector<Span> spans_;  ///< working space
  uint64_t trace_version_ = 0;
  float width_ = 0, font_size_ = 0;
  Cell selected_;  ///< in the last frame
  Cell shown_;     ///< what has been scrolled to
};

/// Unrounded, so that characters add up to the line that is drawn of them.
float width_of(std::string_view text) {
  return ImGui::GetFont()->CalcTextSizeA(ImGui::GetFontSize(), FLT_MAX, 0, text.data(), text.data() + text.size()).x;
}

ImVec2 plus(ImVec2 at, float x, float y) {
  return {at.x + x, at.y + y};
}

void Tokens::take_text(const Session& session) {
  if (trace_version_ == session.trace_version()) return;
  trace_version_ = session.trace_version();
  layout_.set_text(session.trace()->token_texts);
  search_.set_text(layout_.text());
  font_size_ = width_ = 0, hit_ = -1, shown_ = {};
  ImFont* const font = ImGui::GetFont();
  not_drawn_ = in_words(missing_glyphs(
      layout_.text(), [font](char32_t code) { return font->IsGlyphInFont(static_cast<ImWchar>(code)); }));
}

void Tokens::take_width(float width) {
  if (font_size_ != ImGui::GetFontSize()) {
    font_size_ = ImGui::GetFontSize(), width_ = 0;
    layout_.measure(width_of);
  }
  if (width_ == width) return;
  width_ = width, shown_ = {};
  layout_.wrap(width);
}

void Tokens::draw_step(const Session& session, int32_t step) const {
  const TraceInfo& info = session.trace()->info;
  const int32_t fed = info.n_prompt - 1 + step;
  ImGui::TextUnformatted(fmt::format("step {} feeds \u201c{}\u201d", step, session.token_text(fed)).c_str());
  if (const std::optional<float> logprob = logprob_of(session, fed + 1)) {
    ImGui::TextDisabled(
        "%s",
        fmt::format("next \u201c{}\u201d, log-probability {:.3f}", session.token_text(fed + 1), *logprob).c_str());
  }
  if (not_drawn_.empty()) return;
  ImGui::PushTextWrapPos(0);
  ImGui::TextDisabled("Characters without a picture in the fonts found here, drawn as boxes: %s.", not_drawn_.c_str());
  ImGui::PopTextWrapPos();
  ImGui::SetItemTooltip("fonts are looked for in /usr/share/fonts and ~/.local/share/fonts: %s",
                        fallback_fonts().c_str());
}

/// Goes to the next hit from the selected position on, or to the one before.
void Tokens::go_to_hit(Session& session, int direction) {
  const int32_t at = session.selection().position;
  const uint32_t from = hit_ >= 0 ? search_.hits()[static_cast<size_t>(hit_)].begin
                        : at >= 0 ? layout_.bytes_of(at).begin
                                  : 0;
  hit_ = direction < 0 ? search_.last_before(from) : search_.next_from(hit_ >= 0 ? from + 1 : from);
  if (hit_ >= 0) session.select_position(layout_.position_of(search_.hits()[static_cast<size_t>(hit_)].begin));
}

void Tokens::find(Session& session, SharedView& view) {
  search_.find(wanted_);
  hit_ = -1;
  view.found.clear();
  for (const ByteRange& hit : search_.hits()) {
    const int32_t last = layout_.position_of(hit.end - 1);
    for (int32_t i = layout_.position_of(hit.begin); i <= last; ++i) {
      if (view.found.empty() || view.found.back() < i) view.found.push_back(i);
    }
  }
  if (!wanted_.empty()) go_to_hit(session, 1);
}

void Tokens::draw_search(Session& session, SharedView& view) {
  const FindRequest asked = std::exchange(view.find, FindRequest::none);
  if (view.look_for) wanted_ = *std::exchange(view.look_for, std::nullopt);
  if (asked == FindRequest::type) ImGui::SetKeyboardFocusHere();
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 9);
  const bool entered = ImGui::InputTextWithHint(
      "##find", "find (Ctrl+F)", &wanted_, ImGuiInputTextFlags_EnterReturnsTrue | ImGuiInputTextFlags_AutoSelectAll);
  ImGui::SetItemTooltip(
      "in any case of letters, across tokens; Enter and F3: the next place, with Shift the one before");
  if (entered) ImGui::SetKeyboardFocusHere(-1);
  if (search_.wanted() != wanted_) find(session, view);
  const auto n = static_cast<int32_t>(search_.hits().size());
  ImGui::SameLine();
  ImGui::BeginDisabled(n == 0);
  const bool back = ImGui::ArrowButton("##previous", ImGuiDir_Up);
  ImGui::SameLine(0, 1);
  const bool on = ImGui::ArrowButton("##next", ImGuiDir_Down);
  ImGui::EndDisabled();
  const bool shift = ImGui::GetIO().KeyShift;
  if (on || (entered && !shift) || asked == FindRequest::next) go_to_hit(session, 1);
  if (back || (entered && shift) || asked == FindRequest::previous) go_to_hit(session, -1);
  if (wanted_.empty()) return;
  ImGui::SameLine();
  ImGui::TextDisabled("%s", n == 0 ? "not found" : fmt::format("{} of {}", hit_ + 1, n).c_str());
}

/// What the token under the mouse says, and what a click on it does.
void Tokens::point_at(Session& session, SharedView& view, int32_t position, int32_t step) const {
  if (position < session.trace()->info.n_prompt + step) view.next_hover = Cell{step, position};
  ImGui::SetTooltip("%s", colors_.describe(session, position, step).c_str());
  if (ImGui::IsMouseClicked(ImGuiMouseButton_Left)) session.select_position(position);
}

void Tokens::draw_hits(const SharedView& view, int32_t line, ImVec2 corner, float height) {
  const std::vector<ByteRange>& hits = search_.hits();
  const ByteRange bytes = layout_.line(line);
  auto hit = std::ranges::lower_bound(hits, bytes.begin, {}, &ByteRange::end);
  for (; hit != hits.end() && hit->begin < bytes.end; ++hit) {
    ImVec4 color = palette(view.light).threshold;
    color.w = hit - hits.begin() == hit_ ? 0.8F : 0.35F;
    spans_.clear();
    layout_.spans_of(line, *hit, spans_);
    for (const Span& span : spans_) {
      ImGui::GetWindowDrawList()->AddRectFilled(plus(corner, span.begin, 0), plus(corner, span.end, height),
                                                ImGui::ColorConvertFloat4ToU32(color));
    }
  }
}

void Tokens::draw_line(Session& session, SharedView& view, int32_t line, int32_t step) {
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  const float height = ImGui::GetTextLineHeight();
  ImDrawList& list = *ImGui::GetWindowDrawList();
  const ByteRange bytes = layout_.line(line);
  const int32_t first = layout_.position_of(bytes.begin), last = layout_.position_of(bytes.end - 1);
  const ImVec2 mouse = ImGui::GetIO().MousePos;
  std::optional<int32_t> under_mouse;
  if (ImGui::IsWindowHovered() && mouse.y >= corner.y && mouse.y < corner.y + height + 2) {
    under_mouse = layout_.position_at(line, mouse.x - corner.x);
  }
  const ImU32 frame = ImGui::ColorConvertFloat4ToU32(palette(view.light).cursor);
  const auto each_span = [&](int32_t position, const auto& draw) {
    spans_.clear();
    layout_.spans_of(line, layout_.bytes_of(position), spans_);
    for (const Span& span : spans_) draw(plus(corner, span.begin, 0), plus(corner, span.end, height));
  };
  for (int32_t i = first; i <= last; ++i) {
    const TokenColor color = colors_.of(session, view, i, step);
    each_span(i, [&](ImVec2 low, ImVec2 high) {
      if (color.behind != 0) list.AddRectFilled(low, plus(high, 0, 1), color.behind);
      if (color.line != 0) list.AddLine(ImVec2(low.x, high.y), high, color.line);
    });
  }
  draw_hits(view, line, corner, height);
  const int32_t n_position = session.trace()->info.n_prompt + step;  // positions that exist at this step
  const uint32_t split = n_position < layout_.n_position() ? layout_.bytes_of(n_position).begin : bytes.end;
  for (const TextLayout::Run& run : layout_.runs_of(line, split)) {
    const ImU32 ink = ImGui::GetColorU32(run.begin < split ? ImGuiCol_Text : ImGuiCol_TextDisabled);
    list.AddText(plus(corner, run.x, 0), ink, run.text.c_str());
  }
  const int32_t marked = view.hover ? view.hover->position : session.selection().position;
  for (const int32_t i : {marked, under_mouse.value_or(-1)}) {
    if (i < first || i > last) continue;
    each_span(i, [&](ImVec2 low, ImVec2 high) { list.AddRect(plus(low, -1, 0), plus(high, 1, 1), frame); });
  }
  if (under_mouse) point_at(session, view, *under_mouse, step);
  ImGui::Dummy(ImVec2(1, height));
}

/// To what was pointed at elsewhere, or else to the selected token or that of the selected step; under the mouse only
/// to what has been selected since.
void Tokens::scroll_to(const Session& session, const SharedView& view) {
  const Selection& at = session.selection();
  const int32_t fed = session.trace()->info.n_prompt - 1 + at.step;
  const Cell selected{at.step, at.position >= 0 ? at.position : fed};
  const bool hovered = ImGui::IsWindowHovered();
  if (hovered && selected == selected_) return;
  selected_ = selected;
  const Cell focus = view.hover && !hovered ? *view.hover : selected;
  if (focus == shown_) return;
  shown_ = focus;
  const float line_height = ImGui::GetTextLineHeightWithSpacing();
  const int32_t line = layout_.line_of(layout_.bytes_of(std::min(focus.position, layout_.n_position() - 1)).begin);
  const float y = static_cast<float>(line) * line_height;
  const float top = ImGui::GetScrollY(), room = ImGui::GetWindowHeight() - 2 * line_height;
  if (y < top + line_height || y > top + room) ImGui::SetScrollY(y - room / 2);
}

void Tokens::draw_text(Session& session, SharedView& view, int32_t step) {
  const float strip = 0.6F * ImGui::GetFontSize();
  take_width(ImGui::GetContentRegionAvail().x - 1.5F * strip);
  if (layout_.n_line() == 0) return;
  scroll_to(session, view);
  ImGuiListClipper clipper;
  clipper.Begin(layout_.n_line(), ImGui::GetTextLineHeightWithSpacing());
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) draw_line(session, view, i, step);
  }
  strip_.draw(session, view, colors_, layout_, session.selection().step, strip);
}

void Tokens::draw(Session& session, SharedView& view) {
  take_text(session);
  const int32_t step = view.hover ? view.hover->step : session.selection().step;
  draw_step(session, step);
  draw_search(session, view);
  colors_.draw_choice(session, view, step);
  ImGui::Separator();
  if (ImGui::BeginChild("text", ImVec2(0, 0), ImGuiChildFlags_None, ImGuiWindowFlags_AlwaysVerticalScrollbar)) {
    draw_text(session, view, step);
  }
  ImGui::EndChild();
}

}  // namespace

std::unique_ptr<Panel> make_tokens() {
  return std::make_unique<Tokens>();
}

}  // namespace reattend::viz
