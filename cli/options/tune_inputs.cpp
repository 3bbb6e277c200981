// Opens a tuner's traces and verified settings, and says which machine its times are predicted for.
#include "cli/options/tune_inputs.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/error.h"
#include "replay/cost/cost.h"
#include "traces/read/fingerprint.h"

namespace reattend::cli {
namespace {

/// Whether one text begins as the other and is all of it. What the last step predicted may not have been fed.
bool is_part(TraceReader& a, TraceReader& b) {
  const std::vector<int32_t> x = a.tokens(), y = b.tokens();
  const size_t n = std::min(x.size(), y.size()) - 1;
  return std::equal(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(n), y.begin());
}

void refuse_parts(std::span<const std::shared_ptr<TraceReader>> tuned_on,    // [n_tuned]
                  std::span<const std::shared_ptr<TraceReader>> held_out) {  // [n_held_out]
  for (const std::shared_ptr<TraceReader>& held : held_out) {
    for (const std::shared_ptr<TraceReader>& tuned : tuned_on) {
      if (!is_part(*held, *tuned)) continue;
      fail_usage({.where = "--held-out " + held->info().path.string(),
                  .expected = "a trace of a text that is not tuned on",
                  .got = fmt::format("one that begins as {} and adds nothing, or the other way round",
                                     tuned->info().path.string()),
                  .remedy = "hold out another text"});
    }
  }
}

/// What all of them say alike; flags hold where they hold for all.
nlohmann::json common(std::span<const TimeSource> sources) {  // [n_trace]
  nlohmann::json out = sources.front().json;
  for (const TimeSource& each : sources) {
    for (auto item = out.begin(); item != out.end();) {
      const nlohmann::json other = each.json.value(item.key(), nlohmann::json());
      if (item->is_boolean() && other.is_boolean()) *item = *item && other;
      const bool alike = item->is_boolean() || *item == other;
      item = alike ? std::next(item) : out.erase(item);
    }
  }
  return out;
}

}  // namespace

Traces open_traces(const std::vector<std::string>& tuned_on, const std::vector<std::string>& held_out) {
  Traces traces;
  std::vector<const TraceInfo*> infos;
  std::map<std::string, std::string> paths;  // by fingerprint
  std::vector<std::string> all = tuned_on;
  all.insert(all.end(), held_out.begin(), held_out.end());
  for (size_t i = 0; i < all.size(); ++i) {
    const bool held = i >= tuned_on.size();
    traces.push_back(TraceReader::open(all[i]));
    infos.push_back(&traces.back()->info());
    const auto [at, added] = paths.try_emplace(fingerprint(*traces.back()), all[i]);
    if (added) continue;
    fail_usage({.where = (held ? "--held-out " : "") + all[i],
                .expected = held ? "a trace of a text that is not tuned on" : "traces of different texts",
                .got = fmt::format("the same tokens as in {}", at->second),
                .remedy = held ? "hold out another one" : "give each trace once"});
  }
  check_same_model(infos);
  refuse_parts(std::span(traces).first(tuned_on.size()), std::span(traces).subspan(tuned_on.size()));
  return traces;
}

std::vector<VerifiedSetting> read_verified(const std::vector<std::string>& files,
                                           std::span<const std::shared_ptr<TraceReader>> tuned_on,  // [n_tuned]
                                           bool times) {
  std::vector<VerifiedSetting> all;
  std::vector<std::string> fingerprints;
  for (const std::shared_ptr<TraceReader>& trace : tuned_on) {
    if (times) fingerprints.push_back(fingerprint(*trace));
  }
  for (const std::string& file : files) {
    VerifiedSetting& one = all.emplace_back(reattend::read_verified(file));
    const TraceInfo& info = tuned_on.front()->info();
    const std::string model = info.attribute("model_sha256");
    if (!is_of_model(one, model)) {
      fail_usage({.where = "--verified " + file,
                  .expected = fmt::format("a setting that was verified on the model of {} (SHA-256 {}...)",
                                          info.path.string(), model.substr(0, 12)),
                  .got = fmt::format("one of another model (SHA-256 {}...)", one.model_sha256.substr(0, 12)),
                  .remedy = "run `reattend verify` on one of these traces"});
    }
    if (times) {
      keep_times_of(one, fingerprints);
    } else {
      one.predicted_ms = one.predicted_full_ms = 0;
    }
  }
  return all;
}

TuneTimes tune_times(const CalibrationOption& option, const Traces& traces, size_t n_tuned, const std::string& device,
                     int n_thread) {
  TuneTimes out;
  std::vector<TimeSource> sources;
  for (const std::shared_ptr<TraceReader>& trace : traces) sources.push_back(option.source(*trace));
  const std::span<const TimeSource> tuned_on = std::span(sources).first(n_tuned);
  const auto lacks = [](const TimeSource& each) { return !is_calibrated(each.calibration); };
  const bool calibrated = std::none_of(tuned_on.begin(), tuned_on.end(), lacks);
  out.json = common(tuned_on);
  out.text = sources.front().text;
  if (option.given()) {
    for (const TimeSource& each : sources) out.calibrations.push_back(each.calibration);
    const auto too_long = std::find_if(sources.begin(), sources.end(),
                                       [](const TimeSource& each) { return !each.json.value("fits", true); });
    if (too_long != sources.end()) {
      out.text = too_long->text;
      if (traces.size() > 1) {
        const TraceInfo& info = traces[static_cast<size_t>(too_long - sources.begin())]->info();
        out.text += fmt::format(" (on {})", info.path.string());
      }
    }
  } else if (!calibrated) {
    out.text = "none, for a trace has no calibration: costs are MB that attention and selection read";
  } else if (n_tuned > 1) {
    out.text = "from the calibration in each trace, of the machine that recorded it";
  }
  out.datasheet = !option.gpu.empty();
  const std::string named = out.json.value("device", device);
  const int threads = out.json.value("threads", 0);
  out.other_machine = out.datasheet || (!named.empty() && named != device) || (threads > 0 && threads != n_thread);
  out.json["text"] = out.text;
  if (traces.size() > 1) {
    for (size_t i = 0; i < traces.size(); ++i) {
      out.json["traces"].push_back(sources[i].json);
      out.json["traces"].back()["trace"] = traces[i]->info().path.string();
    }
  }
  return out;
}

}  // namespace reattend::cli
