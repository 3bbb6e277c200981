// The heads panel: every KV head of every layer as a small picture of what it loses step by step, as a grid or as a
// list with the worst first.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>
#include <imgui.h>

#include "viz/panels/panel.h"
#include "viz/panels/panel_charts.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/plot_helpers.h"
#include "viz/panels/waiting.h"
#include "viz/render/flow.h"
#include "viz/render/theme.h"
#include "viz/session/head_grid.h"

namespace reattend::viz {
namespace {

struct MeasureName {
  const char *name, *help;
};
/// In the order of LayerMeasure.
constexpr MeasureName kNames[kLayerMeasures] = {
    {"choosing anew", "share of the steps at which the KV head chooses anew"},
    {"lost mass", "attention that the KV head's query heads do not attend to"},
    {"lost overlap", "share of the step's own best positions that are not in the kept set"},
    {"output error", "relative error of the heads' outputs, mean of the KV head's query heads"}};

enum class Column : uint8_t { layer, kv_head, mean, p95, steps };

class Heads : public Panel {
 public:
  const char* name() const override { return "Heads"; }
  Dock dock() const override { return Dock::centre_bottom; }
  const char* shows() const override { return "Every head of every layer side by side: where something is lost."; }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    const auto measure = static_cast<LayerMeasure>(measure_);
    return {{"heads", [&session, measure] { return heads_table(session, measure); }},
            {"stretches", [&session, measure] { return stretches_table(session, measure); }}};
  }
  MakeChart chart() const override {
    return [measure = measure_](const Session& session) {
      return heads_chart(session, static_cast<LayerMeasure>(measure), kNames[measure].name);
    };
  }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_grid(Session& session, const SharedView& view);
  void draw_list(Session& session, const SharedView& view);
  void sort();
  /// The mean as the colour of the ground, and bars of the largest value in each stretch of the trace.
  void draw_story(const HeadStory& head, ImVec2 corner, ImVec2 size) const;
  void tell(const Session& session, const HeadStory& head) const;
  static void select(Session& session, const HeadStory& head);

  std::shared_ptr<const HeadPage> page_;  ///< of this frame
  int measure_ = static_cast<int>(LayerMeasure::lost_mass);
  bool as_list_ = false;
  std::vector<int32_t> order_;  ///< of the list: places in the page
  Column sorted_by_ = Column::mean;
  bool downwards_ = true;
  std::shared_ptr<const HeadPage> sorted_;  ///< that order_ is of
};

void Heads::select(Session& session, const HeadStory& head) {
  session.select_layer(head.layer);
  session.select_kv_head(head.kv_head);
}

void Heads::tell(const Session& session, const HeadStory& head) const {
  const std::string where = fmt::format("layer {}, KV head {}", head.layer, head.kv_head);
  if (!std::isnan(head.mean)) {
    ImGui::SetTooltip("%s: %s %.4f, 95 %% of steps at most %.4f", where.c_str(), kNames[measure_].name, head.mean,
                      head.p95);
    return;
  }
  ImGui::SetTooltip("%s: unknown, %s", where.c_str(),
                    session.why_unknown(static_cast<LayerMeasure>(measure_), head.layer).c_str());
}

void Heads::draw_story(const HeadStory& head, ImVec2 corner, ImVec2 size) const {
  ImDrawList& list = *ImGui::GetWindowDrawList();
  if (std::isnan(head.mean)) return hatch(list, corner, size);
  const double most = page_->largest_mean;
  const auto share = static_cast<float>(most > 0 ? head.mean / most : 0);
  list.AddRectFilled(corner, ImVec2(corner.x + size.x, corner.y + size.y),
                     color_of(color_table(Colormap::viridis), share));
  // Dark bars on bright ground and the other way round.
  const ImU32 color = share > 0.6F ? IM_COL32(0, 0, 0, 170) : IM_COL32(255, 255, 255, 190);
  const auto n_bar = std::clamp(static_cast<int32_t>(size.x), 1, HeadStory::kStretches);
  const float width = size.x / static_cast<float>(n_bar);
  for (int32_t bar = 0; bar < n_bar; ++bar) {
    const auto begin = head.largest.begin() + bar * HeadStory::kStretches / n_bar;
    const auto end = head.largest.begin() + (bar + 1) * HeadStory::kStretches / n_bar;
    float value = 0;
    for (auto each = begin; each != end; ++each) value = std::fmax(value, *each);
    const float left = corner.x + static_cast<float>(bar) * width, bottom = corner.y + size.y;
    list.AddRectFilled(ImVec2(left, bottom - size.y * std::min(value, 1.0F)), ImVec2(left + width, bottom), color);
  }
}

void Heads::draw_grid(Session& session, const SharedView& view) {
  const TraceInfo& info = session.trace()->info;
  const float em = ImGui::GetFontSize(), label = 2.5F * em;
  const ImVec2 room = ImGui::GetContentRegionAvail(), corner = ImGui::GetCursorScreenPos();
  const ImVec2 cell = {std::max(3.0F, (room.x - label) / static_cast<float>(info.n_layer)),
                       std::max(0.8F * em, (room.y - 1.5F * em) / static_cast<float>(info.n_kv_head))};
  ImDrawList& list = *ImGui::GetWindowDrawList();
  const ImU32 text = ImGui::GetColorU32(ImGuiCol_Text);
  for (const HeadStory& head : page_->heads) {
    const ImVec2 at = {corner.x + label + static_cast<float>(head.layer) * cell.x,
                       corner.y + static_cast<float>(head.kv_head) * cell.y};
    const ImVec2 inner = {std::max(2.0F, cell.x - 1), cell.y - 1};
    ImGui::SetCursorScreenPos(at);
    ImGui::PushID(head.layer * info.n_kv_head + head.kv_head);
    if (ImGui::InvisibleButton("head", inner)) select(session, head);
    if (ImGui::IsItemHovered()) tell(session, head);
    ImGui::PopID();
    if (!ImGui::IsRectVisible(at, ImVec2(at.x + inner.x, at.y + inner.y))) continue;
    draw_story(head, at, inner);
    if (head.layer == session.selection().layer && head.kv_head == session.selection().kv_head) {
      list.AddRect(at, ImVec2(at.x + inner.x, at.y + inner.y),
                   ImGui::ColorConvertFloat4ToU32(palette(view.light).cursor), 0, 2);
    }
    if (head.layer == 0) list.AddText(ImVec2(corner.x, at.y), text, fmt::format("kv {}", head.kv_head).c_str());
  }
  const float below = corner.y + cell.y * static_cast<float>(info.n_kv_head);
  const double across = static_cast<double>(cell.x) * info.n_layer;
  for (const double tick : whole_ticks(0, info.n_layer - 1, static_cast<float>(across), 3 * em)) {
    const float x = corner.x + label + (static_cast<float>(tick) + 0.5F) * cell.x;
    const std::string name = fmt::format("{:.0f}", tick);
    list.AddText(ImVec2(x - ImGui::CalcTextSize(name.c_str()).x / 2, below), text, name.c_str());
  }
  list.AddText(ImVec2(corner.x, below), text, "layer");
}

void Heads::sort() {
  const ImGuiTableSortSpecs* const specs = ImGui::TableGetSortSpecs();
  if (specs != nullptr && specs->SpecsCount > 0) {
    const auto by = static_cast<Column>(specs->Specs[0].ColumnUserID);
    const bool down = specs->Specs[0].SortDirection == ImGuiSortDirection_Descending;
    if (by != sorted_by_ || down != downwards_) sorted_.reset();
    sorted_by_ = by, downwards_ = down;
  }
  if (sorted_ == page_) return;
  sorted_ = page_;
  const std::vector<HeadStory>& heads = page_->heads;
  order_.resize(heads.size());
  std::iota(order_.begin(), order_.end(), 0);
  const auto key = [&](int32_t i) -> double {
    const HeadStory& head = heads[static_cast<size_t>(i)];
    switch (sorted_by_) {
      case Column::layer:
        return head.layer;
      case Column::kv_head:
        return head.kv_head;
      case Column::p95:
        return head.p95;
      case Column::mean:
      case Column::steps:
        break;
    }
    return head.mean;
  };
  std::ranges::stable_sort(order_, [&](int32_t a, int32_t b) {
    if (std::isnan(key(a)) || std::isnan(key(b))) return !std::isnan(key(a)) && std::isnan(key(b));  // unknown last
    return downwards_ ? key(a) > key(b) : key(a) < key(b);
  });
}

void Heads::draw_list(Session& session, const SharedView& view) {
  constexpr ImGuiTableFlags kFlags = ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_BordersInnerV |
                                     ImGuiTableFlags_Sortable | ImGuiTableFlags_SizingFixedFit;
  if (!ImGui::BeginTable("heads", 5, kFlags)) return;
  const float em = ImGui::GetFontSize();
  const auto column = [&](const char* title, Column which, float width, ImGuiTableColumnFlags flags) {
    ImGui::TableSetupColumn(title, ImGuiTableColumnFlags_PreferSortDescending | flags, width * em,
                            static_cast<ImGuiID>(which));
  };
  ImGui::TableSetupScrollFreeze(0, 1);
  column("layer", Column::layer, 3.5F, 0);
  column("KV head", Column::kv_head, 5, 0);
  column("mean", Column::mean, 4, ImGuiTableColumnFlags_DefaultSort);
  column("p95", Column::p95, 4, 0);
  column("by step", Column::steps, 0, ImGuiTableColumnFlags_NoSort | ImGuiTableColumnFlags_WidthStretch);
  ImGui::TableHeadersRow();
  sort();
  const float height = 1.5F * em;
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(order_.size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      const HeadStory& head = page_->heads[static_cast<size_t>(order_[static_cast<size_t>(i)])];
      const bool selected = head.layer == session.selection().layer && head.kv_head == session.selection().kv_head;
      ImGui::TableNextRow(0, height);
      ImGui::PushID(order_[static_cast<size_t>(i)]);
      ImGui::TableNextColumn();
      if (ImGui::Selectable(std::to_string(head.layer).c_str(), selected, ImGuiSelectableFlags_SpanAllColumns))
        select(session, head);
      if (ImGui::IsItemHovered()) tell(session, head);
      ImGui::TableNextColumn();
      ImGui::Text("%d", head.kv_head);
      for (const double value : {head.mean, head.p95}) {
        ImGui::TableNextColumn();
        std::isnan(value) ? ImGui::TextColored(palette(view.light).dim, "\u2013") : ImGui::Text("%.4f", value);
      }
      ImGui::TableNextColumn();
      draw_story(head, ImGui::GetCursorScreenPos(), {ImGui::GetContentRegionAvail().x, height - 2});
      ImGui::PopID();
    }
  }
  ImGui::EndTable();
}

void Heads::draw(Session& session, SharedView& view) {
  if (lacks_steps(session)) return;
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 9);
  if (ImGui::BeginCombo("##measure", kNames[measure_].name)) {
    for (int i = 0; i < kLayerMeasures; ++i) {
      if (ImGui::Selectable(kNames[i].name, i == measure_)) measure_ = i;
      ImGui::SetItemTooltip("%s", kNames[i].help);
    }
    ImGui::EndCombo();
  }
  flow(checkbox_width("grid"));
  if (ImGui::RadioButton("grid", !as_list_)) as_list_ = false;
  flow(checkbox_width("worst first"));
  if (ImGui::RadioButton("worst first", as_list_)) as_list_ = true;
  page_ = session.data<HeadGrid>().ask(static_cast<LayerMeasure>(measure_));
  if (page_ == nullptr) return ImGui::TextDisabled("once all layers are replayed \u2026");
  const double most = page_->largest_mean;
  const std::string brightest = std::isnan(most) ? "nothing known" : fmt::format("brightest: mean {:.4f}", most);
  flow(text_width(brightest.c_str()));
  ImGui::TextDisabled("%s", brightest.c_str());
  ImGui::SetItemTooltip(
      "ground: mean over the steps, from 0 to the largest of all heads;\nbars: largest value in each "
      "of up to %d stretches of the trace, 1 at full height",
      HeadStory::kStretches);
  as_list_ ? draw_list(session, view) : draw_grid(session, view);
}

}  // namespace

std::unique_ptr<Panel> make_heads() {
  return std::make_unique<Heads>();
}

}  // namespace reattend::viz
