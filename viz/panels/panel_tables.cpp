// Fills tables from what the session and its providers hold; nothing is computed for them.
#include "viz/panels/panel_tables.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/value_text.h"
#include "replay/summary_fields.h"
#include "viz/panels/range_bar.h"
#include "viz/panels/role_lane.h"
#include "viz/panels/shown_data.h"
#include "viz/session/step_reasons.h"

namespace reattend::viz {
namespace {

using Row = std::vector<reattend::Cell>;

}  // namespace

reattend::Table layers_table(const Session& session) {
  if (session.total() == nullptr || !session.total_is_current()) not_yet("layers");
  reattend::Table out = {.name = "layers", .columns = {{.key = "layer"}}};
  for (const SummaryField& each : kSummaryFields) out.columns.push_back({.key = each.key, .digits = each.digits});
  const auto add = [&](reattend::Cell name, const ReplaySummary& summary) {
    Row row = {std::move(name)};
    for (const SummaryField& each : kSummaryFields) row.emplace_back(summary.*each.field);
    out.rows.push_back(std::move(row));
  };
  const AsyncAnswer& answer = *session.answer();
  for (size_t l = 0; l < answer.layers.size(); ++l) {
    if (answer.layers[l]) add(static_cast<int64_t>(l), answer.per_layer[l]);
  }
  add(std::string("total"), *session.total());
  return out;
}

reattend::Table steps_table(const Session& session) {
  const LayerReplay& layer = shown_layer(session);
  const TraceInfo& info = session.trace()->info;
  const int32_t head = session.selection().kv_head;
  reattend::Table out = {.name = fmt::format("layer {}, KV head {}", layer.layer, head),
                         .columns = {{.key = "step"},
                                     {.key = "role", .left = true},
                                     {.key = "reason", .left = true},
                                     {.key = "positions"},
                                     {.key = "similarity"},
                                     {.key = "recovered"},
                                     {.key = "oracle"},
                                     {.key = "normalised"},
                                     {.key = "overlap"},
                                     {.key = "jaccard"},
                                     {.key = "output_error"}}};
  const std::vector<float> errors = mean_over_groups(layer.output_error, info.group());
  const StepReasons reasons(layer, session.settings(), info);
  for (int32_t t = 1; t <= info.n_step; ++t) {
    const auto at = static_cast<size_t>((t - 1) * info.n_kv_head + head);
    const auto number = [at](const std::vector<float>& values) -> reattend::Cell {
      return values.empty() ? reattend::Cell{} : double{values[at]};
    };
    out.rows.push_back({int64_t{t}, std::string(role_name(role_of(layer, at, info.n_prompt - 1 + t))),
                        in_words(reasons.of(t, head)), int64_t{layer.positions[at]}, number(layer.cos),
                        number(layer.recovered), number(layer.oracle), double{layer.recovered[at] / layer.oracle[at]},
                        number(layer.overlap), number(layer.jaccard), number(errors)});
  }
  return out;
}

reattend::Table weights_table(const Session& session, const Limits& steps, const Limits& positions) {
  if (session.trace() == nullptr) not_yet("weights");
  constexpr double kMost = 1e6;
  const TraceInfo& info = session.trace()->info;
  const auto first = [](double low, int32_t least) { return std::max(least, static_cast<int32_t>(std::ceil(low))); };
  const auto last = [](double high, int32_t most) { return std::min(most, static_cast<int32_t>(std::floor(high))); };
  const int32_t t0 = first(steps.low, 1), t1 = last(steps.high, info.n_step);
  const int32_t p0 = first(positions.low, 0), p1 = last(positions.high, info.n_prompt + info.n_step - 1);
  const double n = (t1 - t0 + 1.0) * (p1 - p0 + 1.0);
  if (n > kMost) {
    fail({"weights in view", fmt::format("at most {:.0f}", kMost), fmt::format("{:.0f}", n), "zoom in"});
  }
  const Selection& at = session.selection();
  reattend::Table out = {.name = fmt::format("layer {}, KV head {}", at.layer, at.kv_head),
                         .columns = {{.key = "step"},
                                     {.key = "position"},
                                     {.key = "token", .left = true},
                                     {.key = "weight", .digits = 6},
                                     {.key = "attended", .left = true}}};
  for (int32_t t = t0; t <= t1; ++t) {
    for (int32_t p = p0; p <= std::min(p1, info.n_prompt - 1 + t); ++p) {
      const std::optional<float> weight = session.weight(t, p);
      const std::optional<bool> attended = session.attended(t, p);
      out.rows.push_back({int64_t{t}, int64_t{p}, session.token_text(p),
                          weight ? reattend::Cell(double{*weight}) : reattend::Cell(),
                          attended ? reattend::Cell(std::string(*attended ? "yes" : "no")) : reattend::Cell()});
    }
  }
  return out;
}

reattend::Table ledger_table(const Session& session, const SharedView& view) {
  const LedgerPage& page = shown_ledger(session);
  const std::vector<std::string> keys = layer_keys(page.settings);
  reattend::Table out = {.name = "ledger", .columns = {{.key = "layer"}}};
  for (const std::string& key : keys) out.columns.push_back({.key = key, .left = true});
  for (const char* const key : {"lost", "output_error", session.tuning()->calibrated ? "ms" : "megabytes", "share"}) {
    out.columns.push_back({.key = key});
  }
  const std::shared_ptr<const RangePage> range = range_figures(session, view);
  for (const char* const key : {"lost_in_range", "lost_p50_in_range", "lost_p95_in_range", "lost_p99_in_range"}) {
    if (range) out.columns.push_back({.key = key});
  }
  for (const LedgerRow& each : page.rows) {
    Row row = {int64_t{each.layer}};
    const Settings settings = in_layer(page.settings, each.layer);
    for (const std::string& key : keys) row.emplace_back(to_text(settings.get(key)));
    for (const double value : {each.lost, each.output_error, each.cost, each.share}) row.emplace_back(value);
    if (range) {
      const Spread& of = lost_in_range(*range, each.layer);
      for (const double value : {of.mean, of.p50, of.p95, of.p99}) row.emplace_back(value);
    }
    out.rows.push_back(std::move(row));
  }
  return out;
}

reattend::Table lost_table(const Session& session) {
  const LostRow& row = *shown_story(session).row;
  reattend::Table out = {.name = "lost",
                         .columns = {{.key = "position"},
                                     {.key = "token", .left = true},
                                     {.key = "weight", .digits = 9},
                                     {.key = "kind", .left = true},
                                     {.key = "last_attended"},
                                     {.key = "rank"},
                                     {.key = "rank_now"},
                                     {.key = "why", .left = true}}};
  for (const LostPosition& lost : row.positions) {
    out.rows.push_back({int64_t{lost.position}, session.token_text(lost.position), static_cast<double>(lost.weight),
                        std::string(kLostKinds[static_cast<size_t>(lost.kind)]), int64_t{lost.last},
                        lost.rank < 0 ? reattend::Cell{} : int64_t{lost.rank} + 1, int64_t{lost.rank_now} + 1,
                        cause_in_words(row, lost)});
  }
  return out;
}

reattend::Table life_table(const Session& session) {
  const Story& story = shown_story(session);
  if (!story.lanes) not_yet("Why lost");
  reattend::Table out = {
      .name = "life",
      .columns = {{.key = "layer"}, {.key = "step"}, {.key = "weight", .digits = 9}, {.key = "attended"}}};
  for (const Lane& lane : *story.lanes) {
    for (size_t i = 0; i < lane.weights.size(); ++i) {
      const float weight = lane.weights[i];
      if (std::isnan(weight)) continue;
      out.rows.push_back({int64_t{lane.layer}, static_cast<int64_t>(i) + 1, static_cast<double>(std::abs(weight)),
                          int64_t{std::signbit(weight) ? 0 : 1}});
    }
  }
  return out;
}

reattend::Table heads_table(const Session& session, LayerMeasure measure) {
  reattend::Table out = {.name = "heads",
                         .columns = {{.key = "layer"}, {.key = "kv_head"}, {.key = "mean"}, {.key = "p95"}}};
  for (const HeadStory& each : shown_heads(session, measure)->heads) {
    out.rows.push_back({int64_t{each.layer}, int64_t{each.kv_head}, each.mean, each.p95});
  }
  return out;
}

reattend::Table stretches_table(const Session& session, LayerMeasure measure) {
  reattend::Table out = {.name = "stretches",
                         .columns = {{.key = "layer"}, {.key = "kv_head"}, {.key = "stretch"}, {.key = "largest"}}};
  for (const HeadStory& each : shown_heads(session, measure)->heads) {
    for (size_t i = 0; i < each.largest.size(); ++i) {
      out.rows.push_back(
          {int64_t{each.layer}, int64_t{each.kv_head}, static_cast<int64_t>(i) + 1, double{each.largest[i]}});
    }
  }
  return out;
}

reattend::Table mass_table(const Session& session) {
  const LayerCurves& curves = shown_curves(session);
  reattend::Table out = {.name = fmt::format("layer {}", curves.layer),
                         .columns = {{.key = "K"}, {.key = "mean"}, {.key = "p05"}, {.key = "p95"}, {.key = "least"}}};
  for (size_t i = 0; i < curves.budgets.size(); ++i) {
    const Spread& of = curves.mass[i];
    out.rows.push_back({int64_t{curves.budgets[i]}, of.mean, of.p05, of.p95, of.min});
  }
  return out;
}

reattend::Table ages_table(const Session& session) {
  const LayerCurves& curves = shown_curves(session);
  reattend::Table out = {.name = fmt::format("layer {}, K = {}", curves.layer, curves.budget),
                         .columns = {{.key = "age"},
                                     {.key = "cases"},
                                     {.key = "overlap"},
                                     {.key = "mass_with_tokens_since"},
                                     {.key = "mass_alone"},
                                     {.key = "best_mass"}}};
  for (size_t i = 0; i < curves.lags.size(); ++i) {
    const AgedMeans& of = curves.aged[i];
    out.rows.push_back({int64_t{curves.lags[i]}, of.n, of.overlap, of.attended, of.stale, of.oracle});
  }
  return out;
}

}  // namespace reattend::viz
