// Draws each analysis as a chart: panels of the numbers that its tables hold.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "cli/reports/analyse.h"
#include "traces/step_means.h"

namespace reattend::cli {
namespace {

std::string of_trace(const AnalysisReport& report) {
  const TraceInfo& info = report.info;
  return fmt::format("{}: {} prompt tokens, {} steps, {} of {} layers", info.path.filename().string(), info.n_prompt,
                     info.n_step, report.result.request.layers.size(), info.n_layer);
}

/// A value for each layer.
template <class T, class Value>
Series by_layer(const std::string& name, const std::vector<T>& layers, const Value& value) {
  Series out{.name = name, .points = layers.size() <= 64};
  for (size_t i = 0; i < layers.size(); ++i) {
    out.x.push_back(layers[i].layer);
    out.y.push_back(value(i));
  }
  return out;
}

Chart overlap_chart(const AnalysisReport& report) {
  const AnalysisResult& result = report.result;
  Panel overlap{.title = "overlap of the top-K with that of `lag` steps ago",
                .x = {.title = "lag, steps", .log = true},
                .y = {.title = "share of the top-K", .low = 0, .high = 1}};
  Panel mass{.title = "mass of what a partial step reads, over the oracle's",
             .x = {.title = "lag, steps", .log = true},
             .y = {.title = "normalised mass, mean", .high = 1}};
  for (const Shown& budget : shown_budgets(report)) {
    Series shares{.name = fmt::format("K = {}", text_of(budget.label)), .points = true};
    Series masses = shares;
    for (const Shown& lag : shown_lags(report)) {
      const auto* value = std::get_if<int64_t>(&lag.label);
      if (value == nullptr) continue;
      const AgedMeans m = aged_means(result.overlap, lag.index, budget.index);
      shares.x.push_back(static_cast<double>(*value)), shares.y.push_back(m.overlap);
      masses.x.push_back(static_cast<double>(*value)), masses.y.push_back(m.attended_of_oracle.mean);
    }
    overlap.series.push_back(std::move(shares)), mass.series.push_back(std::move(masses));
  }
  return {.title = "How kept sets age", .panels = {overlap, mass}};
}

Chart coverage_chart(const AnalysisReport& report) {
  const AnalysisResult& result = report.result;
  Panel curve{.title = "mass of the K highest weights, over steps, layers and KV heads",
              .x = {.title = "K, positions", .log = true},
              .y = {.title = "share of a row's mass", .low = 0, .high = 1}};
  for (const auto& [name, part] : {std::pair{"mean", &Spread::mean},
                                   {"5th percentile", &Spread::p05},
                                   {"median", &Spread::p50},
                                   {"95th percentile", &Spread::p95}}) {
    Series series{.name = name, .points = true};
    for (size_t i = 0; i < result.request.curve.size(); ++i) {
      series.x.push_back(result.request.curve[i]);
      series.y.push_back(coverage_spread(result.coverage, &LayerCoverage::mass, i).*part);
    }
    curve.series.push_back(std::move(series));
  }
  Panel needed{.title = "positions that hold a share of the mass: median of a layer",
               .x = {.title = "layer", .whole = true},
               .y = {.title = "positions", .log = true}};
  for (size_t i = 0; i < result.request.levels.size(); ++i) {
    needed.series.push_back(
        by_layer(fmt::format("{:g} % of the mass", 100 * result.request.levels[i]), result.coverage,
                 [&](size_t l) { return coverage_spread(only(result.coverage, l), &LayerCoverage::needed, i).p50; }));
  }
  return {.title = "How concentrated attention is", .panels = {curve, needed}};
}

Chart cosine_chart(const AnalysisReport& report) {
  const AnalysisResult& result = report.result;
  Chart out{.title = "How far queries move"};
  for (size_t stage = 0; stage < kStages.size(); ++stage) {
    Panel panel{.title = fmt::format("queries {}", kStageTitles[stage]),
                .x = {.title = "layer", .whole = true},
                .y = {.title = "cosine", .high = 1}};
    for (size_t r = 0; r <= result.request.strides.size(); ++r) {
      const std::string to = r == 0 ? "previous step" : fmt::format("refresh, S = {}", result.request.strides[r - 1]);
      panel.series.push_back(by_layer(to + ", median", result.cosine,
                                      [&](size_t l) { return cosine_spread(only(result.cosine, l), stage, r).p50; }));
      if (r < result.request.strides.size()) continue;  // minima of all references would hide each other
      panel.series.push_back(by_layer(to + ", minimum", result.cosine,
                                      [&](size_t l) { return cosine_spread(only(result.cosine, l), stage, r).min; }));
    }
    out.panels.push_back(std::move(panel));
  }
  return out;
}

Chart gate_chart(const AnalysisReport& report) {
  const AnalysisResult& result = report.result;
  const double rho = result.request.rho;
  const std::string own = text_of(own_lag(report));
  Panel roc{.title = fmt::format("all layers, lag {}", own),
            .x = {.title = "false alarm rate", .low = 0, .high = 1},
            .y = {.title = "recall: wanted refreshes that are made", .low = 0, .high = 1}};
  Panel by_lag{.title = "by lag",
               .x = {.title = "lag, steps", .log = true},
               .y = {.title = "area under the curve", .low = 0, .high = 1}};
  Panel layers{.title = fmt::format("by layer, lag {}", own),
               .x = {.title = "layer", .whole = true},
               .y = {.title = "area under the curve", .low = 0, .high = 1}};
  for (size_t stage = 0; stage < kStages.size(); ++stage) {
    const std::string name = fmt::format("{}, all layers", kStageTitles[stage]);
    Series curve{.name = name}, all{.name = name, .points = true};
    Series mean{.name = fmt::format("{}, mean of the layers' own", kStageTitles[stage]), .points = true};
    for (const GateScore& point : gate_curve(result.gate[0], stage, rho).points) {
      curve.x.push_back(point.false_alarm_rate()), curve.y.push_back(point.recall());
    }
    for (const Shown& lag : shown_lags(report)) {
      const auto* value = std::get_if<int64_t>(&lag.label);
      if (value == nullptr) continue;
      const std::vector<GateCases>& cases = result.gate[lag.index];
      all.x.push_back(static_cast<double>(*value)), mean.x.push_back(static_cast<double>(*value));
      all.y.push_back(gate_curve(cases, stage, rho).auc), mean.y.push_back(mean_auc(cases, stage, rho));
    }
    roc.series.push_back(std::move(curve));
    by_lag.series.push_back(std::move(all)), by_lag.series.push_back(std::move(mean));
    layers.series.push_back(by_layer(fmt::format("{}, a layer", kStageTitles[stage]), result.gate[0],
                                     [&](size_t l) { return gate_curve(only(result.gate[0], l), stage, rho).auc; }));
  }
  roc.series.push_back({.name = "guessing", .x = {0, 1}, .y = {0, 1}});
  return {.title = fmt::format("Does the query's cosine tell when normalised mass falls below {:g}?", rho),
          .panels = {roc, by_lag, layers}};
}

Chart stride_chart(const AnalysisReport& report) {
  const AnalysisResult& result = report.result;
  const size_t n = result.request.thresholds.size();
  const auto share = [](const Refreshes& r) { return static_cast<double>(r.n_full) / static_cast<double>(r.n); };
  Chart out{.title = fmt::format("Full steps under schedule = query, S = {} (1 / effective stride)",
                                 to_text(result.recycled.get("S")))};
  for (size_t stage = 0; stage < kStages.size(); ++stage) {
    Panel panel{.title = fmt::format("queries {}", kStageTitles[stage]),
                .x = {.title = "layer", .whole = true},
                .y = {.title = "share of decode steps that are full", .low = 0}};
    for (size_t i = 0; i < n; ++i) {
      panel.series.push_back(by_layer(fmt::format("threshold {:g}", result.request.thresholds[i]), result.stride,
                                      [&](size_t l) { return share(result.stride[l].runs[stage * n + i].refreshes); }));
    }
    out.panels.push_back(std::move(panel));
  }
  return out;
}

Chart lost_chart(const AnalysisReport& report) {
  const AnalysisResult& result = report.result;
  const LostRequest& how = result.request.lost;
  Panel tokens{.title = fmt::format("where events (more than {:g} % of a row) fall", 100 * how.above),
               .x = {.title = "position", .whole = true},
               .y = {.title = "mass lost there in events", .log = true}};
  Panel steps{.title = "when: lost mass by step, running mean over 9",
              .x = {.title = "step", .whole = true},
              .y = {.title = "lost mass, mean over layers and KV heads", .low = 0}};
  constexpr size_t kMostPoints = 2000;
  constexpr std::array<size_t, 3> kOrder = {2, 1, 0};  // the many first, so that the few lie on top
  const std::vector<LostToken> all = most_lost(result.lost, kMostPoints);
  for (const size_t k : kOrder) {
    Series places{.name = std::string(kTokenClasses[k]), .line = false, .points = true};
    for (const LostToken& token : all) {
      if (static_cast<size_t>(token.kind) != k) continue;
      places.x.push_back(token.position), places.y.push_back(token.mass);
    }
    Series along{.name = std::string(kTokenClasses[k])};
    const int32_t n_step = report.info.n_step;
    for (int32_t t = 1; t <= n_step; ++t) {
      const int32_t from = std::max(1, t - 4), to = std::min(n_step, t + 4);
      double sum = 0;
      for (const LayerLost& layer : result.lost) {
        for (int32_t i = from; i <= to; ++i) sum += layer.step[static_cast<size_t>(i) - 1][k];
      }
      along.x.push_back(t);
      along.y.push_back(sum / ((to - from + 1) * static_cast<double>(result.lost.size()) * report.info.n_kv_head));
    }
    tokens.series.push_back(std::move(places)), steps.series.push_back(std::move(along));
  }
  return {.title = fmt::format("What {} lost: sinks (first {}), recent tokens (last {}), needles (all others)",
                               result.request.settings.summary(), how.sinks, how.recent),
          .panels = {tokens, steps}};
}

Chart sensitivity_chart(const AnalysisReport& report) {
  const AnalysisResult& result = report.result;
  Panel lost{.title = "lost mass",
             .x = {.title = "layer", .whole = true},
             .y = {.title = "mean over steps and KV heads", .low = 0}};
  Panel error{.title = "output error, 95th percentile over steps and heads",
              .x = {.title = "layer", .whole = true},
              .y = {.title = "relative to the output's norm", .low = 0}};
  for (size_t i = 0; i < result.request.budgets.size(); ++i) {
    const std::string name = fmt::format("K = {}", result.request.budgets[i]);
    lost.series.push_back(
        by_layer(name, result.sensitivity, [&](size_t l) { return result.sensitivity[l].at[i].lost; }));
    error.series.push_back(
        by_layer(name, result.sensitivity, [&](size_t l) { return result.sensitivity[l].at[i].output_error_p95; }));
  }
  return {.title = fmt::format("Each layer alone under {}, by budget", result.request.settings.summary()),
          .panels = {lost, error}};
}

/// Measures by the unit that they share.
Chart recorded_chart(const AnalysisReport& report) {
  const std::vector<int32_t>& layers = report.result.request.layers;
  Chart out{.title = fmt::format("What the run under {} measured of itself", report.info.policy_text())};
  for (const std::string_view unit : {"1", "nat", "positions"}) {
    Panel panel{.title = unit == "1" ? "shares and cosines" : std::string(unit),
                .x = {.title = "layer", .whole = true}};
    panel.y.title = "mean over steps and KV heads";
    for (const Measure& each : measures_of(report.info)) {
      const std::string_view own = each.row->unit;
      const bool fits = unit == "1" ? own == "1" || own == "probability" || own == "boolean" : own == unit;
      if (!fits || !each.by_layer()) continue;
      Series series{.name = each.title, .points = layers.size() <= 64};
      for (const int32_t l : layers) {
        series.x.push_back(l);
        series.y.push_back(mean_of(each, report.info, report.recorded, {.last_step = report.info.n_step, .layer = l}));
      }
      panel.series.push_back(std::move(series));
    }
    if (!panel.series.empty()) out.panels.push_back(std::move(panel));
  }
  return out;
}

/// Series that hold no number would have names in the legend and nothing in the panel. A panel of no other says so, and
/// keeps its axis.
void drop_empty_series(Chart& chart) {
  const auto is_empty = [](const Series& each) {
    return std::none_of(each.y.begin(), each.y.end(), [](double y) { return std::isfinite(y); });
  };
  for (Panel& panel : chart.panels) {
    if (std::all_of(panel.series.begin(), panel.series.end(), is_empty)) {
      panel.title += " (no values)";
      for (const Series& each : panel.series) {
        for (const double x : each.x) {
          panel.x.low = std::min(x, panel.x.low.value_or(x)), panel.x.high = std::max(x, panel.x.high.value_or(x));
        }
      }
    }
    std::erase_if(panel.series, is_empty);
  }
}

}  // namespace

std::vector<std::pair<std::string, Chart>> charts(const AnalysisReport& report) {
  constexpr std::array<Chart (*)(const AnalysisReport&), kAnalyses.size()> kCharts = {
      overlap_chart, coverage_chart, cosine_chart,      gate_chart,
      stride_chart,  lost_chart,     sensitivity_chart, recorded_chart};
  std::vector<std::pair<std::string, Chart>> out;
  for (const Analysis what : report.result.request.what) {
    const auto i = static_cast<size_t>(what);
    out.emplace_back(kAnalyses[i], kCharts[i](report));
    out.back().second.subtitle = of_trace(report);
    drop_empty_series(out.back().second);
  }
  return out;
}

}  // namespace reattend::cli
