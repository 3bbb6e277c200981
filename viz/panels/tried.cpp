// The panel of settings that were tried: dots of harm and time, or lines across axes, and the same as rows of a table;
// a click goes back to one.
#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <imgui.h>
#include <implot.h>

#include "policies/policy.h"
#include "viz/panels/panel.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/parallel_axes.h"
#include "viz/panels/tried_plot.h"
#include "viz/render/theme.h"
#include "viz/session/axes.h"
#include "viz/session/baseline.h"
#include "viz/session/differences.h"
#include "viz/session/landscape.h"
#include "viz/session/tried.h"

namespace reattend::viz {
namespace {

/// What rows are sorted by.
enum class Column : uint8_t { order, setting, harm, cost, lost, error, harm_change, cost_change, measured };

class TriedPanel : public Panel {
 public:
  const char* name() const override { return "Tried"; }
  Dock dock() const override { return Dock::right_top; }
  const char* shows() const override { return "Every setting that was tried, by what it costs and harms."; }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"tried", [&session] { return tried_table(session); }}};
  }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_lines(Session& session, const SharedView& view, ImVec2 size);
  void draw_table(Session& session, const SharedView& view);
  void draw_row(Session& session, const TriedSetting& tried);
  /// The axes' numbers of a setting.
  std::vector<double> numbers(const Settings& settings, const Metrics& metrics, const TraceInfo& info) const;
  void make_axes(const Session& session);
  std::vector<const TriedSetting*> in_order(const Session& session) const;

  bool as_lines_ = false;
  bool has_kl_ = false;
  TriedPlot plot_;
  ParallelAxes ranges_;
  std::vector<std::string> keys_;   ///< parameters that have an axis, before harm and cost
  std::vector<ParallelAxis> axes_;  ///< of keys_, harm, cost
  std::optional<Settings> forgotten_;
};

std::vector<double> TriedPanel::numbers(const Settings& settings, const Metrics& metrics, const TraceInfo& info) const {
  std::vector<double> out;
  for (const std::string& key : keys_) {
    const bool has = settings.takes(key) && settings.decides(key);
    out.push_back(has ? number_of(settings, Axis{.key = key, .values = {}, .numbers = {}}, info.n_prompt)
                      : std::nan(""));
  }
  out.push_back(harm_of(metrics, has_kl_));
  out.push_back(metrics.cost);
  return out;
}

/// Parameters that are numbers and differ between settings of the policy under trial.
void TriedPanel::make_axes(const Session& session) {
  const TraceInfo& info = session.trace()->info;
  keys_.clear(), axes_.clear();
  for (const PolicyParameter& each : session.settings().info().parameters) {
    const ParamType type = each.parameter->type;
    if (type == ParamType::count || type == ParamType::real) keys_.emplace_back(each.parameter->key);
  }
  std::vector<std::vector<double>> all;
  for (const TriedSetting& each : session.data<Tried>().settings()) {
    all.push_back(numbers(each.settings, each.metrics, info));
  }
  for (const LandscapeCell* const cell : session.data<Landscapes>().known()) {
    all.push_back(numbers(cell->settings, *cell->metrics, info));
  }
  std::vector<std::string> kept;
  for (size_t i = 0; i < keys_.size() + 2; ++i) {
    std::vector<double> values;
    for (const std::vector<double>& each : all) {
      if (std::isfinite(each[i])) values.push_back(each[i]);
    }
    const bool is_key = i < keys_.size();
    const bool differs = !values.empty() && std::ranges::min(values) < std::ranges::max(values);
    if (is_key && !differs) continue;
    if (is_key) kept.push_back(keys_[i]);
    const bool counts = is_key && find_parameter(keys_[i])->type == ParamType::count;
    const std::string title = is_key ? keys_[i] : i == keys_.size() ? harm_name(session) : cost_name(session);
    axes_.push_back(axis_around(title, values, counts || i == keys_.size()));
  }
  keys_ = std::move(kept);
}

void TriedPanel::draw_lines(Session& session, const SharedView& view, ImVec2 size) {
  const TraceInfo& info = session.trace()->info;
  const Palette& colors = palette(view.light);
  std::vector<ParallelLine> lines;
  std::vector<std::pair<const Settings*, const Metrics*>> of;
  const auto add = [&](const Settings& settings, const Metrics& metrics, ImVec4 color, float width) {
    if (settings.policy() != session.settings().policy()) return;
    const float em = ImGui::GetFontSize();
    lines.push_back({numbers(settings, metrics, info), ImGui::ColorConvertFloat4ToU32(color), width * em});
    of.emplace_back(&settings, &metrics);
  };
  ImVec4 faint = colors.dim;
  faint.w = 0.35F;
  for (const LandscapeCell* const cell : session.data<Landscapes>().known()) {
    add(cell->settings, *cell->metrics, faint, 0.06F);
  }
  const auto& pinned = session.data<Baseline>().pinned();
  for (const TriedSetting& each : session.data<Tried>().settings()) {
    const bool is_now = each.settings == session.settings();
    const bool is_baseline = pinned && pinned->trace.empty() && pinned->settings == each.settings;
    add(each.settings, each.metrics,
        is_now        ? colors.threshold
        : is_baseline ? colors.full
                      : colors.kept,
        is_now || is_baseline ? 0.2F : 0.1F);
  }
  const std::optional<size_t> under = ranges_.draw("##lines", size, axes_, lines);
  if (!under) return;
  const auto& [settings, metrics] = of[*under];
  const bool clicked = ImGui::IsItemClicked();
  ImGui::SetTooltip("%s\nclick: try it", numbers_in_words(session, *settings, *metrics).c_str());
  if (clicked) session.set_settings(Settings(*settings));
}

std::vector<const TriedSetting*> TriedPanel::in_order(const Session& session) const {
  const TraceInfo& info = session.trace()->info;
  std::vector<const TriedSetting*> rows;
  for (const TriedSetting& each : session.data<Tried>().settings()) {
    const bool passes =
        !as_lines_ || !ranges_.filters() || ranges_.passes(axes_, numbers(each.settings, each.metrics, info));
    if (passes) rows.push_back(&each);
  }
  const ImGuiTableSortSpecs* const specs = ImGui::TableGetSortSpecs();
  if (specs == nullptr || specs->SpecsCount == 0) return rows;
  const auto column = static_cast<Column>(specs->Specs[0].ColumnUserID);
  const bool down = specs->Specs[0].SortDirection == ImGuiSortDirection_Descending;
  if (column == Column::setting) {
    std::ranges::stable_sort(rows, {}, [](const TriedSetting* each) { return each->settings.summary(); });
    if (down) std::ranges::reverse(rows);
    return rows;
  }
  const auto value = [&](const TriedSetting& each) -> double {
    switch (column) {
      case Column::order:
      case Column::setting:
        break;
      case Column::harm:
      case Column::harm_change:
        return harm_of(each.metrics, has_kl_);
      case Column::cost:
      case Column::cost_change:
        return each.metrics.cost;
      case Column::lost:
        return each.metrics.lost;
      case Column::error:
        return each.metrics.output_error_mean;
      case Column::measured:
        return each.metrics.measured ? each.metrics.measured->kl : std::nan("");
    }
    return static_cast<double>(&each - session.data<Tried>().settings().data());
  };
  // What is not known comes last, whichever way the others go.
  const auto key = [&](const TriedSetting* each) {
    const double x = value(*each);
    return std::isnan(x) ? HUGE_VAL : down ? -x : x;
  };
  std::ranges::stable_sort(rows, {}, key);
  return rows;
}

void TriedPanel::draw_row(Session& session, const TriedSetting& tried) {
  const Metrics& metrics = tried.metrics;
  const auto cell = [](double x, const char* format) {
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(std::isnan(x) ? "\u2013" : fmt::format(fmt::runtime(format), x).c_str());
  };
  const Baseline& baseline = session.data<Baseline>();
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  const std::string text = in_few_words(tried.settings, session.settings());
  if (ImGui::Selectable(text.c_str(), tried.settings == session.settings(), ImGuiSelectableFlags_SpanAllColumns)) {
    session.set_settings(Settings(tried.settings));
  }
  ImGui::SetItemTooltip("%s\nclick: back to it; right click: more",
                        numbers_in_words(session, tried.settings, metrics).c_str());
  if (ImGui::BeginPopupContextItem("row")) {
    if (ImGui::MenuItem("pin as baseline")) session.data<Baseline>().pin({tried.settings, {}});
    if (ImGui::MenuItem("forget")) forgotten_ = tried.settings;
    ImGui::EndPopup();
  }
  cell(harm_of(metrics, has_kl_), "{:.3g}");
  cell(metrics.cost, "{:.2f}");
  cell(metrics.lost, "{:.3f}");
  cell(metrics.output_error_mean, "{:.3f}");
  if (baseline.pinned()) {
    const Metrics* const before =
        baseline.on_this_trace() && baseline.judged() != nullptr ? &baseline.judged()->metrics : nullptr;
    const auto change = [&](double now, double then, const char* format) {
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(before != nullptr ? signed_difference(now, then, format).c_str() : "\u2013");
    };
    change(harm_of(metrics, has_kl_), before != nullptr ? harm_of(*before, has_kl_) : 0, "{:.2g}");
    change(metrics.cost, before != nullptr ? before->cost : 0, "{:.2f}");
  }
  cell(metrics.measured ? metrics.measured->kl : std::nan(""), "{:.3g}");
}

void TriedPanel::draw_table(Session& session, const SharedView&) {
  constexpr ImGuiTableFlags kFlags = ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_ScrollX |
                                     ImGuiTableFlags_Sortable | ImGuiTableFlags_BordersInnerV |
                                     ImGuiTableFlags_SizingFixedFit;
  const bool compares = session.data<Baseline>().pinned().has_value();
  if (!ImGui::BeginTable("settings", compares ? 8 : 6, kFlags)) return;
  const auto column = [](const std::string& title, Column what, ImGuiTableColumnFlags flags = 0) {
    ImGui::TableSetupColumn(title.c_str(), flags, 0, static_cast<ImGuiID>(what));
  };
  ImGui::TableSetupScrollFreeze(1, 1);
  column("setting", Column::setting);
  column(harm_name(session), Column::harm, ImGuiTableColumnFlags_DefaultSort);
  column(cost_name(session), Column::cost);
  column("lost", Column::lost), column("error", Column::error);
  if (compares) {
    column("\u0394 " + harm_name(session), Column::harm_change),
        column("\u0394 " + cost_name(session), Column::cost_change);
  }
  column("KL measured", Column::measured);
  ImGui::TableHeadersRow();
  const std::vector<const TriedSetting*> rows = in_order(session);
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(rows.size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      ImGui::PushID(i);
      draw_row(session, *rows[static_cast<size_t>(i)]);
      ImGui::PopID();
    }
  }
  ImGui::EndTable();
}

void TriedPanel::draw(Session& session, SharedView& view) {
  if (session.tuning() == nullptr) return ImGui::TextDisabled("no trace");
  Tried& tried = session.data<Tried>();
  has_kl_ = session.tuning()->prediction.curve.exists();
  if (forgotten_) tried.forget(*std::exchange(forgotten_, std::nullopt));
  if (tried.settings().empty()) {
    return ImGui::TextWrapped(
        "Every setting whose numbers become known is kept here: the first once all layers are replayed.");
  }
  if (ImGui::RadioButton("dots", !as_lines_)) as_lines_ = false;
  ImGui::SetItemTooltip("%s by %s", harm_name(session).c_str(), cost_name(session).c_str());
  ImGui::SameLine();
  if (ImGui::RadioButton("lines", as_lines_)) as_lines_ = true;
  ImGui::SetItemTooltip("an axis for each number; drag along an axis to see only lines that cross it there");
  ImGui::SameLine();
  ImGui::BeginDisabled(!ranges_.filters());
  if (ImGui::Button("all")) ranges_.clear();
  ImGui::EndDisabled();
  ImGui::SameLine();
  ImGui::TextDisabled("%zu tried", tried.settings().size());
  const ImVec2 room = ImGui::GetContentRegionAvail();
  constexpr float kPlotShare = 0.58F;
  const ImVec2 size(room.x, room.y * kPlotShare);
  if (as_lines_) {
    make_axes(session);
    draw_lines(session, view, size);
  } else {
    plot_.draw(session, view, size);
  }
  draw_table(session, view);
}

}  // namespace

std::unique_ptr<Panel> make_tried() {
  return std::make_unique<TriedPanel>();
}

}  // namespace reattend::viz
