// A policy beside full attention on the same tokens: divergence, agreement and time, from one prefill.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/generate.h"

namespace reattend {

/// Full attention on given tokens: what policies are compared with.
struct ReferenceRun {
  std::vector<int32_t> tokens;  ///< [T] fed at steps 1..T
  std::vector<float> logits;    ///< [T + 1][n_vocab], row t after step t
  double ms_per_token = 0;
};

/// One policy against it; means over steps 1..T. Differences come from attention alone: both saw the same tokens.
struct TeacherForced {
  double kl_mean = 0;    ///< KL(full ‖ policy), nats
  double agreement = 0;  ///< share of steps with the same top-1
  double ms_per_token = 0;
};

/// Time of a step, robust on a shared machine: steps that refresh and steps that don't are told apart and each counts
/// with its median, so neither a hiccup nor the rhythm of refreshes distorts it. Milliseconds.
class StepClock final : public Observer {
 public:
  void step_end(const StepView& step) override;
  double ms_per_token() const;

 private:
  std::vector<double> refreshing_, partial_;  ///< ms of each step
};

/// Both continue a fork of `prefilled`. Throw Cancelled when `cancel` is raised.
ReferenceRun run_reference(Backend& backend, const Model& model, const Prefilled& prefilled,
                           std::span<const int32_t> tokens, const ProgressFn& progress, const Cancel& cancel);
TeacherForced run_teacher_forced(Backend& backend, const Model& model, const Prefilled& prefilled,
                                 const ReferenceRun& full, const Settings& settings, const ProgressFn& progress,
                                 const Cancel& cancel);

}  // namespace reattend
