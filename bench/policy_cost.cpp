// A StepClock that times choices for each policy, all in rounds.
#include "bench/policy_cost.h"

#include "base/rounds.h"
#include "base/statistics.h"
#include "engine/step_clock.h"

namespace reattend {
namespace {

/// Bytes read by all steps but the first ones of each run.
class StepBytes final : public Observer {
 public:
  explicit StepBytes(int32_t n_skip) : n_skip_(n_skip) {}
  void step_end(const StepView& step) override {
    n_head_ = 0;
    step.for_acting([this](const HeadLog&) { ++n_head_; });
    if (step.t > n_skip_) total_ += step.bytes, ++n_step_;
  }
  BytesRead mean() const {
    if (n_step_ == 0) return {};
    return {total_.weights / n_step_, total_.attend / n_step_, total_.select / n_step_};
  }
  /// KV heads of all layers on which a policy acts.
  int64_t n_head() const { return n_head_; }

 private:
  int32_t n_skip_;
  int64_t n_step_ = 0, n_head_ = 0;
  BytesRead total_;
};

struct Watch {
  StepClock clock;
  StepBytes bytes;
};

PolicyCost cost_of(const Settings& settings, const Watch& watch) {
  PolicyCost out{.settings = settings,
                 .ms_per_token = watch.clock.ms_per_token(),
                 .choosing_ms = watch.clock.choosing_ms(),
                 .bytes = watch.bytes.mean()};
  const auto& kinds = watch.clock.kinds();
  for (const auto& [kind, times] : kinds) {
    const bool all = kind.n_full == watch.bytes.n_head();
    if (!all && kind.n_full != kinds.begin()->first.n_full) continue;
    StepKind& as = all ? out.full : out.partial;
    const auto n_step = static_cast<int64_t>(times.ms.size());
    if (n_step > as.n_step) as = {n_step, median(times.ms), median(times.choosing_ms)};
  }
  return out;
}

}  // namespace

std::vector<PolicyCost> measure_costs(Backend& backend, const Model& model, const Prefilled& prefilled,
                                      const std::vector<Settings>& policies, const PolicyCostOptions& options) {
  const Watch fresh = {.clock = StepClock({.n_skip = options.n_skip, .choices = true}),
                       .bytes = StepBytes(options.n_skip)};
  std::vector<Watch> watches(policies.size(), fresh);
  const auto run = [&](size_t i) {
    Observer* observers[] = {&watches[i].clock, &watches[i].bytes};
    const auto sequence = backend.model->fork(*prefilled.sequence);
    const size_t n_prompt = prefilled.prompt.size();
    generate(backend, model, *sequence, prefilled,
             {.settings = policies[i],
              .n_step = options.n_step,
              .next_token = [&](int32_t t, StepLogits&) { return prefilled.prompt[t % n_prompt]; },
              .observers = observers,
              .cancel = options.cancel});
    options.cancel.check();
  };
  Rounds rounds;
  for (size_t i = 0; i < policies.size(); ++i) rounds.add(policies[i].summary(), [&run, i] { run(i); });
  rounds.run(options.repeats, report_rounds(options.progress, "policies"), options.cancel);
  std::vector<PolicyCost> out;
  for (size_t i = 0; i < policies.size(); ++i) out.push_back(cost_of(policies[i], watches[i]));
  return out;
}

}  // namespace reattend
