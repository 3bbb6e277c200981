// Tables of settings: tried, on the map, measured.
#include <cmath>

#include "base/utf8.h"
#include "policies/value_text.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/shown_data.h"
#include "viz/session/axes.h"
#include "viz/session/measured.h"
#include "viz/session/tried.h"

namespace reattend::viz {
namespace {

using Row = std::vector<reattend::Cell>;

}  // namespace

reattend::Table tried_table(const Session& session) {
  if (session.tuning() == nullptr) not_yet("tried settings");
  reattend::Table out = {.name = "tried", .columns = {{.key = "setting", .left = true}}};
  const char* const cost = session.tuning()->calibrated ? "ms" : "megabytes";
  for (const char* const key : {"kl", "estimate", cost, "lost", "output_error", "measured_kl", "measured_ms"}) {
    out.columns.push_back({.key = key});
  }
  for (const TriedSetting& each : session.data<Tried>().settings()) {
    const Metrics& metrics = each.metrics;
    const Score measured = metrics.measured.value_or(Score{});
    Row row = {each.settings.summary()};
    for (const double value : {metrics.predicted_kl, metrics.estimate, metrics.cost, metrics.lost,
                               metrics.output_error_mean, measured.kl, measured.ms}) {
      row.emplace_back(value);
    }
    out.rows.push_back(std::move(row));
  }
  return out;
}

reattend::Table landscape_table(const Session& session) {
  const Landscape& map = shown_map(session);
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

reattend::Table measured_table(const Session& session) {
  if (session.tuning() == nullptr) not_yet("measured settings");
  reattend::Table out = {.name = "measured", .columns = {{.key = "setting", .left = true}}};
  for (const char* const key : {"kl", "predicted_kl", "ms", "predicted_ms", "agreement"}) {
    out.columns.push_back({.key = key});
  }
  out.columns.push_back({.key = "from", .left = true});
  for (const MeasuredSetting& each : session.data<Measured>().files().measured) {
    out.rows.push_back({each.settings.summary(), each.measured.kl, each.predicted_kl, each.measured.ms,
                        each.predicted_ms, each.measured.agreement, visible(each.from)});
  }
  return out;
}

}  // namespace reattend::viz
