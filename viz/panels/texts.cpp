// The texts panel: what the model writes under full attention and under a setting, side by side, with the token at
// which they part, its step, and the layers that lost most there.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <imgui.h>

#include "viz/panels/panel.h"
#include "viz/panels/panel_tables.h"
#include "viz/render/flow.h"
#include "viz/render/theme.h"
#include "viz/session/engine.h"
#include "viz/session/measured.h"
#include "viz/session/token_text.h"

namespace reattend::viz {
namespace {

constexpr size_t kLayersNamed = 5;

/// A text in lines as wide as a column, token by token.
class Column {
 public:
  void lay_out(const Written& written, float width);
  /// Tokens before `n_common` are dim, that one is marked. Returns the token that was clicked, or -1.
  int32_t draw(const char* id, size_t n_common, const Palette& colors, ImVec2 size) const;

 private:
  struct Placed {
    std::string text;
    float x = 0, width = 0;
    int32_t line = 0;
  };
  std::vector<Placed> tokens_;
  int32_t n_line_ = 0;
};

void Column::lay_out(const Written& written, float width) {
  tokens_.clear();
  float x = 0;
  int32_t line = 0;
  size_t begin = 0;
  for (const size_t end : written.ends) {
    const std::string_view piece = std::string_view(written.text).substr(begin, end - begin);
    begin = end;
    Placed token = {.text = drawable(piece)};
    token.width = ImGui::CalcTextSize(token.text.c_str()).x;
    if (x > 0 && x + token.width > width) ++line, x = 0;
    token.x = x, token.line = line;
    x += token.width;
    tokens_.push_back(std::move(token));
    if (piece.ends_with('\n')) ++line, x = 0;
  }
  n_line_ = line + 1;
}

int32_t Column::draw(const char* id, size_t n_common, const Palette& colors, ImVec2 size) const {
  int32_t clicked = -1;
  if (ImGui::BeginChild(id, size, ImGuiChildFlags_Borders)) {
    const float height = ImGui::GetTextLineHeightWithSpacing();
    const ImVec2 corner = ImGui::GetCursorScreenPos(), mouse = ImGui::GetMousePos();
    ImDrawList& list = *ImGui::GetWindowDrawList();
    const ImU32 common = ImGui::ColorConvertFloat4ToU32(colors.dim), own = ImGui::GetColorU32(ImGuiCol_Text);
    ImVec4 mark = colors.lost;
    mark.w = 0.55F;
    ImGui::Dummy(ImVec2(1, height * static_cast<float>(n_line_)));
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const Placed& token = tokens_[i];
      const ImVec2 low(corner.x + token.x, corner.y + height * static_cast<float>(token.line));
      const ImVec2 high(low.x + token.width, low.y + height);
      if (!ImGui::IsRectVisible(low, high)) continue;
      if (i == n_common) list.AddRectFilled(low, high, ImGui::ColorConvertFloat4ToU32(mark));
      list.AddText(low, i < n_common ? common : own, token.text.c_str());
      const bool hovered = mouse.x >= low.x && mouse.x < high.x && mouse.y >= low.y && mouse.y < high.y;
      if (!hovered || !ImGui::IsWindowHovered()) continue;
      ImGui::SetTooltip("token %zu, chosen after step %zu", i + 1, i);
      if (ImGui::IsMouseReleased(ImGuiMouseButton_Left)) clicked = static_cast<int32_t>(i);
    }
  }
  ImGui::EndChild();
  return clicked;
}

std::string piece_of(const Written& written, size_t token) {
  if (token >= written.ends.size()) return "nothing";
  const size_t begin = token > 0 ? written.ends[token - 1] : 0;
  return "\"" + drawable(std::string_view(written.text).substr(begin, written.ends[token] - begin)) + "\"";
}

class TextsPanel : public Panel {
 public:
  const char* name() const override { return "Texts"; }
  Dock dock() const override { return Dock::right_bottom; }
  const char* shows() const override {
    return "What the model writes under the setting and under full attention, side by side.";
  }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"both texts", [&session] { return two_texts_table(session); }}};
  }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_head(Session& session, const SharedView& view, const TwoTexts& texts, size_t recorded);
  void draw_layers(Session& session, int32_t step);

  Column full_, policy_;
  uint64_t version_ = 0;
  float width_ = 0, font_size_ = 0;
};

void TextsPanel::draw_layers(Session& session, int32_t step) {
  const HeatMatrix lost = session.layer_map(LayerMeasure::lost_mass);
  std::vector<std::pair<float, int32_t>> layers;
  for (int32_t l = 0; lost.values != nullptr && l < lost.n_row; ++l) {
    const float value = lost.values[int64_t{l} * lost.n_column + step - 1];
    if (!std::isnan(value)) layers.emplace_back(value, l);
  }
  std::ranges::stable_sort(layers, std::greater(), &std::pair<float, int32_t>::first);
  layers.resize(std::min(layers.size(), kLayersNamed));
  const char* const words = layers.empty() ? "no layer is replayed yet" : "most attention lost there, by layer:";
  flow(text_width(words));
  ImGui::AlignTextToFramePadding();
  ImGui::TextUnformatted(words);
  for (const auto& [value, layer] : layers) {
    const std::string label = fmt::format("{}: {:.3f}###layer{}", layer, value, layer);
    flow(button_width(label.c_str()));
    if (ImGui::Button(label.c_str())) session.select_layer(layer), session.select_step(step);
    ImGui::SetItemTooltip("layer %d loses %.3g of its attention at step %d\nclick: show it in all panes", layer,
                          static_cast<double>(value), step);
  }
}

void TextsPanel::draw_head(Session& session, const SharedView& view, const TwoTexts& texts, size_t recorded) {
  const Palette& colors = palette(view.light);
  ImGui::PushTextWrapPos(0);
  if (!texts.part()) {
    ImGui::TextColored(colors.kept, "%zu tokens, the same in both texts (%s).", texts.n_common,
                       texts.settings.summary().c_str());
    ImGui::PopTextWrapPos();
    return;
  }
  const int32_t step = texts.step();
  ImGui::TextWrapped("%s",
                     fmt::format("{}: {} tokens are alike. Then full attention goes on with {}, the setting with {}.",
                                 texts.settings.summary(), texts.n_common, piece_of(texts.full, texts.n_common),
                                 piece_of(texts.policy, texts.n_common))
                         .c_str());
  const bool on_record = recorded >= texts.n_common && step >= 1 && step <= session.trace()->info.n_step;
  if (!on_record) {
    ImGui::TextColored(colors.dim, "%s",
                       step < 1
                           ? "They part before the first step: not the policy's doing."
                           : fmt::format("The recorded text is another from token {} on, so the trace does not have "
                                         "the step at which they part.",
                                         recorded + 1)
                                 .c_str());
    ImGui::PopTextWrapPos();
    return;
  }
  ImGui::PopTextWrapPos();
  if (ImGui::Button(fmt::format("step {}###step", step).c_str())) session.select_step(step);
  ImGui::SetItemTooltip("the step whose output chose another token; click: select it in all panes");
  if (texts.settings != session.settings()) {
    flow(button_width("try its setting again"));
    if (ImGui::Button("try its setting again")) session.set_settings(Settings(texts.settings));
    ImGui::SetItemTooltip("the layers that lost most there are known of the setting under trial alone");
  } else {
    draw_layers(session, step);
  }
}

void TextsPanel::draw(Session& session, SharedView& view) {
  const Engine& engine = session.data<Engine>();
  const TwoTexts* const texts = engine.texts();
  if (texts == nullptr) {
    ImGui::TextWrapped(
        "Read it, in the panel Engine, lets the model write from the recorded prompt: under full attention and under "
        "the setting under trial. Both texts then stand here side by side.");
    return;
  }
  const TraceInfo& info = session.trace()->info;
  const size_t recorded = n_recorded(texts->full, session.data<Measured>().files().tokens, info.n_prompt);
  draw_head(session, view, *texts, recorded);
  const ImGuiStyle& style = ImGui::GetStyle();
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float width = (room.x - style.ItemSpacing.x) / 2, font = ImGui::GetFontSize();
  if (version_ != engine.texts_version() || width_ != width || font_size_ != font) {
    version_ = engine.texts_version(), width_ = width, font_size_ = font;
    const float inner = width - 2 * style.WindowPadding.x - style.ScrollbarSize;
    full_.lay_out(texts->full, inner), policy_.lay_out(texts->policy, inner);
  }
  const float height = room.y - ImGui::GetTextLineHeightWithSpacing();
  const Palette& colors = palette(view.light);
  const float left = ImGui::GetCursorPosX();
  ImGui::TextDisabled("full attention");
  ImGui::SameLine(left + width + style.ItemSpacing.x);
  ImGui::TextDisabled("%s", texts->settings.summary().c_str());
  const int32_t one = full_.draw("full", texts->n_common, colors, ImVec2(width, height));
  ImGui::SameLine();
  const int32_t other = policy_.draw("policy", texts->n_common, colors, ImVec2(width, height));
  const int32_t clicked = std::max(one, other);
  const bool shared = other < 0 || static_cast<size_t>(other) <= texts->n_common;
  if (clicked >= 1 && shared && static_cast<size_t>(clicked) <= recorded) session.select_step(clicked);
}

}  // namespace

std::unique_ptr<Panel> make_texts() {
  return std::make_unique<TextsPanel>();
}

}  // namespace reattend::viz
