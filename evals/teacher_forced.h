// A policy beside full attention on the same tokens: divergence, agreement, likelihood, mass and time, from one
// prefill.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/generate.h"
#include "engine/step_clock.h"
#include "tune/score.h"

namespace reattend {

/// Full attention along a continuation: what policies are compared with.
struct ReferenceRun {
  int32_t n_step = 0;           ///< T
  std::vector<int32_t> tokens;  ///< [T + 1] fed at steps 1..T, then what the last step ought to predict; [T]: not known
  std::vector<float> logits;    ///< [T + 1][n_vocab], row t after step t
};

/// What one step of a policy is beside the reference's. Differences come from attention alone: both saw the same
/// tokens.
struct StepScore {
  static constexpr double kNone = Score::kNone;
  double kl = 0;                             ///< KL(full ‖ policy), nats
  double nll = kNone;                        ///< of the next token; nan where it is not known
  bool agrees = false;                       ///< the same top-1
  double positions = 0;                      ///< attended to, mean over KV heads of layers without a window
  double full = 0;                           ///< share of them that took a full step
  double recovered = kNone, oracle = kNone;  ///< mass, means over them; nan where it was not measured
};

struct TeacherForced {
  std::vector<StepScore> steps;  ///< [T]
  BytesRead bytes;               ///< of all steps
};

/// Without times. nan for no steps.
Score summarize(std::span<const StepScore> steps);

/// As GenerateOptions': the token that step t feeds, given the logits before it. Also asked for T + 1, which the last
/// step ought to predict; negative where that is not known.
/// The tokens given, one after another. They must outlive it.
NextTokenFn follow(std::span<const int32_t> tokens);

/// All continue a fork of `prefilled`. Throw Cancelled when `cancel` is raised.
ReferenceRun run_reference(Backend& backend, const Model& model, const Prefilled& prefilled, int32_t n_step,
                           const NextTokenFn& next_token, const ProgressFn& progress, const Cancel& cancel);
/// `mass`: what the heads' full rows say of the positions is measured too; takes several times as long. `more` watch as
/// well.
TeacherForced run_teacher_forced(Backend& backend, const Model& model, const Prefilled& prefilled,
                                 const ReferenceRun& full, const Settings& settings, bool mass,
                                 const ProgressFn& progress, const Cancel& cancel,
                                 std::span<Observer* const> more = {});
/// Nothing but time.
void run_timed(Backend& backend, const Model& model, const Prefilled& prefilled, const ReferenceRun& full,
               const Settings& settings, StepClock& clock, const ProgressFn& progress, const Cancel& cancel);

}  // namespace reattend
