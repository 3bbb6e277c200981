// Makes the tables that `reattend analyse` prints: few enough columns to be read, the rest is in the records.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "cli/reports/analyse.h"
#include "cli/reports/trace_tables.h"

namespace reattend::cli {
namespace {

void overlap_tables(const AnalysisReport& report, std::vector<Table>& out) {
  const AnalysisResult& result = report.result;
  const std::vector<Shown> lags = shown_lags(report), budgets = shown_budgets(report);
  Table means{
      .title = fmt::format(
          "OVERLAP: how a kept set ages; means over steps, layers and KV heads. T is the top-K by score (reduce {}, "
          "pool {}). "
          "overlap: share of T(t) that was in T(t - lag). stale: mass of step t on T(t - lag). attended: on what a "
          "partial step "
          "reads then, its best K - lag + 1 and the positions since. oracle: mass of the best K; `of oracle`: over as "
          "many positions.",
          result.recycled.choice("reduce"), to_text(result.recycled.get("pool"))),
      .columns = {{"K"},
                  {"lag"},
                  {"cases"},
                  {"overlap"},
                  {"stale"},
                  {"", "of oracle"},
                  {"attended"},
                  {"", "of oracle"},
                  {"", "its p5"},
                  {"", "its min"},
                  {"oracle"}}};
  for (const Shown& budget : budgets) {
    for (const Shown& lag : lags) {
      const AgedMeans m = aged_means(result.overlap, lag.index, budget.index);
      means.rows.push_back({budget.label, lag.label, m.n, m.overlap, m.stale, m.stale_of_oracle, m.attended,
                            m.attended_of_oracle.mean, m.attended_of_oracle.p05, m.attended_of_oracle.min, m.oracle});
    }
  }
  out.push_back(std::move(means));
  Table by_layer{.title = fmt::format("Overlap by layer, K = {}", text_of(own_budget(report))), .columns = {{"layer"}}};
  for (const char* group : {"overlap at lag", "attended of oracle at lag"}) {
    for (const Shown& lag : lags) {
      by_layer.columns.push_back(
          {.title = lag.index == 0 && lag.label.index() == 3 ? "own" : text_of(lag.label), .group = group});
    }
  }
  for_layers(result.overlap, AllLayers::last, [&](std::span<const LayerOverlap> layers, const Cell& label) {
    std::vector<Cell> overlaps = {label}, masses;
    for (const Shown& lag : lags) {
      const AgedMeans m = aged_means(layers, lag.index, 0);
      overlaps.push_back(m.overlap), masses.push_back(m.attended_of_oracle.mean);
    }
    overlaps.insert(overlaps.end(), masses.begin(), masses.end());
    by_layer.rows.push_back(std::move(overlaps));
  });
  out.push_back(std::move(by_layer));
}

void coverage_tables(const AnalysisReport& report, std::vector<Table>& out) {
  const AnalysisResult& result = report.result;
  Table mass{
      .title =
          "COVERAGE: mass of a row's K highest weights, the most that K positions can recover (group-mean "
          "rows; over steps, layers and KV heads)",
      .columns = {
          {"K"}, {.title = "% of L", .digits = 1}, {"mean"}, {"min"}, {"p5"}, {"p25"}, {"p50"}, {"p75"}, {"p95"}}};
  for (size_t i = 0; i < result.request.curve.size(); ++i) {
    const Spread s = coverage_spread(result.coverage, &LayerCoverage::mass, i);
    const int32_t k = result.request.curve[i];
    mass.rows.push_back(
        {number(k), 100.0 * k / report.info.n_prompt, s.mean, s.min, s.p05, s.p25, s.p50, s.p75, s.p95});
  }
  out.push_back(std::move(mass));
  Table needed{
      .title = "Positions that hold a share of a row's mass: median and 95th percentile over steps and KV heads",
      .columns = {{"layer"}}};
  for (const double level : result.request.levels) {
    const std::string group = fmt::format("{:g} %", 100 * level);
    needed.columns.push_back({.title = "p50", .digits = 0, .group = group});
    needed.columns.push_back({.title = "p95", .digits = 0, .group = group});
    needed.columns.push_back({.title = "max", .digits = 0, .group = group});
  }
  for_layers(result.coverage, AllLayers::last, [&](std::span<const LayerCoverage> layers, const Cell& label) {
    std::vector<Cell>& row = needed.rows.emplace_back(std::vector<Cell>{label});
    for (size_t i = 0; i < result.request.levels.size(); ++i) {
      const Spread s = coverage_spread(layers, &LayerCoverage::needed, i);
      row.insert(row.end(), {s.p50, s.p95, s.max});
    }
  });
  out.push_back(std::move(needed));
}

std::string since(const AnalysisResult& result, size_t reference) {
  return reference == 0 ? "previous step" : fmt::format("refresh, S = {}", result.request.strides[reference - 1]);
}

void cosine_tables(const AnalysisReport& report, std::vector<Table>& out) {
  const AnalysisResult& result = report.result;
  const size_t n_reference = result.request.strides.size() + 1;
  Table all{.title = fmt::format("COSINE of the query ({}) to the step before, and to the last refresh of a fixed "
                                 "stride S; all layers",
                                 result.recycled.choice("similarity_reduce")),
            .columns = {{.title = "to", .left = true},
                        {.title = "queries", .left = true},
                        {"cases"},
                        {"mean"},
                        {"min"},
                        {"p5"},
                        {"p25"},
                        {"p50"},
                        {"p75"},
                        {"p95"}}};
  for (size_t r = 0; r < n_reference; ++r) {
    for (size_t stage = 0; stage < kStages.size(); ++stage) {
      const Spread s = cosine_spread(result.cosine, stage, r);
      all.rows.push_back(
          {since(result, r), std::string(kStageTitles[stage]), s.n, s.mean, s.min, s.p05, s.p25, s.p50, s.p75, s.p95});
    }
  }
  out.push_back(std::move(all));
  for (size_t stage = 0; stage < kStages.size(); ++stage) {
    Table by_layer{.title = fmt::format("Cosine by layer, queries {}", kStageTitles[stage]), .columns = {{"layer"}}};
    for (size_t r = 0; r < n_reference; ++r) {
      for (const char* part : {"min", "p5", "p50"})
        by_layer.columns.push_back({.title = part, .group = since(result, r)});
    }
    for_layers(result.cosine, AllLayers::last, [&](std::span<const LayerCosine> layers, const Cell& label) {
      std::vector<Cell>& row = by_layer.rows.emplace_back(std::vector<Cell>{label});
      for (size_t r = 0; r < n_reference; ++r) {
        const Spread s = cosine_spread(layers, stage, r);
        row.insert(row.end(), {s.min, s.p05, s.p50});
      }
    });
    out.push_back(std::move(by_layer));
  }
}

/// What a score says beside its threshold.
std::vector<Cell> score_cells(const GateScore& s) {
  return {s.refreshed(), s.recall(), s.false_alarm_rate(), s.precision(), s.f1()};
}

void gate_tables(const AnalysisReport& report, std::vector<Table>& out) {
  const AnalysisResult& result = report.result;
  const double rho = result.request.rho;
  Table lags{
      .title = fmt::format(
          "GATE: does a low cosine to the query of `lag` steps ago tell that the set kept then serves badly? K = {}. "
          "bad: cases whose normalised mass ({}) is below {:g}. AUC: 0.5 is a guess, 1 is never wrong; `in layers` is "
          "the mean of the layers' own. alarms: good cases refreshed, of all good ones. threshold: of the highest "
          "recall - alarms (Youden's J); a cosine not above it "
          "refreshes.",
          text_of(own_budget(report)),
          result.request.gate_set == OldSet::attended ? "what a partial step reads, over the oracle"
                                                      : "the old set alone, over the oracle",
          rho),
      .columns = {{"lag"},
                  {.title = "queries", .left = true},
                  {"cases"},
                  {.title = "bad %", .digits = 1},
                  {"AUC"},
                  {"in layers"},
                  {"threshold"},
                  {"refreshed"},
                  {"recall"},
                  {"alarms"},
                  {"precision"},
                  {"F1"}}};
  for (const Shown& lag : shown_lags(report)) {
    const std::vector<GateCases>& cases = result.gate[lag.index];
    for (size_t stage = 0; stage < kStages.size(); ++stage) {
      const GateCurve curve = gate_curve(cases, stage, rho);
      const GateScore& best = curve.points[curve.best];
      std::vector<Cell>& row = lags.rows.emplace_back(std::vector<Cell>{
          lag.label, std::string(kStageTitles[stage]), best.n,
          100 * static_cast<double>(best.n_bad) / static_cast<double>(best.n), curve.auc, mean_auc(cases, stage, rho)});
      const std::vector<Cell> none(6), found = score_cells(best);
      if (curve.has_both()) row.push_back(best.threshold);
      row.insert(row.end(), curve.has_both() ? found.begin() : none.begin(),
                 curve.has_both() ? found.end() : none.end());
    }
  }
  out.push_back(std::move(lags));

  const std::vector<GateCases>& own = result.gate[0];
  const std::string lag = text_of(own_lag(report));
  Table given{.title = fmt::format("Gate at given thresholds, lag {}, all layers", lag), .columns = {{"threshold"}}};
  Table by_layer{.title = fmt::format("Gate by layer, lag {}, each at its best threshold", lag),
                 .columns = {{"layer"}, {"cases"}, {"bad"}}};
  for (const char* stage : kStageTitles) {
    const auto queries = fmt::format("queries {}", stage);
    for (const char* part : {"refreshed", "recall", "alarms", "precision", "F1"}) {
      given.columns.push_back({.title = part, .group = queries});
    }
    for (const char* part : {"AUC", "thresh.", "recall", "alarms", "prec.", "F1"}) {
      by_layer.columns.push_back({.title = part, .group = queries});
    }
  }
  for (const double threshold : result.request.thresholds) {
    std::vector<Cell>& row = given.rows.emplace_back(std::vector<Cell>{threshold});
    for (size_t stage = 0; stage < kStages.size(); ++stage) {
      const std::vector<Cell> cells = score_cells(gate_score(own, stage, rho, threshold));
      row.insert(row.end(), cells.begin(), cells.end());
    }
  }
  out.push_back(std::move(given));
  for_layers(own, AllLayers::last, [&](std::span<const GateCases> layers, const Cell& label) {
    std::vector<Cell>& row = by_layer.rows.emplace_back(std::vector<Cell>{label});
    for (size_t stage = 0; stage < kStages.size(); ++stage) {
      const GateCurve curve = gate_curve(layers, stage, rho);
      const GateScore& s = curve.points[curve.best];
      if (stage == 0) row.insert(row.end(), {s.n, s.n_bad});
      std::vector<Cell> cells = {curve.auc, s.threshold, s.recall(), s.false_alarm_rate(), s.precision(), s.f1()};
      if (!curve.has_both()) cells.assign(cells.size(), {});
      row.insert(row.end(), cells.begin(), cells.end());
    }
  });
  out.push_back(std::move(by_layer));
}

void stride_tables(const AnalysisReport& report, std::vector<Table>& out) {
  const std::vector<LayerStride>& layers = report.result.stride;
  const std::vector<double>& thresholds = report.result.request.thresholds;
  Table all{.title = fmt::format("STRIDE: decode steps for each full one under schedule = query, S = {}; mass "
                                 "recovered, and over the oracle's; all layers",
                                 to_text(report.result.recycled.get("S"))),
            .columns = {{.title = "threshold", .digits = 2}}};
  Table by_layer{.title = "Effective stride by layer, at each threshold; recorded: of the run in the trace",
                 .columns = {{"layer"}, {.title = "recorded", .digits = 2}}};
  for (const char* stage : kStageTitles) {
    const auto queries = fmt::format("queries {}", stage);
    all.columns.push_back({.title = "stride", .digits = 2, .group = queries});
    all.columns.push_back({.title = "mass", .group = queries});
    all.columns.push_back({.title = "of oracle", .group = queries});
    for (const double threshold : thresholds) {
      by_layer.columns.push_back({.title = fmt::format("{:g}", threshold), .digits = 2, .group = queries});
    }
  }
  for (size_t i = 0; i < thresholds.size(); ++i) {
    std::vector<Cell>& row = all.rows.emplace_back(std::vector<Cell>{thresholds[i]});
    for (size_t stage = 0; stage < kStages.size(); ++stage) {
      const GatedRun run = all_layers(layers, stage * thresholds.size() + i);
      row.insert(row.end(), {run.refreshes.stride(), run.recovered, run.normalised});
    }
  }
  out.push_back(std::move(all));
  Refreshes recorded;
  for (const LayerStride& layer : layers) {
    recorded.add(layer.recorded);
    std::vector<Cell>& row =
        by_layer.rows.emplace_back(std::vector<Cell>{number(layer.layer), layer.recorded.stride()});
    for (const GatedRun& run : layer.runs) row.push_back(run.refreshes.stride());
  }
  if (layers.size() > 1) {
    std::vector<Cell>& row = by_layer.rows.emplace_back(std::vector<Cell>{all_of(), recorded.stride()});
    for (size_t run = 0; run < layers[0].runs.size(); ++run) row.push_back(all_layers(layers, run).refreshes.stride());
  }
  out.push_back(std::move(by_layer));
}

void sensitivity_tables(const AnalysisReport& report, std::vector<Table>& out) {
  const AnalysisResult& result = report.result;
  const std::vector<int32_t>& budgets = result.request.budgets;
  const std::vector<LayerSensitivity>& layers = result.sensitivity;
  size_t chosen = budgets.size() / 2;
  const Cell k = own_budget(report);
  for (size_t i = 0; i < budgets.size(); ++i) {
    if (k == number(budgets[i])) chosen = i;
  }
  const bool by_error = !layers.empty() && !std::isnan(layers[0].at[chosen].output_error_p95);
  std::vector<double> lost, error;
  for (const LayerSensitivity& layer : layers) {
    lost.push_back(layer.at[chosen].lost), error.push_back(layer.at[chosen].output_error_p95);
  }
  const std::vector<int32_t> lost_places = places(lost), error_places = places(error);
  std::vector<size_t> order(layers.size());
  for (size_t i = 0; i < order.size(); ++i) {
    order[static_cast<size_t>((by_error ? error_places : lost_places)[i]) - 1] = i;
  }
  std::string ordered;
  for (const size_t i : order) ordered += fmt::format(" {}", layers[i].layer);
  Table table{
      .title = fmt::format(
          "SENSITIVITY: each layer alone under {}, with budgets K: lost mass, mean and 95th percentile "
          "of output error. Most sensitive first, by {} at K = {}:{}",
          result.request.settings.summary(), by_error ? "p95 of output error" : "lost mass", budgets[chosen], ordered),
      .columns = {{"layer"}}};
  for (const int32_t budget : budgets) {
    for (const char* part : {"lost", "error", "p95"}) {
      table.columns.push_back({.title = part, .group = fmt::format("K = {}", budget)});
    }
  }
  table.columns.push_back({.title = "lost", .group = "place by"});
  table.columns.push_back({.title = "p95", .group = "place by"});
  for (size_t i = 0; i < layers.size(); ++i) {
    std::vector<Cell>& row = table.rows.emplace_back(std::vector<Cell>{number(layers[i].layer)});
    for (const ReplaySummary& s : layers[i].at)
      row.insert(row.end(), {s.lost, s.output_error_mean, s.output_error_p95});
    row.push_back(number(lost_places[i]));
    row.push_back(by_error ? number(error_places[i]) : Cell());
  }
  out.push_back(std::move(table));
}

void recorded_tables(const AnalysisReport& report, std::vector<Table>& out) {
  Table table = layers_table(report.info, report.recorded, report.result.request.layers);
  table.title = fmt::format("RECORDED: what the run under {} measured of itself; means over steps and KV heads",
                            report.info.policy_text());
  if (table.rows.size() > 2) {
    std::rotate(table.rows.begin(), table.rows.begin() + 1, table.rows.end());  // all layers last
  } else {
    table.rows.erase(table.rows.begin());
  }
  out.push_back(std::move(table));
}

}  // namespace

std::vector<Table> printed_tables(const AnalysisReport& report) {
  std::vector<Table> out;
  const auto add = [&](Analysis what, void (*tables)(const AnalysisReport&, std::vector<Table>&)) {
    if (report.result.request.what.contains(what)) tables(report, out);
  };
  add(Analysis::overlap, overlap_tables);
  add(Analysis::coverage, coverage_tables);
  add(Analysis::cosine, cosine_tables);
  add(Analysis::gate, gate_tables);
  add(Analysis::stride, stride_tables);
  add(Analysis::lost, lost_tables);
  add(Analysis::sensitivity, sensitivity_tables);
  add(Analysis::recorded, recorded_tables);
  return out;
}

}  // namespace reattend::cli
