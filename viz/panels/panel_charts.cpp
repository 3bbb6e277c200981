// Draws what tables hold as curves and points.
#include "viz/panels/panel_charts.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "policies/value_text.h"
#include "viz/panels/shown_data.h"
#include "viz/panels/tried_plot.h"
#include "viz/session/measured.h"
#include "viz/session/tried.h"

namespace reattend::viz {
namespace {

/// Without what has no value; throws Error where nothing is left.
reattend::Chart chart_of(std::string title, std::string subtitle, std::vector<reattend::Panel> panels) {
  const auto known = [](const reattend::Series& each) {
    return std::ranges::any_of(each.y, [](double y) { return std::isfinite(y); });
  };
  for (reattend::Panel& panel : panels) {
    std::erase_if(panel.series, [&](const reattend::Series& each) { return !known(each); });
  }
  std::erase_if(panels, [](const reattend::Panel& panel) { return panel.series.empty(); });
  if (panels.empty()) not_yet(title.c_str());
  return {.title = std::move(title), .subtitle = std::move(subtitle), .panels = std::move(panels)};
}

reattend::Series points(std::string name, reattend::PointStyle style) {
  return {.name = std::move(name), .line = false, .points = true, .style = style};
}

void add(reattend::Series& series, double x, double y) {
  series.x.push_back(x), series.y.push_back(y);
}

}  // namespace

reattend::Chart steps_chart(const Session& session) {
  const LayerReplay& layer = shown_layer(session);
  const TraceInfo& info = session.trace()->info;
  const int32_t head = session.selection().kv_head;
  const auto series = [&](const char* name, const std::vector<float>& values) {
    reattend::Series out{.name = name};
    for (int32_t t = 1; t <= info.n_step && !values.empty(); ++t) {
      add(out, t, double{values[static_cast<size_t>((t - 1) * info.n_kv_head + head)]});
    }
    return out;
  };
  const reattend::Axis steps = {.title = "step", .whole = true};
  return chart_of(fmt::format("Layer {}, KV head {}", layer.layer, head), session.settings().summary(),
                  {{.title = "Similarity",
                    .x = steps,
                    .y = {.title = "similarity"},
                    .series = {series("query similarity", layer.cos)}},
                   {.title = "Measures",
                    .x = steps,
                    .y = {.title = "share"},
                    .series = {series("recovered mass", layer.recovered), series("top-K overlap", layer.overlap),
                               series("output error", mean_over_groups(layer.output_error, info.group()))}}});
}

reattend::Chart landscape_chart(const Session& session) {
  const Landscape& map = shown_map(session);
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

reattend::Chart heads_chart(const Session& session, LayerMeasure measure, const std::string& title) {
  const std::shared_ptr<const HeadPage> page = shown_heads(session, measure);
  std::vector<reattend::Series> series;
  for (int32_t g = 0; g < session.trace()->info.n_kv_head; ++g) {
    series.push_back({.name = fmt::format("KV head {}", g), .points = true});
  }
  for (const HeadStory& each : page->heads) add(series[static_cast<size_t>(each.kv_head)], each.layer, each.mean);
  return chart_of("Heads", session.settings().summary(),
                  {{.title = "Mean over the steps",
                    .x = {.title = "layer", .whole = true},
                    .y = {.title = title},
                    .series = std::move(series)}});
}

reattend::Chart curves_chart(const Session& session) {
  const LayerCurves& curves = shown_curves(session);
  reattend::Series mean{.name = "mean"}, low{.name = "5 % of steps at most"}, high{.name = "95 % of steps at most"};
  for (size_t i = 0; i < curves.budgets.size(); ++i) {
    const Spread& of = curves.mass[i];
    const double k = curves.budgets[i];
    add(mean, k, of.mean), add(low, k, of.p05), add(high, k, of.p95);
  }
  reattend::Series overlap{.name = "overlap with the step's own"}, attended{.name = "mass, with the tokens since"},
      alone{.name = "mass of the set alone"};
  for (size_t i = 0; i < curves.lags.size(); ++i) {
    const AgedMeans& of = curves.aged[i];
    const double age = curves.lags[i];
    add(overlap, age, of.overlap), add(attended, age, of.attended), add(alone, age, of.stale);
  }
  const reattend::Axis share = {.title = "share", .low = 0, .high = 1};
  return chart_of(fmt::format("Layer {}", curves.layer), session.settings().summary(),
                  {{.title = "Mass of the K best positions",
                    .x = {.title = "K", .log = true},
                    .y = share,
                    .series = {mean, low, high},
                    .marks = {{static_cast<double>(curves.budget), fmt::format("K = {}", curves.budget)}}},
                   {.title = fmt::format("A set of K = {} by its age", curves.budget),
                    .x = {.title = "age, steps", .log = true},
                    .y = share,
                    .series = {overlap, attended, alone}}});
}

reattend::Chart measured_chart(const Session& session) {
  if (session.tuning() == nullptr) not_yet("Measured");
  reattend::Series kl = points("settings", reattend::PointStyle::filled), ms = kl;
  for (const MeasuredSetting& each : session.data<Measured>().files().measured) {
    if (each.predicted_kl > 0 && each.measured.kl > 0) add(kl, each.predicted_kl, each.measured.kl);
    if (each.predicted_ms > 0 && each.measured.ms > 0) add(ms, each.predicted_ms, each.measured.ms);
  }
  const auto diagonal = [](const reattend::Series& of) {
    reattend::Series out{.name = "as predicted"};
    if (of.x.empty()) return out;
    const double low = std::min(std::ranges::min(of.x), std::ranges::min(of.y));
    const double high = std::max(std::ranges::max(of.x), std::ranges::max(of.y));
    add(out, low, low), add(out, high, high);
    return out;
  };
  return chart_of("Measured against predicted", "",
                  {{.title = "KL",
                    .x = {.title = "KL predicted, nats", .log = true},
                    .y = {.title = "measured", .log = true},
                    .series = {diagonal(kl), kl}},
                   {.title = "Time",
                    .x = {.title = "ms/token predicted"},
                    .y = {.title = "measured"},
                    .series = {diagonal(ms), ms}}});
}

reattend::Chart tried_chart(const Session& session) {
  if (session.tuning() == nullptr) not_yet("Tried");
  const bool has_kl = session.tuning()->prediction.curve.exists();
  reattend::Series tried = points("tried", reattend::PointStyle::hollow);
  reattend::Series measured = points("measured", reattend::PointStyle::filled);
  reattend::Series now = points("under trial", reattend::PointStyle::ring);
  for (const TriedSetting& each : session.data<Tried>().settings()) {
    const Metrics& metrics = each.metrics;
    add(tried, metrics.cost, harm_of(metrics, has_kl));
    if (has_kl && metrics.measured) add(measured, metrics.cost, metrics.measured->kl);
    if (each.settings == session.settings()) add(now, metrics.cost, harm_of(metrics, has_kl));
  }
  return chart_of("Settings that were tried", "",
                  {{.x = {.title = cost_name(session) + " per token"},
                    .y = {.title = harm_name(session), .log = true},
                    .series = {tried, measured, now}}});
}

reattend::Chart life_chart(const Session& session) {
  const Story& story = shown_story(session);
  reattend::Series attended = points("attended to", reattend::PointStyle::filled);
  reattend::Series lost = points("lost", reattend::PointStyle::hollow);
  for (const Lane& lane : story.lanes ? *story.lanes : std::vector<Lane>{}) {
    if (lane.layer != story.at.layer) continue;
    for (size_t i = 0; i < lane.weights.size(); ++i) {
      const double weight = double{lane.weights[i]};
      if (!std::isnan(weight))
        add(std::signbit(weight) ? lost : attended, static_cast<double>(i) + 1, std::abs(weight));
    }
  }
  return chart_of(fmt::format("Position {} in layer {}, KV head {}", story.position, story.at.layer, story.at.kv_head),
                  session.settings().summary(),
                  {{.x = {.title = "step", .whole = true}, .y = {.title = "weight"}, .series = {attended, lost}}});
}

}  // namespace reattend::viz
