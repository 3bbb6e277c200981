// A policy beside full attention on the same tokens: divergence, agreement, likelihood, mass and time, from one
// prefill.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <vector>

#include "engine/generate.h"

namespace reattend {

/// Full attention along a continuation: what policies are compared with.
struct ReferenceRun {
  int32_t n_step = 0;           ///< T
  std::vector<int32_t> tokens;  ///< [T + 1] fed at steps 1..T, then what the last step ought to predict; [T]: not known
  std::vector<float> logits;    ///< [T + 1][n_vocab], row t after step t
  double ms_per_token = 0;
};

/// What one step of a policy is beside the reference's. Differences come from attention alone: both saw the same
/// tokens.
struct StepScore {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  double kl = 0;                             ///< KL(full ‖ policy), nats
  double nll = kNone;                        ///< of the next token; nan where it is not known
  bool agrees = false;                       ///< the same top-1
  double positions = 0;                      ///< attended to, mean over layers and KV heads
  double full = 0;                           ///< share of layers and KV heads that took a full step
  double recovered = kNone, oracle = kNone;  ///< mass, means over layers and KV heads; nan where it was not measured
};

struct TeacherForced {
  std::vector<StepScore> steps;  ///< [T]
  BytesRead bytes;               ///< of all steps
  double ms_per_token = 0;
};

/// Means over steps, and how KL spreads over them; nan for no steps.
struct ScoreSummary {
  double kl = 0, kl_p95 = 0, kl_max = 0, agreement = 0, nll = 0, positions = 0, full = 0, recovered = 0, oracle = 0;
};
ScoreSummary summarize(std::span<const StepScore> steps);

/// Time of a step, robust on a shared machine: steps are told apart by how many heads refresh at them and at the one
/// before (what follows a refresh packs), and each kind counts with its median, so neither a hiccup nor the rhythm of
/// refreshes distorts it. May watch several runs.
class StepClock final : public Observer {
 public:
  void begin(ModelOps& ops, Sequence& sequence, const StepView& step) override;
  void step_end(const StepView& step) override;
  double ms_per_token() const;  ///< 0 before the first step

 private:
  std::map<std::pair<int64_t, int64_t>, std::vector<double>> ms_;  ///< of each step, by full heads now and before
  int64_t before_ = 0;
};

/// As GenerateOptions': the token that step t feeds, given the logits before it. Also asked for T + 1, which the last
/// step ought to predict; negative where that is not known.
using NextTokenFn = std::function<int32_t(int32_t t, std::span<const float> logits)>;
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
