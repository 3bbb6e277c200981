// Fills tables from what the session and its providers hold; nothing is computed for them.
#include "viz/panels/panel_tables.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/value_text.h"
#include "replay/summary_fields.h"
#include "viz/session/landscape.h"
#include "viz/session/ledger.h"
#include "viz/session/story.h"

namespace reattend::viz {
namespace {

using Row = std::vector<reattend::Cell>;

[[noreturn]] void not_yet(const char* what) {
  fail({what, "numbers of the setting", "none yet", "wait until it is replayed"});
}

std::string role_name(StepRole role) {
  return role == StepRole::full ? "full" : role == StepRole::selects ? "chooses anew" : "partial";
}

/// The map that the landscape panel shows.
const Landscape& map_of(const Session& session) {
  if (session.tuning() == nullptr) not_yet("landscape");
  const Axes axes = axes_of(session.settings(), session.trace()->info);
  return session.data<Landscapes>().ask(session, session.settings(), axes.across, axes.upwards);
}

const LayerReplay& selected_layer(const Session& session) {
  const LayerReplay* const layer = session.layer();
  if (layer == nullptr || !session.layer_is_current()) not_yet("layer");
  return *layer;
}

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
  const LayerReplay& layer = selected_layer(session);
  const TraceInfo& info = session.trace()->info;
  const int32_t head = session.selection().kv_head;
  reattend::Table out = {.name = fmt::format("layer {}, KV head {}", layer.layer, head),
                         .columns = {{.key = "step"},
                                     {.key = "role", .left = true},
                                     {.key = "positions"},
                                     {.key = "similarity"},
                                     {.key = "recovered"},
                                     {.key = "oracle"},
                                     {.key = "normalised"},
                                     {.key = "overlap"},
                                     {.key = "jaccard"},
                                     {.key = "output_error"}}};
  const std::vector<float> errors = mean_over_groups(layer.output_error, info.group());
  for (int32_t t = 1; t <= info.n_step; ++t) {
    const auto at = static_cast<size_t>((t - 1) * info.n_kv_head + head);
    const auto number = [at](const std::vector<float>& values) -> reattend::Cell {
      return values.empty() ? reattend::Cell{} : double{values[at]};
    };
    out.rows.push_back({int64_t{t}, role_name(role_of(layer, at, info.n_prompt - 1 + t)), int64_t{layer.positions[at]},
                        number(layer.cos), number(layer.recovered), number(layer.oracle),
                        double{layer.recovered[at] / layer.oracle[at]}, number(layer.overlap), number(layer.jaccard),
                        number(errors)});
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

reattend::Table ledger_table(const Session& session) {
  if (session.tuning() == nullptr) not_yet("ledger");
  const LedgerPage* const page = session.data<Ledger>().ask();
  if (page == nullptr || page->settings != session.settings()) not_yet("ledger");
  const std::vector<std::string> keys = layer_keys(page->settings);
  reattend::Table out = {.name = "ledger", .columns = {{.key = "layer"}}};
  for (const std::string& key : keys) out.columns.push_back({.key = key, .left = true});
  for (const char* const key : {"lost", "output_error", session.tuning()->calibrated ? "ms" : "megabytes", "share"}) {
    out.columns.push_back({.key = key});
  }
  for (const LedgerRow& each : page->rows) {
    Row row = {int64_t{each.layer}};
    const Settings settings = in_layer(page->settings, each.layer);
    for (const std::string& key : keys) row.emplace_back(to_text(settings.get(key)));
    for (const double value : {each.lost, each.output_error, each.cost, each.share}) row.emplace_back(value);
    out.rows.push_back(std::move(row));
  }
  return out;
}

namespace {

/// That of the session's setting and selection.
const Story& story_of(const Session& session) {
  const Story* const story = session.tuning() == nullptr ? nullptr : session.data<Stories>().ask();
  const Selection& at = session.selection();
  if (story == nullptr || !story->row || story->settings != session.settings() ||
      story->at != RowPlace{at.layer, at.kv_head, at.step}) {
    not_yet("Why lost");
  }
  return *story;
}

}  // namespace

reattend::Table lost_table(const Session& session) {
  const LostRow& row = *story_of(session).row;
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
  const Story& story = story_of(session);
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

reattend::Table landscape_table(const Session& session) {
  const Landscape& map = map_of(session);
  reattend::Table out = {.name = "landscape", .columns = {}};
  for (const Axis* const axis : {&map.across, &map.upwards}) {
    if (!axis->key.empty()) out.columns.push_back({.key = axis->key, .left = true});
  }
  const char* const cost = map.judged.calibrated ? "ms" : "megabytes";
  for (const char* const key : {"kl", "estimate", cost}) out.columns.push_back({.key = key});
  for (const LandscapeCell& cell : map.cells) {
    if (!cell.metrics) continue;
    Row row;
    for (const Axis* const axis : {&map.across, &map.upwards}) {
      if (!axis->key.empty()) row.emplace_back(to_text(cell.settings.get(axis->key)));
    }
    for (const double value : {cell.metrics->predicted_kl, cell.metrics->estimate, cell.metrics->cost}) {
      row.emplace_back(value);
    }
    out.rows.push_back(std::move(row));
  }
  return out;
}

reattend::Chart steps_chart(const Session& session) {
  const LayerReplay& layer = selected_layer(session);
  const TraceInfo& info = session.trace()->info;
  const int32_t head = session.selection().kv_head;
  const auto series = [&](const char* name, const std::vector<float>& values) {
    reattend::Series out{.name = name};
    for (int32_t t = 1; t <= info.n_step && !values.empty(); ++t) {
      out.x.push_back(t), out.y.push_back(double{values[static_cast<size_t>((t - 1) * info.n_kv_head + head)]});
    }
    return out;
  };
  const reattend::Axis steps = {.title = "step", .whole = true};
  reattend::Chart out = {.title = fmt::format("Layer {}, KV head {}", layer.layer, head),
                         .subtitle = session.settings().summary()};
  const auto known = [](const reattend::Series& each) {
    return std::ranges::any_of(each.y, [](double y) { return std::isfinite(y); });
  };
  const auto panel = [&](const char* title, const char* axis, std::vector<reattend::Series> all) {
    std::erase_if(all, [&](const reattend::Series& each) { return !known(each); });
    if (!all.empty())
      out.panels.push_back({.title = title, .x = steps, .y = {.title = axis}, .series = std::move(all)});
  };
  panel("Similarity", "similarity", {series("query similarity", layer.cos)});
  panel("Measures", "share",
        {series("recovered mass", layer.recovered), series("top-K overlap", layer.overlap),
         series("output error", mean_over_groups(layer.output_error, info.group()))});
  return out;
}

reattend::Chart landscape_chart(const Session& session) {
  const Landscape& map = map_of(session);
  const bool kl = map.judged.prediction.curve.exists();
  reattend::Panel panel = {.x = {.title = map.judged.calibrated ? "ms per token" : "MB per token"},
                           .y = {.title = kl ? "predicted KL" : map.judged.prediction.estimate, .log = true}};
  for (size_t a = 0; a < map.across.size(); ++a) {
    const bool varies = !map.across.key.empty();
    reattend::Series series{.name = varies ? fmt::format("{} = {}", map.across.key, to_text(map.across.values[a]))
                                           : session.settings().policy(),
                            .points = true,
                            .style = reattend::PointStyle::hollow};
    for (size_t u = 0; u < map.upwards.size(); ++u) {
      const std::optional<Metrics>& metrics = map.cells[map.cell(a, u)].metrics;
      if (!metrics) continue;
      series.x.push_back(metrics->cost), series.y.push_back(kl ? metrics->predicted_kl : metrics->estimate);
    }
    if (!series.x.empty()) panel.series.push_back(std::move(series));
  }
  if (panel.series.empty()) not_yet("landscape");
  return {.title = "Settings of " + session.settings().policy(), .subtitle = "", .panels = {std::move(panel)}};
}

}  // namespace reattend::viz
