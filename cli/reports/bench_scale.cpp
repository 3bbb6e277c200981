// Shows what `reattend bench --shape` found: time of a token against context, measured and by counted bytes.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/statistics.h"
#include "cli/reports/bench.h"
#include "report/table.h"
#include "report/words.h"

namespace reattend::cli {
namespace {

Table points_table(const ScaleBench& found) {
  const double stream = median(found.stream);
  const std::string read = "MB read a token";
  Table out = {.columns = {{.key = "policy", .left = true},
                           {.key = "work", .hidden = true},
                           {.key = "depth", .title = "context"},
                           {.key = "ms_per_token", .title = "ms/token", .digits = 2},
                           {.key = "tok_per_s", .title = "tok/s", .digits = 1},
                           {.key = "speed_up", .title = "speed-up", .digits = 2},
                           {.key = "peer_tok_per_s", .hidden = true},
                           {.key = "ratio", .hidden = true},
                           {.key = "predicted_ms", .title = "bytes say ms", .digits = 2},
                           {.key = "stream_percent", .title = "% stream", .digits = 0},
                           {.key = "bytes_weights", .title = "weights", .digits = 1, .group = read, .scale = 1e-6},
                           {.key = "bytes_attend", .title = "attend", .digits = 1, .group = read, .scale = 1e-6},
                           {.key = "bytes_select", .title = "select", .digits = 1, .group = read, .scale = 1e-6}}};
  for (const ScalePoint& point : found.points) {
    const double predicted = point.predicted_ms(stream);
    out.rows.push_back({point.settings.summary(),
                        std::string("decode"),
                        point.context,
                        point.ms,
                        1e3 / point.ms,
                        found.full_ms(point) / point.ms,
                        {},
                        {},
                        predicted,
                        100 * predicted / point.ms,
                        point.bytes.weights,
                        point.bytes.attend,
                        point.bytes.select});
  }
  return out;
}

std::string skipped_text(const ScaleBench& found) {
  std::string out;
  for (const ScaleBench::Skipped& each : found.skipped) {
    out += fmt::format("skipped: context {} takes {:.1f} GB, {:.1f} GB are free\n", each.context,
                       static_cast<double>(each.bytes) / 1e9, static_cast<double>(found.free_bytes) / 1e9);
  }
  return out;
}

}  // namespace

std::string to_text(const ScaleBench& found) {
  if (found.points.empty()) return skipped_text(found);
  std::string out = fmt::format(
      "{} in {} ({:.2f} GB of random weights), {} cache of random keys and values ({:.0f} KB a position)\n{} threads, "
      "{} "
      "kernels, stream {:.1f} GB/s; medians of {}, interleaved\n\n",
      found.shape, found.type, static_cast<double>(found.weight_bytes) / 1e9, found.kv,
      static_cast<double>(found.position_bytes) / 1e3, found.threads, found.cpu, median(found.stream),
      plural(found.repeats, "round"));
  return out + to_text(points_table(found)) + skipped_text(found);
}

nlohmann::json to_json(const ScaleBench& found) {
  nlohmann::json skipped = nlohmann::json::array();
  for (const ScaleBench::Skipped& each : found.skipped) {
    skipped.push_back({{"depth", each.context}, {"bytes", each.bytes}});
  }
  return {{"shape", found.shape},
          {"type", found.type},
          {"threads", found.threads},
          {"cpu", found.cpu},
          {"kv", found.kv},
          {"stream_gbps", median(found.stream)},
          {"repeats", found.repeats},
          {"free_bytes", found.free_bytes},
          {"weight_bytes", found.weight_bytes},
          {"position_bytes", found.position_bytes},
          {"rows", to_json(points_table(found))},
          {"skipped", skipped},
          {"stopped", found.stopped}};
}

Chart to_chart(const ScaleBench& found) {
  const double stream = median(found.stream);
  Panel time = {.title = "time of a token",
                .x = {.title = "positions in the cache", .log = true},
                .y = {.title = "ms/token", .log = true}};
  Panel gain = {.title = "full attention's time over recycled attention's",
                .x = {.title = "positions in the cache", .log = true},
                .y = {.title = "speed-up"}};
  std::vector<Series> measured, predicted, speed_up;
  for (const ScalePoint& point : found.points) {
    const std::string name = point.settings.summary();
    const auto of = [&](std::vector<Series>& all, const std::string& as, bool line, bool points) -> Series& {
      for (Series& each : all) {
        if (each.name == as) return each;
      }
      return all.emplace_back(Series{.name = as, .line = line, .points = points});
    };
    const auto x = static_cast<double>(point.context);
    const auto add = [x](Series& to, double y) { to.x.push_back(x), to.y.push_back(y); };
    add(of(measured, name, false, true), point.ms);
    add(of(predicted, name, true, false), point.predicted_ms(stream));
    if (!point.settings.is_full()) add(of(speed_up, name, true, true), found.full_ms(point) / point.ms);
  }
  for (std::vector<Series>* each : {&measured, &predicted}) {
    time.series.insert(time.series.end(), each->begin(), each->end());
  }
  gain.series = speed_up;
  if (!found.points.empty()) {
    for (Panel* each : {&time, &gain}) {
      each->x.low = static_cast<double>(found.points.front().context) / 1.25;
      each->x.high = static_cast<double>(found.points.back().context) * 1.25;
    }
  }
  return {.title = fmt::format("{} in {}, {} cache: decoding against context", found.shape, found.type, found.kv),
          .subtitle = fmt::format("{} threads, {} kernels, stream {:.1f} GB/s; random weights, keys and values; points "
                                  "are measured, lines are the bytes that were counted over the stream's rate",
                                  found.threads, found.cpu, stream),
          .panels = {time, gain}};
}

}  // namespace reattend::cli
