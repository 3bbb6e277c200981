// The attention panel, of one layer and KV head: steps downwards, positions across, weights exact under the mouse.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <implot.h>

#include "viz/panels/color_scale.h"
#include "viz/panels/note_marks.h"
#include "viz/panels/panel.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/plot_helpers.h"
#include "viz/panels/step_axis.h"
#include "viz/panels/waiting.h"
#include "viz/panels/window_cells.h"
#include "viz/render/flow.h"
#include "viz/render/row_levels.h"
#include "viz/render/theme.h"
#include "viz/session/baseline.h"
#include "viz/session/differences.h"
#include "viz/session/layer_windows.h"

namespace reattend::viz {
namespace {

class AttentionMap : public Panel {
 public:
  const char* name() const override { return "Attention"; }
  Dock dock() const override { return Dock::centre_bottom; }
  const char* shows() const override {
    return "Attention of a layer: steps downwards, positions across; blue is attended to under the policy, orange is "
           "lost.";
  }
  std::vector<PanelTable> tables(const Session& session, const SharedView& view) const override {
    return {{"weights in view", [&] { return weights_table(session, view.steps, view.heat_positions); }}};
  }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_controls(Session& session, SharedView& view);
  void draw_plot(Session& session, SharedView& view, ImVec2 size);
  void draw_cells(Session& session, const SharedView& view);
  void paint(const Session& session, const SharedView& view);
  void draw_cross(const Session& session, const SharedView& view) const;
  void draw_found(const SharedView& view) const;
  void react(Session& session, SharedView& view);
  std::string describe(const Session& session, Cell cell, ImVec2 mouse) const;
  void draw_scale(const Session& session, const SharedView& view, ImVec2 size) const;
  void draw_legend() const;
  HeatColors colors(const SharedView& view, bool marked, bool compared) const;
  void look_at_layer(Session& session, int32_t layer);

  /// What the pixels were found from.
  struct Key {
    uint64_t trace, tiles;  ///< versions; another trace's tiles are counted from the start
    HeatView part;
    int32_t width, height;
    bool without_sinks;
    bool operator==(const Key&) const = default;
  };
  std::optional<Key> key_;
  ReducedPixels pixels_;
  /// What the image was painted from, beside the pixels.
  struct Look {
    std::shared_ptr<const PositionMasks> masks, before;  ///< of the trial, of the baseline
    HeatColors colors;
    bool sums;
    bool operator==(const Look&) const = default;
  };
  std::optional<Look> look_;
  HeatPaint image_;
  std::vector<float> painted_;    ///< [height][width]; negative: not attended to
  std::vector<uint8_t> changed_;  ///< [height][width] 1: the baseline does otherwise; empty without one
  /// A layer with a window of its own that is shown while the selected layer stays the one of before.
  std::optional<int32_t> windowed_;
  int32_t before_ = -1;  ///< the selected layer in the last frame
  float low_ = 1e-5F, high_ = 1;
  float strongest_ = 1;  ///< in view
  bool sums_ = false, without_sinks_ = false;
};

void show_all(const TraceInfo& info, SharedView& view) {
  view.steps = all_steps(info);
  view.fit_heat_map = true;
}

HeatColors AttentionMap::colors(const SharedView& view, bool marked, bool compared) const {
  HeatColors colors;
  const float high = without_sinks_ ? std::max(strongest_, low_ * 1.01F) : high_;
  colors.scale = {.low = view.logarithmic ? low_ : 0, .high = high, .logarithmic = view.logarithmic};
  if (marked) colors.positive = Colormap::blues, colors.negative = Colormap::oranges;
  if (compared) {
    colors.positive = Colormap::muted_blues, colors.negative = Colormap::muted_oranges;
    colors.changed_positive = Colormap::gained, colors.changed_negative = Colormap::newly_lost;
  }
  return colors;
}

/// What the baseline attends to, where the trial is another setting and both are shown by colour.
std::shared_ptr<const PositionMasks> compared_masks(const Session& session, const SharedView& view) {
  if (!view.marks || !session.shows_trial() || !session.attended_masks()) return nullptr;
  const std::optional<Baseline::Pinned>& pinned = session.data<Baseline>().pinned();
  return pinned && pinned->settings != session.settings() ? baseline_masks(session) : nullptr;
}

/// The panes cannot select a layer that is not recorded, which those with a window of their own never are.
void AttentionMap::look_at_layer(Session& session, int32_t layer) {
  windowed_.reset();
  if (!session.trace()->info.acts(layer)) {
    windowed_ = layer;
  } else {
    session.select_layer(layer);
  }
}

void AttentionMap::draw_controls(Session& session, SharedView& view) {
  const TraceInfo& info = session.trace()->info;
  const float width = ImGui::GetFontSize();
  int layer = windowed_.value_or(session.selection().layer), head = session.selection().kv_head;
  ImGui::SetNextItemWidth(width * 8);
  if (ImGui::SliderInt("##layer", &layer, 0, info.n_layer - 1, "layer %d", ImGuiSliderFlags_AlwaysClamp)) {
    look_at_layer(session, layer);
  }
  if (ImGui::IsItemHovered(ImGuiHoveredFlags_ForTooltip)) {
    const std::string windows = windows_in_words(info);
    ImGui::SetTooltip("layer ([ and ])%s%s", windows.empty() ? "" : "\n", windows.c_str());
  }
  flow(width * 7);
  ImGui::SetNextItemWidth(width * 7);
  if (ImGui::SliderInt("##head", &head, 0, info.n_kv_head - 1, "KV head %d", ImGuiSliderFlags_AlwaysClamp)) {
    session.select_kv_head(head);
  }
  ImGui::SetItemTooltip("KV head (up and down): the mean of its %d query heads' rows", info.group());
  flow(checkbox_width("attended"));
  ImGui::Checkbox("attended", &view.marks);
  ImGui::SetItemTooltip("blue: positions the simulated policy attends to; orange: attention that it loses");
  flow(checkbox_width("log"));
  ImGui::Checkbox("log", &view.logarithmic);
  ImGui::SetItemTooltip("logarithmic colours: on a linear scale the first tokens drown all others");
  flow(checkbox_width("sum"));
  ImGui::Checkbox("sum", &sums_);
  ImGui::SetItemTooltip(
      "a pixel shows the sum of the cells under it, not the strongest; its colour is that of the strongest");
  flow(checkbox_width("no sinks"));
  ImGui::Checkbox("no sinks", &without_sinks_);
  ImGui::SetItemTooltip(
      "leaves out the first %d positions, and ends the colour scale at what is strongest without them", kMaskedSinks);
  flow(width * 11);
  ImGui::SetNextItemWidth(width * 11);
  ImGui::DragFloatRange2("##range", &low_, &high_, 0.01F, 1e-7F, 1, "%.1e", "%.2g",
                         ImGuiSliderFlags_Logarithmic | ImGuiSliderFlags_AlwaysClamp);
  ImGui::SetItemTooltip("weights at the ends of the colour scale (drag, or double-click to type)");
  high_ = std::max(high_, low_ * 1.01F);
  flow(button_width("fit"));
  if (ImGui::Button("fit")) show_all(info, view);
  ImGui::SetItemTooltip("show everything (F)");
}

void AttentionMap::draw_cells(Session& session, const SharedView& view) {
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  const ImPlotRect limits = ImPlot::GetPlotLimits();
  // Row 0 is step 1.
  const HeatView part{limits.X.Min + 0.5, limits.X.Max + 0.5, limits.Y.Min - 0.5, limits.Y.Max - 0.5};
  const auto width = static_cast<int32_t>(size.x), height = static_cast<int32_t>(size.y);
  if (width <= 0 || height <= 0) return;
  const RowTiles& tiles = *session.rows();
  const Key key = {session.trace_version(), tiles.version(), part, width, height, without_sinks_};
  if (key_ != key) {
    reduce_tiles(tiles.tiles(), part, width, height, without_sinks_, pixels_);
    key_ = key, look_.reset();
  }
  paint(session, view);
  ImPlot::PushPlotClipRect();
  image_.draw(*ImPlot::GetPlotDrawList(), ImVec2(std::floor(corner.x), std::floor(corner.y)));
  ImPlot::PopPlotClipRect();
}

/// Colours the pixels by their strongest cells' classes.
void AttentionMap::paint(const Session& session, const SharedView& view) {
  const std::shared_ptr<const PositionMasks> masks = view.marks ? session.attended_masks() : nullptr;
  const std::vector<float>& values = sums_ ? pixels_.sums : pixels_.largest;
  if (without_sinks_ && (!look_ || look_->sums != sums_))
    strongest_ = std::max(0.0F, *std::ranges::max_element(values));
  const std::shared_ptr<const PositionMasks> before = compared_masks(session, view);
  const Look look = {masks, before, colors(view, masks != nullptr, before != nullptr), sums_};
  if (look_ == look) return;
  painted_.resize(values.size());
  changed_.assign(before ? values.size() : 0, 0);
  for (size_t i = 0; i < values.size(); ++i) {
    const HeatCell cell = pixels_.cells[i];
    const bool none = pixels_.largest[i] == kNoCell;
    const bool lost = !none && masks && masks->holds_step(cell.step) && !masks->holds(cell.step, cell.position);
    painted_[i] = none ? std::numeric_limits<float>::quiet_NaN() : lost ? -values[i] : values[i];
    if (none || !before || !before->holds_step(cell.step)) continue;
    changed_[i] = before->holds(cell.step, cell.position) == lost ? 1 : 0;
  }
  image_.paint(painted_, changed_, pixels_.width, pixels_.height, look.colors);
  look_ = look;
}

/// In the plot's upper right corner, where a row has no cells yet.
void AttentionMap::draw_legend() const {
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  const float em = ImGui::GetFontSize();
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  constexpr std::pair<const char*, Colormap> kEntries[] = {{"gained", Colormap::gained},
                                                           {"newly lost", Colormap::newly_lost}};
  float y = corner.y + 0.4F * em;
  for (const auto& [words, map] : kEntries) {
    const float x = corner.x + size.x - ImGui::CalcTextSize(words).x - 1.6F * em;
    list.AddRectFilled(ImVec2(x - 0.3F * em, y), ImVec2(corner.x + size.x - 0.3F * em, y + 1.2F * em),
                       IM_COL32(0, 0, 0, 200));
    color_bands(list, ImVec2(x, y + 0.15F * em), ImVec2(0.8F * em, 0.9F * em), color_table(map));
    list.AddText(ImVec2(x + 1.1F * em, y + 0.1F * em), IM_COL32_WHITE, words);
    y += 1.3F * em;
  }
}

void AttentionMap::draw_cross(const Session& session, const SharedView& view) const {
  const ImVec2 corner = ImPlot::GetPlotPos(), size = ImPlot::GetPlotSize();
  const ImU32 color = ImGui::ColorConvertFloat4ToU32(palette(view.light).cursor);
  const Selection& at = session.selection();
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  ImPlot::PushPlotClipRect();
  // Markers at the edges: a line across would hide the very row that is selected.
  const float top = ImPlot::PlotToPixels(0, at.step - 0.5).y, bottom = ImPlot::PlotToPixels(0, at.step + 0.5).y;
  const float middle = (top + bottom) / 2, mark = ImGui::GetFontSize() * 0.5F;
  for (const float x : {corner.x, corner.x + size.x}) {
    const float inward = x == corner.x ? mark : -mark;
    list.AddTriangleFilled(ImVec2(x, middle - mark * 0.6F), ImVec2(x, middle + mark * 0.6F), ImVec2(x + inward, middle),
                           color);
  }
  if (at.position >= 0) {
    const float x = ImPlot::PlotToPixels(at.position, 0).x;
    list.AddTriangleFilled(ImVec2(x - mark * 0.6F, corner.y), ImVec2(x + mark * 0.6F, corner.y),
                           ImVec2(x, corner.y + mark), color);
  }
  ImPlot::PopPlotClipRect();
}

/// Where the text holds what is looked for: short lines at the upper edge.
void AttentionMap::draw_found(const SharedView& view) const {
  const ImVec2 corner = ImPlot::GetPlotPos();
  const ImU32 color = ImGui::ColorConvertFloat4ToU32(palette(view.light).threshold);
  ImPlot::PushPlotClipRect();
  // A letter may stand at every third position of a long text: one line for a pixel, and none beside the plot.
  float last = -1;
  auto at = std::ranges::lower_bound(view.found, static_cast<int32_t>(std::floor(view.heat_positions.low)));
  for (; at != view.found.end() && *at <= view.heat_positions.high; ++at) {
    const float x = std::floor(ImPlot::PlotToPixels(*at, 0).x);
    if (std::exchange(last, x) == x) continue;
    ImPlot::GetPlotDrawList()->AddLine(ImVec2(x, corner.y), ImVec2(x, corner.y + 0.5F * ImGui::GetFontSize()), color,
                                       2);
  }
  ImPlot::PopPlotClipRect();
}

/// The cell under the mouse, exactly, and what its pixel shows where more cells lie under that.
std::string AttentionMap::describe(const Session& session, Cell cell, ImVec2 mouse) const {
  const std::optional<float> weight = session.weight(cell.step, cell.position);
  std::string text =
      fmt::format("step {}, position {}\ntoken \u201c{}\u201d\nweight {}", cell.step, cell.position,
                  session.token_text(cell.position), weight ? fmt::format("{:.9g}", *weight) : "is being read");
  if (const std::optional<bool> attended = session.attended(cell.step, cell.position)) {
    text += *attended ? "\nattended" : "\nnot attended";
    const std::optional<bool> before =
        session.shows_trial() ? baseline_attends(session, cell.step, cell.position) : std::nullopt;
    if (before && *before != *attended)
      text += *attended ? ": gained, the baseline does not" : ": newly lost, the baseline does";
  }
  if (!key_) return text;
  const ImVec2 corner = ImPlot::GetPlotPos();
  const int32_t x = std::clamp(static_cast<int32_t>(mouse.x - std::floor(corner.x)), 0, pixels_.width - 1);
  const int32_t y = std::clamp(static_cast<int32_t>(mouse.y - std::floor(corner.y)), 0, pixels_.height - 1);
  int64_t n_cell = 0;
  for (const CellsOfPixel& part :
       cells_of_pixel(session.rows()->tiles(), key_->part, pixels_.width, pixels_.height, x, y)) {
    n_cell += part.n_cell;
  }
  const size_t pixel = static_cast<size_t>(y) * static_cast<size_t>(pixels_.width) + static_cast<size_t>(x);
  if (n_cell <= 1 || pixels_.largest[pixel] == kNoCell) return text;
  const HeatCell strongest = pixels_.cells[pixel];
  text += fmt::format("\npixel: the strongest of {} cells, {:.4g} at step {}, position {}", n_cell,
                      pixels_.largest[pixel], strongest.step, strongest.position);
  if (sums_) text += fmt::format("; their sum {:.4g}", pixels_.sums[pixel]);
  return text;
}

void AttentionMap::react(Session& session, SharedView& view) {
  if (!ImPlot::IsPlotHovered()) return;
  view.focus = Focus::heat_map;
  const ImPlotPoint mouse = ImPlot::GetPlotMousePos();
  const Cell cell{cell_at(mouse.y), cell_at(mouse.x)};
  const TraceInfo& info = session.trace()->info;
  if (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) show_all(info, view);
  if (cell.step < 1 || cell.step > info.n_step || cell.position < 0 || cell.position >= info.n_prompt + cell.step)
    return;
  view.next_hover = cell;
  ImGui::SetTooltip("%s", (windowed_ ? describe_window_cell(session, *windowed_, cell)
                                     : describe(session, cell, ImGui::GetMousePos()))
                              .c_str());
  if (plot_clicked()) {
    session.select_step(cell.step);
    session.select_position(cell.position);
  }
}

void AttentionMap::draw_plot(Session& session, SharedView& view, ImVec2 size) {
  if (!ImPlot::BeginPlot("##attention", size, ImPlotFlags_NoTitle | ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText))
    return;
  ImPlot::SetupAxis(ImAxis_X1, "position", ImPlotAxisFlags_NoGridLines);
  set_up_whole_ticks(ImAxis_X1, view.heat_positions, size.x);
  ImPlot::SetupAxisLinks(ImAxis_X1, &view.heat_positions.low, &view.heat_positions.high);
  const TraceInfo& info = session.trace()->info;
  const Limits positions = cells(0, info.n_prompt + info.n_step - 1);
  const double most = positions.high - positions.low;
  ImPlot::SetupAxisLimitsConstraints(ImAxis_X1, positions.low, positions.high);
  ImPlot::SetupAxisZoomConstraints(ImAxis_X1, std::min(4.0, most), most);
  set_up_step_axis(info, view, StepsGo::down, "step", ImPlotAxisFlags_NoGridLines | ImPlotAxisFlags_Invert, size.y);
  const HeatView part = {view.heat_positions.low, view.heat_positions.high, view.steps.low, view.steps.high};
  RowTiles::Shown shown = {
      .steps = {static_cast<int32_t>(std::floor(part.row_low)), static_cast<int32_t>(std::ceil(part.row_high))}};
  shown.weights = level_for(part, static_cast<int32_t>(size.x), static_cast<int32_t>(size.y)) < kFineLevels;
  if (view.hover) shown.under_mouse = view.hover->step;
  session.show_rows(shown);
  if (windowed_) {
    draw_window_cells(info, *windowed_, view);
    draw_found(view);
    react(session, view);
  } else if (session.rows() != nullptr) {
    draw_cells(session, view);
    draw_cross(session, view);
    draw_found(view);
    if (!changed_.empty()) draw_legend();
    react(session, view);
    mark_notes_over_cells(session, view);
  } else if (session.waiting_for(Task::rows)) {
    const ImVec2 corner = ImPlot::GetPlotPos();
    ImPlot::GetPlotDrawList()->AddText(ImVec2(corner.x + 10, corner.y + 10), ImGui::GetColorU32(ImGuiCol_Text),
                                       "computing attention rows ...");
  }
  draw_step_marks(session, view, StepsGo::down);
  mark_range(info, view, StepsGo::down);
  view.heat_corner = ImPlot::GetPlotPos(), view.heat_size = ImPlot::GetPlotSize();
  ImPlot::EndPlot();
}

void AttentionMap::draw_scale(const Session& session, const SharedView& view, ImVec2 size) const {
  const bool marked = view.marks && session.layer() != nullptr;
  draw_color_scale(colors(view, marked, compared_masks(session, view) != nullptr), marked, size);
}

void AttentionMap::draw(Session& session, SharedView& view) {
  if (lacks_steps(session)) return;
  const TraceInfo& info = session.trace()->info;
  if (view.fit_heat_map) {
    view.heat_positions = cells(0, info.n_prompt + info.n_step - 1);
    view.fit_heat_map = false;
  }
  const int32_t selected = session.selection().layer;
  const bool is_none = windowed_ && (*windowed_ >= info.n_layer || info.acts(*windowed_));
  if (std::exchange(before_, selected) != selected || is_none) windowed_.reset();
  draw_controls(session, view);
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float scale_width = ImGui::GetFontSize() * 4;
  draw_plot(session, view, ImVec2(room.x - scale_width - ImGui::GetStyle().ItemSpacing.x, room.y));
  if (windowed_) return;
  ImGui::SameLine();
  draw_scale(session, view, ImVec2(scale_width, room.y));
}

}  // namespace

std::unique_ptr<Panel> make_heat_map() {
  return std::make_unique<AttentionMap>();
}

}  // namespace reattend::viz
