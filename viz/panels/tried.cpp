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
#include "viz/panels/panel_charts.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/parallel_axes.h"
#include "viz/panels/tried_plot.h"
#include "viz/panels/waiting.h"
#include "viz/render/theme.h"
#include "viz/session/axes.h"
#include "viz/session/baseline.h"
#include "viz/session/differences.h"
#include "viz/session/landscape.h"
#include "viz/session/tried.h"

namespace reattend::viz {
namespace {

/// What rows are sorted by.
enum class Column : uint8_t { setting, harm, cost, lost, error, harm_change, cost_change, measured };

class TriedPanel : public Panel {
 public:
  const char* name() const override { return "Tried"; }
  Dock dock() const override { return Dock::right_top; }
  const char* shows() const override { return "Every setting that was tried, by what it costs and harms."; }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"tried", [&session] { return tried_table(session); }}};
  }
  MakeChart chart() const override { return tried_chart; }
  void draw(Session& session, SharedView& view) override;

 private:
  /// A setting as the panel shows it.
  struct Row {
    Settings settings;
    Metrics metrics;
    std::string text;             ///< the setting in few words
    std::vector<double> numbers;  ///< of axes_
    bool tried = false;           ///< otherwise a cell of a map
  };
  /// What rows_ and axes_ are made of.
  struct Key {
    uint64_t trace = 0, tried = 0, maps = 0;
    std::string policy;
    bool operator==(const Key&) const = default;
  };
  void make(const Session& session);
  void make_axes(const Session& session);
  void draw_lines(Session& session, const SharedView& view, ImVec2 size);
  void draw_table(Session& session);
  void draw_row(Session& session, const Row& row);
  double value_of(const Row& row, Column column) const;
  std::vector<const Row*> in_order() const;

  bool as_lines_ = false;
  bool has_kl_ = false;
  TriedPlot plot_;
  ParallelAxes ranges_;
  Key key_;
  std::vector<Row> rows_;           ///< tried ones first, in their order
  std::vector<ParallelAxis> axes_;  ///< of parameters, then of harm and cost
  std::optional<Settings> forgotten_;
};

void TriedPanel::make(const Session& session) {
  const Tried& tried = session.data<Tried>();
  const Landscapes& maps = session.data<Landscapes>();
  Key key = {session.trace_version(), tried.version(), maps.version(), session.settings().policy()};
  if (key == key_) return;
  key_ = std::move(key);
  rows_.clear();
  const auto add = [&](const Settings& settings, const Metrics& metrics, bool is_tried) {
    rows_.push_back({settings, metrics, in_few_words(settings, session.settings()), {}, is_tried});
    rows_.back().metrics.layers.clear();
  };
  for (const TriedSetting& each : tried.settings()) add(each.settings, each.metrics, true);
  for (const LandscapeCell* const cell : maps.known()) add(cell->settings, *cell->metrics, false);
  make_axes(session);
}

/// Parameters that are numbers and differ between settings have one, if the policy under trial takes them.
void TriedPanel::make_axes(const Session& session) {
  axes_.clear();
  const auto add = [&](const std::string& title, bool logarithmic, const auto& number) {
    std::vector<double> values, known;
    for (const Row& row : rows_) {
      values.push_back(number(row));
      if (std::isfinite(values.back())) known.push_back(values.back());
    }
    const bool differs = !known.empty() && std::ranges::min(known) < std::ranges::max(known);
    if (!differs && find_parameter(title) != nullptr) return;
    for (size_t i = 0; i < rows_.size(); ++i) rows_[i].numbers.push_back(values[i]);
    axes_.push_back(axis_around(title, known, logarithmic));
  };
  const int32_t n_prompt = session.trace()->info.n_prompt;
  for (const PolicyParameter& each : session.settings().info().parameters) {
    const ParamType type = each.parameter->type;
    if (type != ParamType::count && type != ParamType::real) continue;
    Axis axis;
    axis.key = each.parameter->key;
    add(axis.key, type == ParamType::count, [&](const Row& row) {
      const bool has = row.settings.takes(axis.key) && row.settings.decides(axis.key);
      return has ? number_of(row.settings, axis, n_prompt) : std::nan("");
    });
  }
  add(harm_name(session), true, [&](const Row& row) { return harm_of(row.metrics, has_kl_); });
  add(cost_name(session), false, [](const Row& row) { return row.metrics.cost; });
}

void TriedPanel::draw_lines(Session& session, const SharedView& view, ImVec2 size) {
  const Palette& colors = palette(view.light);
  std::vector<ParallelLine> lines;
  std::vector<const Row*> of;
  const auto add = [&](const Row& row, ImVec4 color, float width) {
    if (row.settings.policy() != session.settings().policy()) return;
    lines.push_back({row.numbers, ImGui::ColorConvertFloat4ToU32(color), width * ImGui::GetFontSize()});
    of.push_back(&row);
  };
  ImVec4 faint = colors.dim;
  faint.w = 0.35F;
  for (const Row& row : rows_) {
    if (!row.tried) add(row, faint, 0.06F);
  }
  const auto& pinned = session.data<Baseline>().pinned();
  for (const Row& row : rows_) {
    if (!row.tried) continue;
    const bool is_now = row.settings == session.settings();
    const bool is_baseline = pinned && pinned->trace.empty() && pinned->settings == row.settings;
    add(row, is_now ? colors.threshold : is_baseline ? colors.full : colors.kept, is_now || is_baseline ? 0.2F : 0.1F);
  }
  const std::optional<size_t> under = ranges_.draw("##lines", size, axes_, lines);
  if (!under) return;
  const Row& row = *of[*under];
  const bool clicked = ImGui::IsItemClicked();
  ImGui::SetTooltip("%s\nclick: try it", numbers_in_words(session, row.settings, row.metrics).c_str());
  if (clicked) session.set_settings(row.settings);
}

double TriedPanel::value_of(const Row& row, Column column) const {
  switch (column) {
    case Column::setting:
      break;
    case Column::harm:
    case Column::harm_change:
      return harm_of(row.metrics, has_kl_);
    case Column::cost:
    case Column::cost_change:
      return row.metrics.cost;
    case Column::lost:
      return row.metrics.lost;
    case Column::error:
      return row.metrics.output_error_mean;
    case Column::measured:
      return row.metrics.measured ? row.metrics.measured->kl : std::nan("");
  }
  return 0;
}

/// Tried ones within the ranges, as the heads of the current table's columns ask.
std::vector<const TriedPanel::Row*> TriedPanel::in_order() const {
  std::vector<const Row*> rows;
  for (const Row& row : rows_) {
    if (row.tried && (!as_lines_ || ranges_.passes(axes_, row.numbers))) rows.push_back(&row);
  }
  const ImGuiTableSortSpecs* const specs = ImGui::TableGetSortSpecs();
  if (specs == nullptr || specs->SpecsCount == 0) return rows;
  const auto column = static_cast<Column>(specs->Specs[0].ColumnUserID);
  const bool down = specs->Specs[0].SortDirection == ImGuiSortDirection_Descending;
  if (column == Column::setting) {
    std::ranges::stable_sort(rows, {}, &Row::text);
    if (down) std::ranges::reverse(rows);
    return rows;
  }
  // What is not known comes last, whichever way the others go.
  std::ranges::stable_sort(rows, {}, [&](const Row* row) {
    const double x = value_of(*row, column);
    return std::isnan(x) ? HUGE_VAL : down ? -x : x;
  });
  return rows;
}

void TriedPanel::draw_row(Session& session, const Row& row) {
  const Metrics& metrics = row.metrics;
  const auto cell = [](double x, const char* format) {
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(std::isnan(x) ? "\u2013" : fmt::format(fmt::runtime(format), x).c_str());
  };
  const Baseline& baseline = session.data<Baseline>();
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  if (ImGui::Selectable(row.text.c_str(), row.settings == session.settings(), ImGuiSelectableFlags_SpanAllColumns)) {
    session.set_settings(row.settings);
  }
  ImGui::SetItemTooltip("%s\nclick: back to it; right click: more",
                        numbers_in_words(session, row.settings, metrics).c_str());
  if (ImGui::BeginPopupContextItem("row")) {
    if (ImGui::MenuItem("pin as baseline")) session.data<Baseline>().pin({row.settings, {}});
    if (ImGui::MenuItem("forget")) forgotten_ = row.settings;
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

void TriedPanel::draw_table(Session& session) {
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
  const std::vector<const Row*> rows = in_order();
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
  if (lacks_steps(session)) return;
  Tried& tried = session.data<Tried>();
  has_kl_ = session.tuning()->prediction.curve.exists();
  if (forgotten_) tried.forget(*std::exchange(forgotten_, std::nullopt));
  if (tried.settings().empty()) {
    return ImGui::TextWrapped(
        "Every setting whose numbers become known is kept here: the first once all layers are replayed.");
  }
  make(session);
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
    draw_lines(session, view, size);
  } else {
    plot_.draw(session, view, size);
  }
  draw_table(session);
}

}  // namespace

std::unique_ptr<Panel> make_tried() {
  return std::make_unique<TriedPanel>();
}

}  // namespace reattend::viz
