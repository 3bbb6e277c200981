// Replays settings layer by layer, and makes a candidate of what all layers say.
#include "tune/sweep.h"

#include <algorithm>

namespace reattend {
Sweep::Sweep(std::span<Replayer* const> replayers,       // [n_trace]
             Prediction prediction,                      //
             std::span<const Calibration> calibrations,  // [n_trace], or none
             std::optional<bool> in_ms, const ProgressFn& progress, const Cancel& cancel)
    : replayers_(replayers.begin(), replayers.end()),
      progress_(progress),
      cancel_(cancel),
      prediction_(std::move(prediction)) {
  for (Replayer* const each : replayers_) {
    traces_.push_back({.info = each->info()});
    each->set_aside(0);
    const int64_t share = each->memory() / 4;
    each->set_aside(share);
    result_memory_ += share;
    if (!calibrations.empty()) traces_.back().info.calibration = calibrations[traces_.size() - 1];
  }
  calibrated_ = in_ms.value_or(std::all_of(
      traces_.begin(), traces_.end(), [](const TunedTrace& each) { return is_calibrated(each.info.calibration); }));
  for (TunedTrace& each : traces_) {
    each = tuned_trace(each.info, prediction_, unit());
    full_cost_ += each.full_cost / static_cast<double>(traces_.size());
  }
}

std::vector<int32_t> Sweep::all_layers() const {
  return traces_.front().info.acting_layers();
}

std::vector<int32_t> Sweep::screen_layers(int n_wanted) const {
  const std::vector<int32_t> all = all_layers();
  const auto n_layer = static_cast<int64_t>(all.size());
  std::vector<int32_t> layers;
  const int64_t n = std::clamp<int64_t>(n_wanted, 1, n_layer);
  for (int64_t i = 0; i < n; ++i) layers.push_back(all[static_cast<size_t>((2 * i + 1) * n_layer / (2 * n))]);
  return layers;
}

std::vector<Candidate> Sweep::evaluate(std::span<const Settings> settings,  // [n_setting]
                                       const std::vector<int32_t>& layers, const std::string& what, Replayed* keep) {
  std::vector<Candidate> candidates(settings.size());
  const size_t total = settings.size() * layers.size() * traces_.size();
  size_t done = 0;
  const auto report = [&] {
    if (progress_) progress_(what, static_cast<double>(done), static_cast<double>(total), "replays");
  };
  const bool keeps = keep != nullptr && result_bytes(settings.size(), layers.size() * traces_.size()) <= result_memory_;
  const int64_t each = std::max<int64_t>(1, result_bytes(1, layers.size()));
  const auto n_batch = keeps ? settings.size() : static_cast<size_t>(std::max<int64_t>(1, result_memory_ / each));
  for (size_t trace = 0; trace < traces_.size(); ++trace) {
    for (size_t first = 0; first < settings.size(); first += n_batch) {
      const Batch batch = settings.subspan(first, std::min(n_batch, settings.size() - first));
      std::vector<std::vector<LayerReplay>> replayed = replay(trace, batch, layers, [&] { report(), ++done; });
      for (size_t i = 0; i < batch.size(); ++i) candidates[first + i].traces.push_back(metrics_of(trace, replayed[i]));
      if (keeps) keep->push_back(std::move(replayed));
    }
  }
  report();
  for (size_t i = 0; i < settings.size(); ++i) {
    static_cast<Metrics&>(candidates[i]) = over_traces(candidates[i].traces, full_cost_);
    candidates[i].settings = settings[i];
    candidates[i].whole = static_cast<int32_t>(layers.size()) == traces_.front().info.n_acting();
  }
  return candidates;
}

/// [n_setting][n_layer]; `step` is called before each replay.
std::vector<std::vector<LayerReplay>> Sweep::replay(size_t trace, Batch settings, const std::vector<int32_t>& layers,
                                                    const std::function<void()>& step) {
  std::vector<std::vector<LayerReplay>> replayed(settings.size());
  for (const int32_t layer : layers) {
    for (size_t i = 0; i < settings.size(); ++i) {
      step();
      ReplayResult one = replayers_[trace]->run(request_to_judge(prediction_, settings[i], {layer}), {}, cancel_);
      replayed[i].push_back(std::move(one.layers.front()));
    }
  }
  return replayed;
}

int64_t Sweep::result_bytes(size_t n_setting, size_t n_layer) const {
  int64_t longest = 0;
  for (const TunedTrace& each : traces_)
    longest = std::max(longest, replay_bytes(each.info, {.settings = each.info.settings, .estimates = true}));
  return longest * static_cast<int64_t>(n_setting * n_layer);
}

Candidate Sweep::mix(const Settings& settings, const Replayed& menu, const LayerPicks& picks) {
  if (menu.empty()) return evaluate({&settings, 1}, all_layers(), "replay a schedule by layer").front();
  Candidate candidate;
  for (size_t trace = 0; trace < traces_.size(); ++trace) {
    std::vector<LayerReplay> layers;
    for (size_t l = 0; l < picks.size(); ++l) layers.push_back(menu[trace][static_cast<size_t>(picks[l])][l]);
    candidate.traces.push_back(metrics_of(trace, layers));
  }
  static_cast<Metrics&>(candidate) = over_traces(candidate.traces, full_cost_);
  candidate.settings = settings, candidate.whole = true;
  return candidate;
}

Metrics Sweep::metrics_of(size_t trace, std::span<const LayerReplay> layers) const {  // [those evaluated]
  return judge(traces_[trace], prediction_, unit(), layers);
}

}  // namespace reattend
