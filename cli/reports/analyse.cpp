// Makes records of an analysis: every number once, with what it belongs to beside it.
#include "cli/reports/analyse.h"

#include "base/utf8.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/reports/trace_tables.h"
#include "policies/settings_enums.h"

namespace reattend::cli {
namespace {

constexpr size_t kCurvePoints = 200;

const std::vector<Column> kSpreadColumns = {{"n"},   {"mean"}, {"min"}, {"p05"}, {"p25"},
                                            {"p50"}, {"p75"},  {"p95"}, {"max"}};
void append(std::vector<Cell>& row, const Spread& s) {
  row.insert(row.end(), {s.n, s.mean, s.min, s.p05, s.p25, s.p50, s.p75, s.p95, s.max});
}

std::vector<Column> with(std::vector<Column> columns, const std::vector<Column>& more) {
  columns.insert(columns.end(), more.begin(), more.end());
  return columns;
}

Table overlap_table(const AnalysisReport& report) {
  const AnalysisResult& result = report.result;
  Table out{
      .name = "overlap",
      .columns = {
          {"layer"}, {"K"}, {"lag"}, {"overlap"}, {"stale"}, {"stale_of_oracle"}, {"attended"}, {"oracle"}, {"n"}}};
  for (const char* part : {"mean", "min", "p05", "p50", "p95"}) {
    out.columns.push_back({fmt::format("attended_of_oracle_{}", part)});
  }
  for_layers(result.overlap, AllLayers::first, [&](std::span<const LayerOverlap> layers, const Cell& label) {
    const bool one = layers.size() == 1;
    for (const Shown& budget : shown_budgets(report)) {
      for (const Shown& lag : shown_lags(report)) {
        const AgedMeans m = aged_means(layers, lag.index, budget.index);
        const Spread& s = m.attended_of_oracle;
        out.rows.push_back({label, one ? number(layers[0].budgets[budget.index]) : budget.label,
                            one ? number(layers[0].lags[lag.index]) : lag.label, m.overlap, m.stale, m.stale_of_oracle,
                            m.attended, m.oracle, m.n, s.mean, s.min, s.p05, s.p50, s.p95});
      }
    }
  });
  return out;
}

std::vector<Table> coverage_tables(const AnalysisResult& result) {
  Table mass{.name = "coverage", .columns = with({{"layer"}, {"K"}}, kSpreadColumns)};
  Table needed{.name = "coverage_needed", .columns = with({{"layer"}, {"share"}}, kSpreadColumns)};
  for_layers(result.coverage, AllLayers::first, [&](std::span<const LayerCoverage> layers, const Cell& label) {
    for (size_t i = 0; i < result.request.curve.size(); ++i) {
      append(mass.rows.emplace_back(std::vector<Cell>{label, number(result.request.curve[i])}),
             coverage_spread(layers, &LayerCoverage::mass, i));
    }
    for (size_t i = 0; i < result.request.levels.size(); ++i) {
      append(needed.rows.emplace_back(std::vector<Cell>{label, result.request.levels[i]}),
             coverage_spread(layers, &LayerCoverage::needed, i));
    }
  });
  return {mass, needed};
}

Table cosine_table(const AnalysisResult& result) {
  Table out{.name = "cosine", .columns = with({{"layer"}, {"queries"}, {"since"}, {"stride"}}, kSpreadColumns)};
  for_layers(result.cosine, AllLayers::first, [&](std::span<const LayerCosine> layers, const Cell& label) {
    for (size_t stage = 0; stage < kStages.size(); ++stage) {
      for (size_t r = 0; r <= result.request.strides.size(); ++r) {
        append(out.rows.emplace_back(std::vector<Cell>{label, std::string(kQueryStageNames[stage]),
                                                       std::string(r == 0 ? "previous" : "refresh"),
                                                       number(r == 0 ? 1 : result.request.strides[r - 1])}),
               cosine_spread(layers, stage, r));
      }
    }
  });
  return out;
}

std::vector<Cell> score_cells(const GateScore& s) {
  return {s.threshold,          s.n,    s.n_bad,   s.hits, s.false_alarms, s.refreshed(), s.precision(), s.recall(),
          s.false_alarm_rate(), s.f1(), s.youden()};
}
const std::vector<Column> kScoreColumns = {{"threshold"},        {"n"},         {"bad"},       {"hits"},
                                           {"false_alarms"},     {"refreshed"}, {"precision"}, {"recall"},
                                           {"false_alarm_rate"}, {"f1"},        {"youden"}};

std::vector<Table> gate_tables(const AnalysisReport& report) {
  const AnalysisResult& result = report.result;
  const std::vector<Column> begin = {{"layer"}, {"lag"}, {"queries"}};
  Table best{.name = "gate", .columns = with(with(begin, {{"auc"}}), kScoreColumns)};
  Table given{.name = "gate_thresholds", .columns = with(begin, kScoreColumns)};
  Table roc{.name = "gate_roc", .columns = with(begin, {{"threshold"}, {"false_alarm_rate"}, {"recall"}})};
  const double rho = result.request.rho;
  for (const Shown& lag : shown_lags(report)) {
    for_layers(result.gate[lag.index], AllLayers::first, [&](std::span<const GateCases> layers, const Cell& label) {
      const bool all = std::holds_alternative<std::string>(label);
      for (size_t stage = 0; stage < kStages.size(); ++stage) {
        const std::vector<Cell> head = {label, all ? lag.label : number(layers[0].lag),
                                        std::string(kQueryStageNames[stage])};
        const auto add = [&](Table& to, const std::vector<Cell>& cells) {
          to.rows.push_back(head);
          to.rows.back().insert(to.rows.back().end(), cells.begin(), cells.end());
        };
        const GateCurve curve = gate_curve(layers, stage, rho);
        std::vector<Cell> cells = score_cells(curve.points[curve.best]);
        if (!curve.has_both()) cells[0] = {};
        cells.insert(cells.begin(), curve.auc);
        add(best, cells);
        for (const double threshold : result.request.thresholds) {
          add(given, score_cells(gate_score(layers, stage, rho, threshold)));
        }
        if (!all || !curve.has_both()) continue;
        // A curve of 15,000 points draws like one of 200; both ends stay.
        const size_t n = curve.points.size(), shown = std::min(n, kCurvePoints);
        for (size_t i = 0; i < shown; ++i) {
          const GateScore& point = curve.points[i * (n - 1) / (shown - 1)];
          add(roc, {point.threshold, point.false_alarm_rate(), point.recall()});
        }
      }
    });
  }
  return {best, given, roc};
}

Table stride_table(const AnalysisResult& result) {
  Table out{
      .name = "stride",
      .columns = {
          {"layer"}, {"queries"}, {"threshold"}, {"decisions"}, {"full"}, {"stride"}, {"recovered"}, {"normalised"}}};
  const auto add = [&](const Cell& label, const GatedRun& run) {
    out.rows.push_back({label, std::string(kQueryStageNames[run.stage]), run.threshold, run.refreshes.n,
                        run.refreshes.n_full, run.refreshes.stride(), run.recovered, run.normalised});
  };
  Refreshes recorded;
  for (const LayerStride& layer : result.stride) recorded.add(layer.recorded);
  const auto add_recorded = [&](const Cell& label, const Refreshes& r) {
    out.rows.push_back({label, std::string("recorded"), {}, r.n, r.n_full, r.stride(), {}, {}});
  };
  add_recorded(all_of(), recorded);
  for (size_t run = 0; run < result.stride[0].runs.size(); ++run) add(all_of(), all_layers(result.stride, run));
  for (const LayerStride& layer : result.stride) {
    add_recorded(number(layer.layer), layer.recorded);
    for (const GatedRun& run : layer.runs) add(number(layer.layer), run);
  }
  return out;
}

std::vector<Table> lost_tables(const AnalysisReport& report) {
  const AnalysisResult& result = report.result;
  Table classes{.name = "lost", .columns = {{"layer"}, {"class"}, {"lost"}, {"wanted"}, {"events"}, {"rows"}}};
  for_layers(result.lost, AllLayers::first, [&](std::span<const LayerLost> layers, const Cell& label) {
    for (size_t k = 0; k < kTokenClasses.size(); ++k) {
      double mass = 0, wanted = 0;
      int64_t n_event = 0, n_row = 0;
      for (const LayerLost& each : layers) {
        mass += each.mass[k], wanted += each.wanted[k], n_event += each.n_event[k], n_row += each.n_row;
      }
      const auto n = static_cast<double>(n_row);
      classes.rows.push_back({label, std::string(kTokenClasses[k]), mass / n, wanted / n, n_event, n_row});
    }
  });
  Table tokens{.name = "lost_tokens",
               .columns = {{"position"},
                           {"text"},
                           {"class"},
                           {"events"},
                           {"steps"},
                           {"mass"},
                           {"steps_away"},
                           {"largest"},
                           {"at_step"},
                           {"at_layer"},
                           {"at_kv_head"}}};
  for (const LostToken& token : most_lost(result.lost, report.n_token)) {
    tokens.rows.push_back({number(token.position), visible(report.texts[static_cast<size_t>(token.position)]),
                           std::string(kTokenClasses[static_cast<size_t>(token.kind)]), token.n_event, token.n_step(),
                           token.mass, token.away / static_cast<double>(token.n_event),
                           static_cast<double>(token.largest), number(token.step), number(token.layer),
                           number(token.kv_head)});
  }
  return {classes, tokens};
}

Table sensitivity_table(const AnalysisResult& result) {
  Table out{.name = "sensitivity",
            .columns = {{"layer"},
                        {"K"},
                        {"lost"},
                        {"normalised"},
                        {"output_error_mean"},
                        {"output_error_p95"},
                        {"place_by_lost"},
                        {"place_by_output_error_p95"}}};
  for (size_t i = 0; i < result.request.budgets.size(); ++i) {
    std::vector<double> lost, error;
    for (const LayerSensitivity& layer : result.sensitivity) {
      lost.push_back(layer.at[i].lost), error.push_back(layer.at[i].output_error_p95);
    }
    const std::vector<int32_t> by_lost = places(lost), by_error = places(error);
    for (size_t l = 0; l < result.sensitivity.size(); ++l) {
      const ReplaySummary& s = result.sensitivity[l].at[i];
      out.rows.push_back({number(result.sensitivity[l].layer), number(result.request.budgets[i]), s.lost, s.normalised,
                          s.output_error_mean, s.output_error_p95, number(by_lost[l]),
                          std::isnan(error[l]) ? Cell() : number(by_error[l])});
    }
  }
  return out;
}

/// What layers have in common.
Cell common(const std::vector<int32_t>& values) {
  const bool uniform = std::all_of(values.begin(), values.end(), [&](int32_t x) { return x == values[0]; });
  return uniform ? number(values.at(0)) : Cell(std::string("own"));
}

std::vector<Shown> shown(const Cell& own, const std::vector<int32_t>& listed) {
  std::vector<Shown> out;
  for (size_t i = 0; i < listed.size(); ++i) out.push_back({i + 1, number(listed[i])});
  const auto* value = std::get_if<int64_t>(&own);
  if (value != nullptr && std::count(listed.begin(), listed.end(), *value) > 0) return out;
  const auto at = value == nullptr ? listed.end()
                                   : std::find_if(listed.begin(), listed.end(), [&](int32_t x) { return x > *value; });
  out.insert(out.begin() + (at - listed.begin()), {0, own});
  return out;
}

}  // namespace

Cell own_budget(const AnalysisReport& report) {
  std::vector<int32_t> values;
  for (const int32_t l : report.result.request.layers) {
    values.push_back(static_cast<int32_t>(report.result.recycled.count("K", l, report.info.n_prompt)));
  }
  return common(values);
}

Cell own_lag(const AnalysisReport& report) {
  std::vector<int32_t> values;
  for (const int32_t l : report.result.request.layers) {
    values.push_back(reattend::own_lag(report.result.recycled, l, report.result.request.lags, report.info.n_step));
  }
  return common(values);
}

std::string text_of(const Cell& own) {
  const auto* value = std::get_if<int64_t>(&own);
  return value != nullptr ? std::to_string(*value) : "each layer's own";
}

std::vector<Shown> shown_budgets(const AnalysisReport& report) {
  return shown(own_budget(report), report.result.request.budgets);
}
std::vector<Shown> shown_lags(const AnalysisReport& report) {
  return shown(own_lag(report), report.result.request.lags);
}

GatedRun all_layers(const std::vector<LayerStride>& layers, size_t run) {
  GatedRun out = {.stage = layers[0].runs[run].stage, .threshold = layers[0].runs[run].threshold};
  for (const LayerStride& layer : layers) {
    const GatedRun& one = layer.runs[run];
    const auto share = 1 / static_cast<double>(layers.size());  // layers have equally many decisions
    out.refreshes.add(one.refreshes);
    out.recovered += one.recovered * share, out.normalised += one.normalised * share;
  }
  return out;
}

std::vector<std::string> table_names(Analysis what) {
  switch (what) {
    case Analysis::coverage:
      return {"coverage", "coverage_needed"};
    case Analysis::gate:
      return {"gate", "gate_thresholds", "gate_roc"};
    case Analysis::lost:
      return {"lost", "lost_tokens"};
    default:
      return {std::string(kAnalyses[static_cast<size_t>(what)])};
  }
}

std::vector<Table> stored_tables(const AnalysisReport& report) {
  std::vector<Table> out;
  const auto add = [&](std::vector<Table> tables) {
    for (Table& table : tables) out.push_back(std::move(table));
  };
  for (const Analysis what : report.result.request.what) {
    switch (what) {
      case Analysis::overlap:
        add({overlap_table(report)});
        break;
      case Analysis::coverage:
        add(coverage_tables(report.result));
        break;
      case Analysis::cosine:
        add({cosine_table(report.result)});
        break;
      case Analysis::gate:
        add(gate_tables(report));
        break;
      case Analysis::stride:
        add({stride_table(report.result)});
        break;
      case Analysis::lost:
        add(lost_tables(report));
        break;
      case Analysis::sensitivity:
        add({sensitivity_table(report.result)});
        break;
      case Analysis::recorded:
        add({layers_table(report.info, report.recorded, report.result.request.layers)});
        break;
    }
  }
  return out;
}

}  // namespace reattend::cli
