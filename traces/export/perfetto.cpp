// Chrome's trace events: complete slices, counters, names of tracks; an array in an object.
#include "traces/export/perfetto.h"

#include <cmath>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace reattend {
namespace {

using Json = nlohmann::ordered_json;

Json finite(double x) {
  return std::isfinite(x) ? Json(x) : Json(nullptr);
}

/// Events as text, one a line.
class Events {
 public:
  explicit Events(const std::function<void(std::string_view)>& write) : write_(write) {}
  void add(const Json& event) {
    write_((first_ ? "\n" : ",\n") + event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    first_ = false;
  }
  /// A counter's value from time `us` on; without a value nothing is said.
  void count(const std::string& name, double us, const char* unit, double value) {
    if (!std::isfinite(value)) return;
    add({{"ph", "C"}, {"pid", 1}, {"ts", us}, {"name", name}, {"args", {{unit, value}}}});
  }
  void name(const char* what, int track, const std::string& text) {
    add({{"ph", "M"}, {"pid", 1}, {"tid", track}, {"name", what}, {"args", {{"name", text}}}});
  }

 private:
  const std::function<void(std::string_view)>& write_;
  bool first_ = true;
};

}  // namespace

void write_perfetto(TraceReader& trace, const TraceTables& tables, const std::function<void(std::string_view)>& write,
                    const Cancel& cancel) {
  const TraceInfo& info = trace.info();
  const StepData data = trace.steps();
  const std::string policy = info.settings.summary();
  const auto n_kv = static_cast<size_t>(info.n_kv_head);
  write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
  Events events(write);
  events.name("process_name", 0, fmt::format("reattend: {}", policy));
  events.name("thread_name", 1, "steps");
  std::vector<double> shown(static_cast<size_t>(info.n_stored()), -1);  // of each layer's counter
  double us = 0;
  for (const StepRow& row : tables.steps) {
    cancel.check();
    double n_full = 0;
    for (int32_t i = 0; i < info.n_stored(); ++i) {
      const auto layer = static_cast<size_t>(info.stored_layer(i));
      const size_t at = (static_cast<size_t>(row.step - 1) * static_cast<size_t>(info.n_layer) + layer) * n_kv;
      double full = 0;
      for (size_t g = 0; g < n_kv; ++g) full += data.full[at + g];
      n_full += full;
      // A counter keeps its value until the next: most layers change seldom.
      double& last = shown[static_cast<size_t>(i)];
      if (const double share = full / static_cast<double>(n_kv); share != last) {
        events.count(fmt::format("layer {:02} full", layer), us, "share", share);
        last = share;
      }
    }
    events.add({{"ph", "X"},
                {"pid", 1},
                {"tid", 1},
                {"ts", us},
                {"dur", row.ms * 1e3},
                {"cat", row.full > 0 ? "full" : "partial"},
                {"name", row.text.empty() ? fmt::format("step {}", row.step) : row.text},
                {"args",
                 {{"step", row.step},
                  {"position", row.position},
                  {"policy", policy},
                  {"full KV heads", n_full},
                  {"bytes weights", row.bytes_weights},
                  {"bytes attend", row.bytes_attend},
                  {"bytes select", row.bytes_select},
                  {"positions", finite(row.positions)},
                  {"recovered mass", finite(row.recovered)},
                  {"log-probability", finite(row.logprob)}}}});
    events.count("bytes attend", us, "bytes", static_cast<double>(row.bytes_attend));
    events.count("bytes select", us, "bytes", static_cast<double>(row.bytes_select));
    events.count("recovered mass", us, "mass", row.recovered);
    events.count("positions", us, "positions", row.positions);
    us += row.ms * 1e3;
  }
  write("\n]}\n");
}

}  // namespace reattend
