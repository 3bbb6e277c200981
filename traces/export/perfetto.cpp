// Chrome's trace events: complete slices, counters, names of tracks; an array in an object.
#include "traces/export/perfetto.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "traces/schema.h"

namespace reattend {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
constexpr int kProcess = 1;
/// The process's own number makes it the main thread, which viewers put first; 0 is the kernel's idle thread to them.
constexpr int kStepTrack = kProcess;
constexpr int kFirstLayerTrack = kStepTrack + 1;

/// Events as text, one a line.
class Events {
 public:
  explicit Events(const std::function<void(std::string_view)>& write) : write_(write) {}
  void add(const Json& event) {
    write_((first_ ? "\n" : ",\n") + event.dump(-1, ' ', false, kReplace));
    first_ = false;
  }
  /// What holds from `begin` to `end`, in whole microseconds: viewers round starts and lengths to nanoseconds one by
  /// one, and a slice that ends in the next one is dropped.
  void slice(int track, int64_t begin, int64_t end, const char* category, const std::string& name, Json arguments) {
    add({{"ph", "X"},
         {"pid", kProcess},
         {"tid", track},
         {"ts", begin},
         {"dur", end - begin},
         {"cat", category},
         {"name", name},
         {"args", std::move(arguments)}});
  }
  /// A counter's value from time `us` on; without a value nothing is said.
  void count(const std::string& name, int64_t us, const char* unit, double value) {
    if (!std::isfinite(value)) return;
    add({{"ph", "C"}, {"pid", kProcess}, {"tid", kStepTrack}, {"ts", us}, {"name", name}, {"args", {{unit, value}}}});
  }
  void name(const char* what, int track, const std::string& text) {
    add({{"ph", "M"}, {"pid", kProcess}, {"tid", track}, {"name", what}, {"args", {{"name", text}}}});
  }
  /// A named track, at its number's place.
  void track(int track, const std::string& text) {
    name("thread_name", track, text);
    add({{"ph", "M"},
         {"pid", kProcess},
         {"tid", track},
         {"name", "thread_sort_index"},
         {"args", {{"sort_index", track}}}});
  }

 private:
  const std::function<void(std::string_view)>& write_;
  bool first_ = true;
};

void put(Json& arguments, const std::string& name, double value) {
  if (std::isfinite(value)) arguments[name] = value;
}

/// A token as a slice's name: one that can't be seen is written as in JSON.
std::string visible(const std::string& text, int32_t step) {
  if (text.empty()) return fmt::format("step {}", step);
  const auto is_plain = [](char c) { return static_cast<unsigned char>(c) > ' ' && c != 0x7f; };
  const bool control =
      std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
  if (!control && std::any_of(text.begin(), text.end(), is_plain)) return text;
  return nlohmann::json(text).dump(-1, ' ', false, kReplace);
}

/// Mean of those of n values, the first at `values`, that are numbers.
double mean(const float* values /*[(n-1)*stride+1]*/, size_t n, size_t stride = 1) {
  double sum = 0;
  int count = 0;
  for (size_t i = 0; i < n; ++i) {
    if (const float x = values[i * stride]; std::isfinite(x)) sum += x, ++count;
  }
  return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
}

/// Why KV heads decided as they did, if all had one reason.
std::string reason_of(const uint8_t* reasons /*[n_kv]*/, size_t n_kv) {
  const bool same = std::all_of(reasons, reasons + n_kv, [&](uint8_t r) { return r == reasons[0]; });
  return !same                                  ? "KV heads differ"
         : reasons[0] < schema::kReasons.size() ? std::string(schema::kReasons[reasons[0]])
                                                : fmt::format("reason {}", reasons[0]);
}

/// What a layer did in the step of row i.
void add_layer(Events& events, const TraceInfo& info, const StepData& data, size_t i, int32_t layer, int64_t begin,
               int64_t end) {
  const auto n_kv = static_cast<size_t>(info.n_kv_head);
  const size_t n_k = info.overlap_k.size();
  const size_t at = i * static_cast<size_t>(info.n_layer) + static_cast<size_t>(layer), unit = at * n_kv;
  const auto n_full = std::count(data.full.begin() + static_cast<ptrdiff_t>(unit),
                                 data.full.begin() + static_cast<ptrdiff_t>(unit + n_kv), uint8_t{1});
  const char* const name = n_full == info.n_kv_head ? "full" : n_full == 0 ? "partial" : "full in some KV heads";
  Json arguments = {{"step", i + 1}, {"full KV heads", n_full}, {"reason", reason_of(&data.reason[unit], n_kv)}};
  double positions = 0;
  for (size_t g = 0; g < n_kv; ++g) positions += data.positions[unit + g];
  put(arguments, "positions", positions / static_cast<double>(n_kv));
  put(arguments, "recovered mass", mean(&data.recovered[unit], n_kv));
  put(arguments, "cosine to last full", mean(&data.cos_last_full[unit], n_kv));
  put(arguments, "cosine to step before", data.cos_prev_pre[at]);
  for (size_t k = 0; k < n_k; ++k) {
    put(arguments, fmt::format("overlap {}", info.overlap_k[k]), mean(&data.overlap[unit * n_k + k], n_kv, n_k));
  }
  events.slice(kFirstLayerTrack + layer, begin, end, n_full > 0 ? "full" : "partial", name, std::move(arguments));
}

void add_step(Events& events, const TraceTables& tables, const StepRow& row, const std::string& policy, int64_t begin,
              int64_t end) {
  Json arguments = {{"step", row.step},
                    {"position", row.position},
                    {"policy", policy},
                    {"full share", row.full},
                    {"bytes weights", row.bytes_weights},
                    {"bytes attend", row.bytes_attend},
                    {"bytes select", row.bytes_select}};
  put(arguments, "positions", row.positions);
  put(arguments, "recovered mass", row.recovered);
  put(arguments, "log-probability", row.logprob);
  events.slice(kStepTrack, begin, end, row.full > 0 ? "full" : "partial", visible(row.text, row.step),
               std::move(arguments));
  events.count("full KV heads", begin, "share", row.full);
  events.count("bytes attend", begin, "bytes", static_cast<double>(row.bytes_attend));
  events.count("bytes select", begin, "bytes", static_cast<double>(row.bytes_select));
  events.count("positions", begin, "positions", row.positions);
  events.count("recovered mass", begin, "mass", row.recovered);
  events.count("log-probability", begin, "nats", row.logprob);
  events.count("cosine to last full", begin, "cosine", row.cos_last_full);
  events.count("cosine to step before", begin, "cosine", row.cos_prev_pre);
  for (size_t k = 0; k < row.overlap.size(); ++k) {
    events.count(fmt::format("overlap {}", tables.overlap_k[k]), begin, "share", row.overlap[k]);
  }
}

}  // namespace

void write_perfetto(TraceReader& trace, const TraceTables& tables, const std::function<void(std::string_view)>& write,
                    const Cancel& cancel) {
  const TraceInfo& info = trace.info();
  const StepData data = trace.steps();
  const std::string policy = info.settings.summary();
  // Perfetto's importer looks no further at a key of this object that it doesn't know: these two, in this order.
  write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
  Events events(write);
  events.name("process_name", kStepTrack, fmt::format("reattend: {}", policy));
  events.track(kStepTrack, "steps");
  for (int32_t i = 0; i < info.n_stored(); ++i) {
    events.track(kFirstLayerTrack + info.stored_layer(i), fmt::format("layer {:02}", info.stored_layer(i)));
  }
  constexpr double kLongest = 1e10;  // us; 2^28 steps of what a file invents stay within int64
  double us = 0;
  int64_t begin = 0;
  for (const StepRow& row : tables.steps) {
    cancel.check();
    us += std::isfinite(row.ms) ? std::clamp(row.ms * 1e3, 0.0, kLongest) : 0;
    const int64_t end = std::max(std::llround(us), static_cast<long long>(begin + 1));
    add_step(events, tables, row, policy, begin, end);
    for (int32_t i = 0; i < info.n_stored(); ++i) {
      add_layer(events, info, data, static_cast<size_t>(row.step - 1), info.stored_layer(i), begin, end);
    }
    begin = end;
  }
  write("\n]}\n");
}

}  // namespace reattend
