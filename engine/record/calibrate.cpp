// The engine itself is timed, not its kernels: barriers, copies and logits are in the numbers, as they are in a run.
#include "engine/record/calibrate.h"

#include <algorithm>
#include <array>

#include "base/statistics.h"
#include "kernels/cpu/stream.h"

namespace reattend {
namespace {

/// Milliseconds of each step of a run.
class StepTimes final : public Observer {
 public:
  void step_end(const StepView& step) override { ms.push_back(step.seconds * 1e3); }
  std::vector<double> ms;
};

/// bytes over the time that `with` takes more than `without`; 0 (not measured) where noise ate the difference.
double rate(double bytes, double with, double without) {
  return with > without ? bytes / (with - without) * 1e-6 : 0;
}

enum Part { kWeights, kFull, kKept, kSelect, kParts };

/// Times of one part: the first step packs what was chosen, the others are the rhythm of the run.
struct Times {
  std::vector<double> first, rest;
};

}  // namespace

Calibration calibrate(Backend& backend, const Model& model, const Prefilled& prefilled, ThreadPool& pool,
                      int32_t n_step, const ProgressFn& progress, const Cancel& cancel) {
  const ModelShape& shape = model.shape();
  const auto n_prompt = static_cast<int64_t>(prefilled.prompt.size());
  const int64_t budget = std::max<int64_t>(1, n_prompt / 8);
  std::array<Settings, kParts> settings = {Settings("streaming"), Settings("full"), Settings("recycled"),
                                           Settings("recycled")};
  settings[kWeights].set("K", int64_t{1});
  settings[kWeights].set("sinks", int64_t{1});
  settings[kKept].set("K", budget);
  settings[kKept].set("S", Value{});
  settings[kSelect].set("K", budget);
  settings[kSelect].set("S", int64_t{1});

  constexpr int kRounds = 8;
  const int32_t n_each = std::min<int32_t>(n_step, 6);
  std::array<Times, kParts> times;
  for (int round = 0; round < kRounds; ++round) {
    if (progress) progress("calibrate", round, kRounds, "rounds");
    for (int part = 0; part < kParts; ++part) {
      StepTimes observed;
      Observer* observers[] = {&observed};
      const auto sequence = backend.model->fork(*prefilled.sequence);
      generate(backend, model, *sequence, prefilled,
               {.settings = settings[part],
                .n_step = n_each,
                .next_token = [&](int32_t, std::span<const float>) { return prefilled.prompt.back(); },
                .observers = observers,
                .cancel = cancel});
      cancel.check();
      times[part].first.push_back(observed.ms.front());
      times[part].rest.insert(times[part].rest.end(), observed.ms.begin() + 1, observed.ms.end());
    }
  }
  if (progress) progress("calibrate", kRounds, kRounds, "rounds");

  Calibration out{.weights_ms = median(times[kWeights].rest), .stream_gbps = cpu::stream_gbps(pool, 0.3).best};
  const double row = static_cast<double>(row_bytes(backend.kv, shape.d_head)) * shape.n_layer * shape.n_kv_head;
  const double middle = n_each / 2.0 + 1;  // position of the steps timed, counted from the prompt's end
  const double full = median(times[kFull].rest), kept = median(times[kKept].rest), select = median(times[kSelect].rest);
  out.attend_stream_gbps = rate(2 * row * (static_cast<double>(n_prompt) + middle), full, out.weights_ms);
  out.attend_gather_gbps = rate(2 * row * static_cast<double>(std::min(budget, n_prompt)), kept, out.weights_ms);
  // A refresh is paid for twice: scoring and choosing in the full step, packing in the first partial one.
  const double packing = std::max(0.0, median(times[kKept].first) - kept);
  out.score_gbps = rate(row * (static_cast<double>(n_prompt) + middle), select + packing, full);
  return out;
}

}  // namespace reattend
