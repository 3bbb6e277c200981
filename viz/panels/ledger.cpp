// The ledger panel: a row a layer, with what it has of S, K and threshold, what it loses and costs, and the price of
// more and of less; two buttons that take the best of these steps.
#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <imgui.h>

#include "base/error.h"
#include "policies/value_text.h"
#include "viz/panels/panel.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/range_bar.h"
#include "viz/panels/waiting.h"
#include "viz/render/flow.h"
#include "viz/render/theme.h"
#include "viz/session/baseline.h"
#include "viz/session/differences.h"
#include "viz/session/layer_windows.h"
#include "viz/session/ledger.h"

namespace reattend::viz {
namespace {

class LedgerPanel : public Panel {
 public:
  const char* name() const override { return "Ledger"; }
  Dock dock() const override { return Dock::centre_bottom; }
  const char* shows() const override { return "Layers by what they lose and cost, and the price of more and of less."; }
  std::vector<PanelTable> tables(const Session& session, const SharedView& view) const override {
    return {{"layers", [&session, &view] { return ledger_table(session, view); }}};
  }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_buttons(Session& session, const SharedView& view, const LedgerPage& page);
  void draw_table(Session& session, const SharedView& view, const LedgerPage& page);
  void draw_value(Session& session, const std::string& key, const LedgerRow& row);
  void draw_price(Session& session, const std::optional<Price>& price, bool current);

  double amount_ = 0;  ///< of cost that a click moves; 0: kLedgerStep
  uint64_t trace_version_ = 0;
  int32_t seen_layer_ = -1;  ///< whose row was brought into view; -1: none was
  std::string error_;        ///< of the last value that was typed
};

/// What rows are sorted by.
enum class Order : uint8_t { layer, lost, error, cost, share, more, less };

double value_of(const LedgerRow& row, Order order) {
  switch (order) {
    case Order::layer:
      break;
    case Order::lost:
      return row.lost;
    case Order::error:
      return std::isnan(row.output_error) ? 0 : row.output_error;
    case Order::cost:
      return row.cost;
    case Order::share:
      return row.share;
    case Order::more:
      return row.more ? row.more->gain() : -HUGE_VAL;
    case Order::less:  // what hurts least first
      return row.less ? -row.less->damage() : -HUGE_VAL;
  }
  return row.layer;
}

/// As the heads of the current table's columns ask.
std::vector<const LedgerRow*> in_order(const LedgerPage& page) {
  std::vector<const LedgerRow*> rows;
  for (const LedgerRow& row : page.rows) rows.push_back(&row);
  const ImGuiTableSortSpecs* const specs = ImGui::TableGetSortSpecs();
  if (specs == nullptr || specs->SpecsCount == 0) return rows;
  const auto order = static_cast<Order>(specs->Specs[0].ColumnUserID);
  const bool down = specs->Specs[0].SortDirection == ImGuiSortDirection_Descending;
  std::ranges::stable_sort(rows, [&](const LedgerRow* a, const LedgerRow* b) {
    return down ? value_of(*a, order) > value_of(*b, order) : value_of(*a, order) < value_of(*b, order);
  });
  return rows;
}

std::string signed_text(double x) {
  const double rounded = std::abs(x) < 5e-5 ? 0 : x;
  return fmt::format("{}{:.2g}", rounded < 0 ? "\u2212" : "+", std::abs(rounded));
}

void change(Session& session, const Settings& settings) {
  if (settings != session.settings()) session.set_settings(settings);
}

void LedgerPanel::draw_buttons(Session& session, const SharedView& view, const LedgerPage& page) {
  const TuneResult& tuned = *session.tuning();
  const bool ready = page.priced() && page.settings == session.settings();
  double amount = amount_ > 0 ? amount_ : kLedgerStep * tuned.full_cost;
  const char* const unit = tuned.calibrated ? "ms" : "MB";
  const int32_t n_layer = session.trace()->info.n_layer;
  ImGui::BeginDisabled(!ready);
  std::optional<Settings> taken;
  if (ImGui::Button("spend where it helps most")) taken = spend(page, amount, n_layer);
  ImGui::SetItemTooltip("gives more to the layers that save most error per %s, a step each, until so much is spent",
                        unit);
  flow(button_width("save where it hurts least"));
  if (ImGui::Button("save where it hurts least")) taken = save(page, amount, n_layer);
  ImGui::SetItemTooltip("takes from the layers that lose least per %s, a step each, until so much is saved", unit);
  ImGui::EndDisabled();
  flow(ImGui::GetFontSize() * 5 + text_width(" ms"));
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 5);
  if (ImGui::InputDouble(fmt::format("{}###amount", unit).c_str(), &amount, 0, 0, "%.3g") && amount > 0)
    amount_ = amount;
  ImGui::SetItemTooltip("what a click spends or saves of a token's cost; one layer's step at least");
  if (taken) change(session, *taken);
  if (ready && error_.empty()) return;
  flow(error_.empty() ? text_width("prices \u2026") : text_width(error_.c_str()));
  if (error_.empty()) return ImGui::TextDisabled("prices \u2026");
  ImGui::PushTextWrapPos(0);
  ImGui::TextColored(palette(view.light).error, "%s", error_.c_str());
  ImGui::PopTextWrapPos();
}

void LedgerPanel::draw_value(Session& session, const std::string& key, const LedgerRow& row) {
  const TraceInfo& info = session.trace()->info;
  const Parameter& parameter = *find_parameter(key);
  const Settings& settings = session.settings();
  std::string text = to_text(in_layer(settings, row.layer).get(key));
  std::optional<Value> typed;
  std::vector<int32_t> layers = {row.layer};
  ImGui::PushID(key.c_str());
  ImGui::SetNextItemWidth(-1);
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%s", text.c_str());
  if (ImGui::InputText("##value", buffer, sizeof buffer,
                       ImGuiInputTextFlags_EnterReturnsTrue | ImGuiInputTextFlags_AutoSelectAll)) {
    text = buffer;
    try {
      typed = parse_value(parameter, text);
      error_.clear();
    } catch (const Error& error) {
      error_ = error.what();
    }
  }
  if (ImGui::BeginPopupContextItem("fill")) {
    const bool all = ImGui::MenuItem("the same in all layers"), below = ImGui::MenuItem("the same from here on");
    if (all || below) {
      typed = in_layer(settings, row.layer).get(key);
      for (int32_t l = all ? 0 : row.layer; l < info.n_layer; ++l) layers.push_back(l);
    }
    ImGui::EndPopup();
  }
  ImGui::PopID();
  if (!typed) return;
  try {
    change(session, with_value(settings, key, *typed, layers, info.n_layer));
  } catch (const Error& error) {
    error_ = error.what();
  }
}

void LedgerPanel::draw_price(Session& session, const std::optional<Price>& price, bool current) {
  if (!price) return ImGui::TextDisabled("\u2013");
  const TuneResult& tuned = *session.tuning();
  const char* const unit = tuned.calibrated ? "ms" : "MB";
  ImGui::BeginDisabled(!current);
  if (ImGui::SmallButton(price->change.c_str())) change(session, price->settings);
  ImGui::EndDisabled();
  const bool has_kl = !std::isnan(price->kl);
  ImGui::SetItemTooltip("%s: %s %+.6g, %+.6g %s per token\nsquared error of the layer's output %+.4g",
                        price->change.c_str(), has_kl ? "KL" : tuned.prediction.estimate.c_str(),
                        has_kl ? price->kl : price->estimate, price->cost, unit, price->error);
  ImGui::SameLine(0, ImGui::GetStyle().ItemInnerSpacing.x);
  ImGui::TextUnformatted(
      fmt::format("{}, {}", signed_text(has_kl ? price->kl : price->estimate), signed_text(price->cost)).c_str());
}

void LedgerPanel::draw_table(Session& session, const SharedView& view, const LedgerPage& page) {
  const bool current = page.settings == session.settings();
  const std::vector<std::string> keys = layer_keys(session.settings());
  constexpr ImGuiTableFlags kFlags = ImGuiTableFlags_RowBg | ImGuiTableFlags_SizingStretchProp |
                                     ImGuiTableFlags_ScrollY | ImGuiTableFlags_ScrollX | ImGuiTableFlags_BordersInnerV |
                                     ImGuiTableFlags_Sortable;
  const std::shared_ptr<const RangePage> range = range_figures(session, view);
  const bool compares = session.data<Baseline>().pinned().has_value();
  const int n_column = static_cast<int>(keys.size()) + 7 + (range ? 4 : 0) + (compares ? 1 : 0);
  if (!ImGui::BeginTable("layers", n_column, kFlags)) return;
  const float em = ImGui::GetFontSize();
  const bool has_kl = !std::isnan(page.metrics.predicted_kl);
  const auto column = [&](const char* title, float width, std::optional<Order> order) {
    const ImGuiTableColumnFlags flags =
        order ? ImGuiTableColumnFlags_PreferSortDescending : ImGuiTableColumnFlags_NoSort;
    ImGui::TableSetupColumn(title, ImGuiTableColumnFlags_WidthFixed | flags, width * em,
                            order ? static_cast<ImGuiID>(*order) : 0);
  };
  ImGui::TableSetupScrollFreeze(1, 1);
  ImGui::TableSetupColumn("layer", ImGuiTableColumnFlags_WidthFixed | ImGuiTableColumnFlags_DefaultSort, 3 * em,
                          static_cast<ImGuiID>(Order::layer));
  for (const std::string& key : keys) column(key.c_str(), key.size() > 1 ? 4.5F : 3.2F, {});
  column("lost", 3, Order::lost), column("error", 3, Order::error);
  if (range) {
    column(fmt::format("lost, {}###range", range_name(range->key.steps)).c_str(), 10, {});
    column("p50", 3, {}), column("p95", 3, {}), column("p99", 3, {});
  }
  if (compares) column("\u0394 lost", 3.5F, {});
  const std::string unit = session.tuning()->calibrated ? "ms" : "MB";
  column(unit.c_str(), 3, Order::cost);
  column(has_kl ? "of the KL" : "of estimate", 5.5F, Order::share);
  const std::string what = (has_kl ? ": KL, " : ": estimate, ") + unit;
  column(("more" + what).c_str(), 11.5F, Order::more);
  column(("less" + what).c_str(), 11.5F, Order::less);
  ImGui::TableHeadersRow();
  const ImVec4 text = current ? ImGui::GetStyleColorVec4(ImGuiCol_Text) : palette(view.light).dim;
  const auto number = [&](double x, const char* format) {
    ImGui::TableNextColumn();
    ImGui::AlignTextToFramePadding();
    ImGui::TextColored(text, "%s", std::isnan(x) ? "\u2013" : fmt::format(fmt::runtime(format), x).c_str());
  };
  ImGui::PushStyleColor(ImGuiCol_PlotHistogram, palette(view.light).kept);
  for (const LedgerRow* const each : in_order(page)) {
    const LedgerRow& row = *each;
    ImGui::PushID(row.layer);
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::AlignTextToFramePadding();
    if (ImGui::Selectable(std::to_string(row.layer).c_str(), row.layer == session.selection().layer)) {
      session.select_layer(row.layer);
    }
    ImGui::SetItemTooltip("click: show this layer in all panes");
    // A layer that was chosen elsewhere is not left beyond the edge.
    if (row.layer == session.selection().layer && row.layer != seen_layer_) {
      if (!ImGui::IsItemVisible()) ImGui::SetScrollHereY();
      seen_layer_ = row.layer;
    }
    for (const std::string& key : keys) {
      ImGui::TableNextColumn();
      draw_value(session, key, row);
    }
    const ReplaySummary* const before = baseline_layer(session, row.layer);
    const auto described = [&](const char* help, double now, double ReplaySummary::*field) {
      const std::string change =
          before != nullptr ? than_baseline(session, now, before->*field, "{:.3g}") : std::string();
      ImGui::SetItemTooltip("%s%s%s", help, change.empty() ? "" : "\n", change.c_str());
    };
    number(row.lost, "{:.3f}");
    described("attention that is not attended to, mean over steps and heads", row.lost, &ReplaySummary::lost);
    number(row.output_error, "{:.3f}");
    described("of the heads' outputs, mean", row.output_error, &ReplaySummary::output_error_mean);
    if (range) {
      const Spread& of = lost_in_range(*range, row.layer);
      number(of.mean, "{:.3f}");
      ImGui::SetItemTooltip(
          "attention that is not attended to in the marked range of steps, mean over steps and heads");
      for (const auto& [share, lost] : {std::pair{50, of.p50}, {95, of.p95}, {99, of.p99}}) {
        number(lost, "{:.3f}");
        ImGui::SetItemTooltip("what %d %% of the range's steps and heads lose at most", share);
      }
    }
    if (compares) {
      number(before != nullptr ? row.lost - before->lost : std::nan(""), "{:+.3f}");
      described("lost attention, less what is lost under the baseline", row.lost, &ReplaySummary::lost);
    }
    number(row.cost, "{:.3f}");
    ImGui::SetItemTooltip("of the layer's attention and selection, per token");
    ImGui::TableNextColumn();
    ImGui::ProgressBar(static_cast<float>(row.share), ImVec2(-1, ImGui::GetFrameHeight()),
                       fmt::format("{:.1f} %", 100 * row.share).c_str());
    ImGui::SetItemTooltip(
        "what %s would be less, were nothing lost in this layer, as a share of all layers';\n0 where it "
        "does not look at the layer (docs/study.md)",
        session.tuning()->prediction.estimate.c_str());
    for (const std::optional<Price>* const price : {&row.more, &row.less}) {
      ImGui::TableNextColumn();
      ImGui::PushID(price == &row.more);
      row.priced ? draw_price(session, *price, current) : ImGui::TextDisabled("\u2026");
      ImGui::PopID();
    }
    ImGui::PopID();
  }
  ImGui::PopStyleColor();
  ImGui::EndTable();
}

void LedgerPanel::draw(Session& session, SharedView& view) {
  if (trace_version_ != session.trace_version()) {
    trace_version_ = session.trace_version();
    seen_layer_ = -1;
    error_.clear();
  }
  if (lacks_steps(session)) return;
  const TraceInfo& info = session.trace()->info;
  if (info.n_stored() < info.n_acting()) {
    ImGui::TextWrapped(
        "No ledger: the trace does not store all layers, and shares of a part would be none of the whole.");
    return;
  }
  const LedgerPage* const page = session.data<Ledger>().ask();
  if (page == nullptr) return draw_waiting(session, "Once all layers are replayed with their output errors.");
  const std::string windows = windows_in_words(info);
  if (!windows.empty()) {
    ImGui::TextWrapped("No rows: %s, whatever the policy, and lose nothing by it.", windows.c_str());
  }
  draw_buttons(session, view, *page);
  draw_table(session, view, *page);
}

}  // namespace

std::unique_ptr<Panel> make_ledger() {
  return std::make_unique<LedgerPanel>();
}

}  // namespace reattend::viz
