// Writes Chrome's trace events: complete slices, counters, names of tracks; an array in an object.
#include "traces/export/perfetto.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "traces/step_means.h"

namespace reattend {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kProcess = 1;
/// The process's own number makes it the main thread, which viewers put first; 0 is the kernel's idle thread to them.
constexpr int kStepTrack = kProcess;
constexpr int kFirstLayerTrack = kStepTrack + 1;

/// Events as text, one a line.
class Events {
 public:
  explicit Events(const std::function<void(std::string_view)>& write) : write_(write) {}
  void add(const Json& event) {
    write_((first_ ? "\n" : ",\n") + json_text(event));
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
  void count(const std::string& name, int64_t us, const std::string& unit, double value) {
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
std::string slice_name(const std::string& text, int32_t step) {
  if (text.empty()) return fmt::format("step {}", step);
  const auto is_plain = [](char c) { return static_cast<unsigned char>(c) > ' ' && c != 0x7f; };
  const bool control =
      std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
  if (!control && std::any_of(text.begin(), text.end(), is_plain)) return text;
  return json_text(nlohmann::json(text));
}

/// Why KV heads decided as they did, if all had one reason.
std::string reason_of(const uint8_t* reasons /*[n_kv]*/, size_t n_kv) {
  const bool same = std::all_of(reasons, reasons + n_kv, [&](uint8_t r) { return r == reasons[0]; });
  return !same                                  ? "KV heads differ"
         : reasons[0] < schema::kReasons.size() ? std::string(schema::kReasons[reasons[0]])
                                                : fmt::format("reason {}", reasons[0]);
}

/// What a layer did in step t.
void add_layer(Events& events, const TraceInfo& info, const StepData& data, const std::vector<Measure>& measures,
               int32_t t, int32_t layer, int64_t begin, int64_t end) {
  const auto n_kv = static_cast<size_t>(info.n_kv_head);
  const size_t unit =
      (static_cast<size_t>(t - 1) * static_cast<size_t>(info.n_layer) + static_cast<size_t>(layer)) * n_kv;
  const auto n_full = std::count(data.full.begin() + static_cast<ptrdiff_t>(unit),
                                 data.full.begin() + static_cast<ptrdiff_t>(unit + n_kv), uint8_t{1});
  const char* const name = n_full == info.n_kv_head ? "full" : n_full == 0 ? "partial" : "full in some KV heads";
  Json arguments = {{"step", t}, {"full KV heads", n_full}, {"reason", reason_of(&data.reason[unit], n_kv)}};
  for (const Measure& each : measures) {
    if (!each.by_layer()) continue;
    put(arguments, each.title, mean_of(each, info, data, {.first_step = t, .last_step = t, .layer = layer}));
  }
  events.slice(kFirstLayerTrack + layer, begin, end, n_full > 0 ? "full" : "partial", name, std::move(arguments));
}

/// Step t, whose token is `text`; every measure is an argument of its slice and a counter's value from its begin on.
void add_step(Events& events, const TraceInfo& info, const StepData& data, const std::vector<Measure>& measures,
              int32_t t, const std::string& text, int64_t begin, int64_t end) {
  Json arguments = {{"step", t}, {"position", info.n_prompt - 1 + t}, {"policy", info.settings.summary()}};
  double full = 0;
  for (const Measure& each : measures) {
    const double mean = mean_of(each, info, data, {.first_step = t, .last_step = t});
    if (each.row == &schema::dataset("steps/decision")) full = mean;
    put(arguments, each.title, mean);
    const std::string_view unit = each.row->unit;
    events.count(each.title, begin, unit == "1" || unit == "boolean" ? "share" : std::string(unit), mean);
  }
  events.slice(kStepTrack, begin, end, full > 0 ? "full" : "partial", slice_name(text, t), std::move(arguments));
}

}  // namespace

void write_perfetto(TraceReader& trace, const std::function<void(std::string_view)>& write, const Cancel& cancel) {
  const TraceInfo& info = trace.info();
  const StepData data = trace.steps();
  const std::vector<Measure> measures = measures_of(info);
  // Perfetto's importer looks no further at a key of this object that it doesn't know: these two, in this order.
  write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
  Events events(write);
  events.name("process_name", kStepTrack, fmt::format("reattend: {}", info.settings.summary()));
  events.track(kStepTrack, "steps");
  for (int32_t i = 0; i < info.n_stored(); ++i) {
    events.track(kFirstLayerTrack + info.stored_layer(i), fmt::format("layer {:02}", info.stored_layer(i)));
  }
  constexpr double kLongest = 1e10;  // us; 2^28 steps of what a file invents stay within int64
  double us = 0;
  int64_t begin = 0;
  for (int32_t t = 1; t <= info.n_step; ++t) {
    cancel.check();
    const auto row = static_cast<size_t>(t - 1);
    us += std::isfinite(data.ms[row]) ? std::clamp(data.ms[row] * 1e3, 0.0, kLongest) : 0;
    const int64_t end = std::max(std::llround(us), static_cast<long long>(begin + 1));
    add_step(events, info, data, measures, t, trace.token_text(data.token[row]), begin, end);
    for (int32_t i = 0; i < info.n_stored(); ++i) {
      add_layer(events, info, data, measures, t, info.stored_layer(i), begin, end);
    }
    begin = end;
  }
  write("\n]}\n");
}

}  // namespace reattend
