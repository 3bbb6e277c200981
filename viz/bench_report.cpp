// The bench's figures as text and as JSON.
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "replay/replay.h"
#include "viz/bench.h"

namespace reattend::viz {

std::string to_text(const BenchResult& result) {
  std::string out = fmt::format(
      "{}: {} steps that end at {} positions, {} layers x {} KV heads, {:.0f} MB; {:.3g} GB of memory may be used\n\n",
      result.trace, result.n_step, result.n_position, result.n_layer, result.n_kv_head,
      static_cast<double>(result.file_bytes) / 1e6,
      static_cast<double>(result.memory_limit) / static_cast<double>(kGigabyte));
  out += fmt::format("{:<68} {:>9} {:<6} {:>9} {:>8}\n", "work", "took", "", "CPU ms", "target");
  for (const BenchTime& time : result.times) {
    out += fmt::format("{:<68} {:>9.4g} {:<6} {:>9} {:>8} {}\n", time.work, time.value, time.unit,
                       std::isnan(time.cpu_ms) ? "" : fmt::format("{:.0f}", time.cpu_ms),
                       std::isnan(time.target) ? "" : fmt::format("{:g}", time.target), time.met() ? "" : "missed");
  }
  return out;
}

std::string to_json(const std::vector<BenchResult>& results) {
  nlohmann::json out = nlohmann::json::array();
  const auto number = [](double value) { return std::isnan(value) ? nlohmann::json(nullptr) : nlohmann::json(value); };
  for (const BenchResult& result : results) {
    nlohmann::json times = nlohmann::json::array();
    for (const BenchTime& time : result.times) {
      times.push_back({{"key", time.key},
                       {"work", time.work},
                       {"unit", time.unit},
                       {"value", number(time.value)},
                       {"cpu_ms", number(time.cpu_ms)},
                       {"target", number(time.target)},
                       {"met", time.met()}});
    }
    out.push_back({{"trace", result.trace},
                   {"n_step", result.n_step},
                   {"n_position", result.n_position},
                   {"n_layer", result.n_layer},
                   {"n_kv_head", result.n_kv_head},
                   {"threads", result.threads},
                   {"file_bytes", result.file_bytes},
                   {"memory_limit", result.memory_limit},
                   {"times", times}});
  }
  return json_text(out, 2);
}

}  // namespace reattend::viz
