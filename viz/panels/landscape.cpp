// The landscape panel: a policy's settings over two of its parameters, coloured by what they are predicted to harm,
// with the setting under trial as a cross to drag; below it the threshold at that setting.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <imgui.h>
#include <implot.h>

#include "policies/policy.h"
#include "policies/value_text.h"
#include "viz/panels/panel.h"
#include "viz/panels/panel_charts.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/plot_helpers.h"
#include "viz/panels/waiting.h"
#include "viz/render/contours.h"
#include "viz/render/heatmap.h"
#include "viz/render/theme.h"
#include "viz/session/landscape.h"
#include "viz/session/measured.h"

namespace reattend::viz {
namespace {

/// On any colour of the map.
constexpr ImU32 kWhite = IM_COL32(255, 255, 255, 255), kBlack = IM_COL32(0, 0, 0, 200);

/// What a map looks like, made again when something more is known.
struct Look {
  uint64_t version = 0;        ///< of the map
  std::vector<float> harm;     ///< [n_row][n_column], the highest row first; nan: not known
  std::vector<double> cost;    ///< [n_row][n_column] of the map's own order
  std::vector<double> excess;  ///< logarithm of the ratio to the bounds, the same order
  HeatColors colors;
  HeatMap picture;
  void make(const Landscape& map);
};

void Look::make(const Landscape& map) {
  if (version == map.version) return;
  version = map.version;
  const size_t n_column = map.across.size(), n_row = map.upwards.size();
  const float unknown = std::nanf("");
  harm.assign(map.cells.size(), unknown);
  cost.assign(map.cells.size(), std::nan("")), excess = cost;
  const bool has_kl = map.judged.prediction.curve.exists();
  float low = HUGE_VALF, high = 0;
  for (size_t i = 0; i < map.cells.size(); ++i) {
    if (!map.cells[i].metrics) continue;
    const Metrics& metrics = *map.cells[i].metrics;
    const auto value = static_cast<float>(has_kl ? metrics.predicted_kl : metrics.estimate);
    harm[(n_row - 1 - i / n_column) * n_column + i % n_column] = value;
    if (value > 0) low = std::min(low, value), high = std::max(high, value);
    cost[i] = metrics.cost;
    // A setting that loses nothing is as far within as one can be.
    excess[i] = std::log(std::max(1e-9, reattend::excess(metrics, map.judged, Evidence::predicted)));
  }
  if (!(high > 0)) low = high = 1;
  colors.scale = {.low = low * 0.99F, .high = high * 1.01F, .logarithmic = true};
}

class LandscapePanel : public Panel {
 public:
  const char* name() const override { return "Landscape"; }
  Dock dock() const override { return Dock::right_top; }
  const char* shows() const override {
    return "Settings by what they are predicted to cost and harm, with the one under trial as a cross to drag.";
  }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"settings", [&session] { return landscape_table(session); }}};
  }
  MakeChart chart() const override { return landscape_chart; }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_head(Session& session, const SharedView& view, const Landscape& map) const;
  void draw_map(Session& session, SharedView& view, const Landscape& map, Look& look, const char* id, ImVec2 size);
  void draw_lines(const Landscape& map, const Look& look) const;
  void draw_front(const Landscape& map) const;
  void draw_cross(const Session& session, const Landscape& map) const;
  void draw_measured(const Session& session, const Landscape& map, const Look& look) const;
  void draw_scale(const Look& look, ImVec2 size) const;
  void react(Session& session, const Landscape& map, const char* id);

  Look map_, thresholds_;
  std::string dragged_;  ///< id of the plot on which the cross is being dragged
};

/// contour() of a map's values, in its places; lines go across where the map is one cell wide, or high.
std::vector<Segment> lines_of(const Landscape& map, const std::vector<double>& values, double level) {
  const auto n_row = static_cast<int32_t>(map.upwards.size()), n_column = static_cast<int32_t>(map.across.size());
  if (n_row > 1 && n_column > 1) return contour(values, n_row, n_column, level);
  std::vector<double> twice;
  for (const double each : values) {
    twice.push_back(each);
    if (n_column == 1) twice.push_back(each);
  }
  if (n_column > 1) twice.insert(twice.end(), values.begin(), values.end());
  std::vector<Segment> lines = contour(twice, std::max(n_row, 2), std::max(n_column, 2), level);
  const ImVec2 shift(n_column == 1 ? 0.5F : 0, n_column > 1 ? 0.5F : 0);
  for (Segment& each : lines) {
    for (ImVec2* const end : {&each.from, &each.to}) end->x -= shift.x, end->y -= shift.y;
  }
  return lines;
}

std::string in_words(const Metrics& metrics, const Landscape& map) {
  const Prediction& law = map.judged.prediction;
  std::string text;
  if (!std::isnan(metrics.predicted_kl)) {
    text = fmt::format("KL {:.3g} ({:.2g} to {:.2g})", metrics.predicted_kl, metrics.predicted_kl / law.curve.spread,
                       metrics.predicted_kl * law.curve.spread);
  } else {
    text = fmt::format("{} {:.4g}", law.estimate, metrics.estimate);
  }
  if (!map.judged.calibrated) return text + fmt::format(", {:.3g} MB/token", metrics.cost);
  const double gain = metrics.speed_up;
  return text + fmt::format(", {:.2f} ms, {:.2f} times as {}", metrics.cost, std::max(gain, 1 / gain),
                            gain >= 1 ? "fast" : "slow");
}

/// "S = 16, K = L/8 (624)".
std::string place_in_words(const Settings& settings, const Landscape& map, int32_t n_prompt) {
  std::string text;
  for (const Axis* const axis : {&map.across, &map.upwards}) {
    if (axis->key.empty()) continue;
    const Value& value = settings.get(axis->key);
    if (!text.empty()) text += ", ";
    text += fmt::format("{} = {}", axis->key, to_text(value));
    if (std::holds_alternative<std::string>(value))
      text += fmt::format(" ({:.0f})", number_of(settings, *axis, n_prompt));
  }
  return text;
}

void LandscapePanel::draw_head(Session& session, const SharedView& view, const Landscape& map) const {
  const TraceInfo& info = session.trace()->info;
  const Prediction& law = map.judged.prediction;
  std::string what = map.n_known == 0 ? "nothing replayed yet; " : "none is faster than full attention; ";
  if (map.best) {
    const LandscapeCell& best = map.cells[*map.best];
    const bool within = !map.judged.reason.beyond_bounds;
    what = within ? "\u2605 the fastest within the bounds; " : "\u2605 none is within the bounds, the nearest; ";
    if (ImGui::Button(fmt::format("\u2605 {}###best", place_in_words(best.settings, map, info.n_prompt)).c_str())) {
      session.set_settings(best.settings);
    }
    ImGui::SetItemTooltip("%s\nclick to take it", in_words(*best.metrics, map).c_str());
  }
  what += fmt::format("colour: {}; lines: {}/token; {} of {}", law.curve.exists() ? "predicted KL" : law.estimate,
                      map.judged.calibrated ? "ms" : "MB", map.n_known, map.n_possible);
  ImGui::PushTextWrapPos(0);
  ImGui::TextColored(palette(view.light).dim, "%s", what.c_str());
  ImGui::PopTextWrapPos();
  ImGui::SetItemTooltip(
      "of so many settings on the map so many are replayed\npink line: the bounds; dots: the front; rings: measured, "
      "in the colour of what was found");
}

void LandscapePanel::draw_lines(const Landscape& map, const Look& look) const {
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  const auto draw = [&](const std::vector<Segment>& segments, ImU32 color, float width) {
    for (const Segment& each : segments) {
      list.AddLine(ImPlot::PlotToPixels(each.from.x, each.from.y), ImPlot::PlotToPixels(each.to.x, each.to.y), color,
                   width);
    }
  };
  constexpr int kLevels = 6;
  const ImU32 line = IM_COL32(255, 255, 255, 130), label = IM_COL32(255, 255, 255, 230), shade = IM_COL32(0, 0, 0, 170);
  const float text = ImGui::GetFontSize();
  std::vector<ImVec2> labels;  // corners of those that are drawn
  for (const double level : round_levels(look.cost, kLevels)) {
    const std::vector<Segment> segments = lines_of(map, look.cost, level);
    draw(segments, line, text * 0.07F);
    if (segments.empty() || map.upwards.size() < 2) continue;
    const Segment& middle = segments[segments.size() / 2];
    const ImVec2 at = ImPlot::PlotToPixels(middle.from.x, middle.from.y);
    const std::string words = fmt::format("{:.4g}", level);
    const ImVec2 size = ImGui::CalcTextSize(words.c_str());
    const ImVec2 low = ImPlot::GetPlotPos(), room = ImPlot::GetPlotSize();
    const ImVec2 corner(std::clamp(at.x - size.x / 2, low.x + 2, std::max(low.x + 2, low.x + room.x - size.x - 2)),
                        std::clamp(at.y - size.y / 2, low.y, std::max(low.y, low.y + room.y - size.y)));
    const auto meets = [&](ImVec2 other) {
      return std::abs(other.x - corner.x) < size.x + text && std::abs(other.y - corner.y) < text;
    };
    if (std::ranges::any_of(labels, meets)) continue;
    labels.push_back(corner);
    list.AddRectFilled(ImVec2(corner.x - 2, corner.y), ImVec2(corner.x + size.x + 2, corner.y + text), shade, 2);
    list.AddText(corner, label, words.c_str());
  }
  draw(lines_of(map, look.excess, 0), ImGui::ColorConvertFloat4ToU32(palette(false).threshold),
       std::max(2.0F, text * 0.2F));
}

void LandscapePanel::draw_front(const Landscape& map) const {
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  const float unit = ImGui::GetFontSize();
  const auto n_column = map.across.size();
  const auto centre = [&](size_t cell) {
    return ImPlot::PlotToPixels(static_cast<double>(cell % n_column), static_cast<double>(cell / n_column));
  };
  std::vector<ImVec2> path;
  for (const size_t cell : map.front) path.push_back(centre(cell));
  list.AddPolyline(path.data(), static_cast<int>(path.size()), IM_COL32(255, 255, 255, 110), unit * 0.07F);
  for (const ImVec2& at : path) {
    list.AddCircleFilled(at, unit * 0.22F, kBlack);
    list.AddCircleFilled(at, unit * 0.15F, kWhite);
  }
  if (map.best) {
    const ImVec2 size = ImGui::CalcTextSize("\u2605"), at = centre(*map.best);
    list.AddCircleFilled(at, unit * 0.62F, kBlack);
    list.AddText(ImVec2(at.x - size.x / 2, at.y - size.y / 2), IM_COL32(255, 214, 64, 255), "\u2605");
  }
}

void LandscapePanel::draw_cross(const Session& session, const Landscape& map) const {
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  const float unit = ImGui::GetFontSize();
  const int32_t n_prompt = session.trace()->info.n_prompt;
  const double x = number_of(session.settings(), map.across, n_prompt);
  const double y = number_of(session.settings(), map.upwards, n_prompt);
  const auto decides = [&](const Axis& axis) { return axis.key.empty() || session.settings().decides(axis.key); };
  if (std::isnan(x) || std::isnan(y) || !decides(map.across) || !decides(map.upwards)) return;
  const ImVec2 at = ImPlot::PlotToPixels(map.across.place(x), map.upwards.place(y));
  const float arm = unit * 0.9F, gap = unit * 0.3F;
  for (const auto& [color, width] : {std::pair{kBlack, unit * 0.27F}, std::pair{kWhite, unit * 0.14F}}) {
    list.AddLine(ImVec2(at.x - arm, at.y), ImVec2(at.x - gap, at.y), color, width);
    list.AddLine(ImVec2(at.x + gap, at.y), ImVec2(at.x + arm, at.y), color, width);
    list.AddLine(ImVec2(at.x, at.y - arm), ImVec2(at.x, at.y - gap), color, width);
    list.AddLine(ImVec2(at.x, at.y + gap), ImVec2(at.x, at.y + arm), color, width);
  }
}

/// A filled point of the colour of the measured KL, where the map has the predicted one's.
void LandscapePanel::draw_measured(const Session& session, const Landscape& map, const Look& look) const {
  ImDrawList& list = *ImPlot::GetPlotDrawList();
  const float unit = ImGui::GetFontSize();
  const bool has_kl = map.judged.prediction.curve.exists();
  for (const auto& [measured, across, upwards] : measured_on(session, map)) {
    const ImVec2 at = ImPlot::PlotToPixels(across, upwards);
    const double kl = measured->measured.kl;
    const ImU32 color =
        has_kl && kl > 0 ? color_of(color_table(look.colors.positive), look.colors.scale.place(static_cast<float>(kl)))
                         : kWhite;
    list.AddCircleFilled(at, unit * 0.42F, kBlack);
    list.AddCircleFilled(at, unit * 0.36F, kWhite);
    list.AddCircleFilled(at, unit * 0.26F, color);
  }
}

void LandscapePanel::react(Session& session, const Landscape& map, const char* id) {
  const bool hovered = ImPlot::IsPlotHovered();
  if (hovered && ImGui::IsMouseClicked(ImGuiMouseButton_Left)) dragged_ = id;
  if (!ImGui::IsMouseDown(ImGuiMouseButton_Left)) dragged_.clear();
  if (!hovered && dragged_ != id) return;
  const ImPlotPoint mouse = ImPlot::GetPlotMousePos();
  const auto nearest = [](double place, size_t n) {
    return static_cast<size_t>(std::clamp<int32_t>(cell_at(place), 0, static_cast<int32_t>(n) - 1));
  };
  const LandscapeCell& cell =
      map.cells[map.cell(nearest(mouse.x, map.across.size()), nearest(mouse.y, map.upwards.size()))];
  std::string text = place_in_words(cell.settings, map, session.trace()->info.n_prompt);
  if (!cell.impossible.empty()) {
    text += "\nnot possible: " + cell.impossible;
  } else if (!cell.metrics) {
    text += "\nnot replayed yet";
  } else {
    const double excess = reattend::excess(*cell.metrics, map.judged, Evidence::predicted);
    text += "\n" + in_words(*cell.metrics, map) + "\n" +
            (std::isnan(excess) ? "within the bounds: not known"
             : excess <= 1      ? "within the bounds"
                                : "beyond the bounds");
  }
  for (const auto& [measured, across, upwards] : measured_on(session, map)) {
    if (cell_at(across) != cell_at(mouse.x) || cell_at(upwards) != cell_at(mouse.y)) continue;
    text += fmt::format("\nmeasured{}: KL {:.3g}", measured->settings == cell.settings ? "" : " close by",
                        measured->measured.kl);
    if (measured->measured.ms > 0) text += fmt::format(", {:.2f} ms", measured->measured.ms);
  }
  ImGui::SetTooltip("%s", text.c_str());
  if (dragged_ == id && cell.impossible.empty() && cell.settings != session.settings()) {
    session.set_settings(cell.settings);
  }
}

void LandscapePanel::draw_map(Session& session, SharedView& view, const Landscape& map, Look& look, const char* id,
                              ImVec2 size) {
  look.make(map);
  look.colors = map_.colors;  // one scale for both
  constexpr ImPlotFlags kFlags = ImPlotFlags_NoTitle | ImPlotFlags_NoLegend | ImPlotFlags_NoMouseText |
                                 ImPlotFlags_NoMenus | ImPlotFlags_NoBoxSelect;
  if (!ImPlot::BeginPlot(id, size, kFlags)) return;
  constexpr ImPlotAxisFlags kLocked = ImPlotAxisFlags_Lock | ImPlotAxisFlags_NoGridLines | ImPlotAxisFlags_NoMenus;
  std::vector<std::string> labels;
  for (const auto& [where, axis] : {std::pair{ImAxis_X1, &map.across}, std::pair{ImAxis_Y1, &map.upwards}}) {
    const bool varies = !axis->key.empty();
    ImPlot::SetupAxis(where, varies ? axis->key.c_str() : nullptr,
                      varies ? kLocked : kLocked | ImPlotAxisFlags_NoDecorations);
    ImPlot::SetupAxisLimits(where, -0.5, static_cast<double>(axis->size()) - 0.5, ImPlotCond_Always);
    if (!varies) continue;
    const bool lies = where == ImAxis_X1;
    const float em = ImGui::GetFontSize();
    const float cell = (lies ? size.x - 4 * em : size.y - 3 * em) / static_cast<float>(axis->size());
    std::vector<double> places;
    labels.clear();
    float end = -HUGE_VALF;  // of the last label
    for (size_t i = 0; i < axis->size(); ++i) {
      std::string label = to_text(axis->values[i]);
      const float half = (lies ? ImGui::CalcTextSize(label.c_str()).x : em) / 2, at = static_cast<float>(i) * cell;
      if (!axis->tried[i] || at - half < end) continue;
      end = at + half + em / 3;
      places.push_back(static_cast<double>(i)), labels.push_back(std::move(label));
    }
    std::vector<const char*> texts;
    for (const std::string& each : labels) texts.push_back(each.c_str());
    ImPlot::SetupAxisTicks(where, places.data(), static_cast<int>(places.size()), texts.data());
  }
  const ImVec2 corner = ImPlot::GetPlotPos(), inner = ImPlot::GetPlotSize();
  ImPlot::PushPlotClipRect();
  hatch(*ImPlot::GetPlotDrawList(), corner, inner);
  const auto n_row = static_cast<int32_t>(map.upwards.size()), n_column = static_cast<int32_t>(map.across.size());
  const HeatMatrix matrix = {look.harm.data(), n_row, n_column, {}, look.version};
  look.picture.draw(*ImPlot::GetPlotDrawList(), ImVec2(std::floor(corner.x), std::floor(corner.y)),
                    static_cast<int32_t>(inner.x), static_cast<int32_t>(inner.y), matrix,
                    {0, static_cast<double>(n_column), 0, static_cast<double>(n_row)}, look.colors);
  draw_lines(map, look);
  if (&look == &map_) draw_front(map);
  draw_measured(session, map, look);
  draw_cross(session, map);
  ImPlot::PopPlotClipRect();
  react(session, map, id);
  if (&look == &map_) view.landscape_corner = corner, view.landscape_size = inner;
  ImPlot::EndPlot();
}

void LandscapePanel::draw_scale(const Look& look, ImVec2 size) const {
  const ImVec2 corner = ImGui::GetCursorScreenPos();
  ImGui::Dummy(size);
  const float line = ImGui::GetFontSize(), bar = line * 0.8F, top = corner.y + line * 0.6F;
  const float height = size.y - line * 1.2F;
  ImDrawList& list = *ImGui::GetWindowDrawList();
  color_bands(list, ImVec2(corner.x, top), ImVec2(bar, height), color_table(look.colors.positive));
  const ColorScale& scale = look.colors.scale;
  float last = HUGE_VALF;
  for (int power = static_cast<int>(std::floor(std::log10(scale.low))); power <= 6; ++power) {
    for (const float part : {1.0F, 2.0F, 5.0F}) {
      const float value = part * std::pow(10.0F, static_cast<float>(power));
      if (value < scale.low || value > scale.high) continue;
      const float y = top + height * (1 - scale.place(value));
      if (last - y < line * 1.1F) continue;
      last = y;
      list.AddText(ImVec2(corner.x + bar + line * 0.3F, y - line / 2), ImGui::GetColorU32(ImGuiCol_Text),
                   fmt::format("{:.4g}", value).c_str());
    }
  }
}

void LandscapePanel::draw(Session& session, SharedView& view) {
  if (lacks_steps(session)) return;
  const TraceInfo& info = session.trace()->info;
  if (info.n_stored() < info.n_acting()) {
    ImGui::TextWrapped("No map: the trace does not store all layers, and of some of them follows neither KL nor time.");
    return;
  }
  const Axes axes = axes_of(session.settings(), info);
  const Axis threshold = threshold_axis(session.settings(), axes);
  if (axes.across.key.empty() && axes.upwards.key.empty()) {
    ImGui::TextWrapped("%s has nothing to vary.", session.settings().policy().c_str());
    return;
  }
  Landscapes& maps = session.data<Landscapes>();
  const Landscape& map = maps.ask(session, session.settings(), axes.across, axes.upwards);
  draw_head(session, view, map);
  const ImVec2 room = ImGui::GetContentRegionAvail();
  const float line = ImGui::GetFontSize(), scale = line * 4, least = line * 6;
  if (room.y < least || room.x < scale + least) return ImGui::TextDisabled("make this pane larger");
  const bool strip_fits = !threshold.key.empty() && room.y > 2 * least;
  const float strip = strip_fits ? line * 5 : 0;
  const ImVec2 size(room.x - scale - ImGui::GetStyle().ItemSpacing.x, room.y - strip - ImGui::GetStyle().ItemSpacing.y);
  if (!ImPlot::BeginAlignedPlots("##aligned", true)) return;
  draw_map(session, view, map, map_, "##map", size);
  ImGui::SameLine();
  draw_scale(map_, ImVec2(scale, size.y));
  if (strip_fits) {
    const Landscape& at = maps.ask(session, session.settings(), threshold, {});
    draw_map(session, view, at, thresholds_, "##thresholds", ImVec2(size.x, strip));
  }
  ImPlot::EndAlignedPlots();
}

}  // namespace

std::unique_ptr<Panel> make_landscape() {
  return std::make_unique<LandscapePanel>();
}

}  // namespace reattend::viz
