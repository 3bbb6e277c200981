// Two readings of the clock around each of the policies' operations; the rest is medians.
#include "evals/policy_cost.h"

#include <algorithm>
#include <map>

#include "base/statistics.h"

namespace reattend {
namespace {

class Clocks final : public Observer {
 public:
  bool times_choices() const override { return true; }
  void step_end(const StepView& step) override {
    n_head_ = static_cast<int64_t>(step.heads.size());
    Kind& kind = kinds_[std::count_if(step.heads.begin(), step.heads.end(), [](const HeadLog& h) { return h.full; })];
    kind.ms.push_back(step.seconds * 1e3);
    kind.choosing_ms.push_back(step.choosing_seconds * 1e3);
    bytes_.weights += step.bytes.weights, bytes_.attend += step.bytes.attend, bytes_.select += step.bytes.select;
    ++n_step_;
  }

  PolicyCost cost(const Settings& settings) const {
    PolicyCost out{.settings = settings};
    if (n_step_ == 0) return out;
    for (const auto& [n_full, kind] : kinds_) {
      const StepKind step = {static_cast<int64_t>(kind.ms.size()), median(kind.ms), median(kind.choosing_ms)};
      const double share = static_cast<double>(step.n_step) / static_cast<double>(n_step_);
      out.ms_per_token += share * step.ms, out.choosing_ms += share * step.choosing_ms;
      if (n_full == n_head_) {
        out.full = step;
      } else if (out.partial.n_step == 0) {
        out.partial = step;
      }
    }
    out.bytes = {bytes_.weights / n_step_, bytes_.attend / n_step_, bytes_.select / n_step_};
    return out;
  }

 private:
  struct Kind {
    std::vector<double> ms, choosing_ms;
  };
  std::map<int64_t, Kind> kinds_;  ///< by KV heads of all layers that refreshed
  int64_t n_step_ = 0, n_head_ = 0;
  BytesRead bytes_;
};

}  // namespace

std::vector<PolicyCost> measure_costs(Backend& backend, const Model& model, const Prefilled& prefilled,
                                      const std::vector<Settings>& policies, const PolicyCostOptions& options) {
  std::vector<Clocks> clocks(policies.size());
  const double n_run = static_cast<double>(policies.size()) * options.repeats;
  double done = 0;
  for (int32_t repeat = 0; repeat < options.repeats; ++repeat) {
    for (size_t i = 0; i < policies.size(); ++i) {
      if (options.progress) options.progress("policies", done++, n_run, "runs");
      Observer* observers[] = {&clocks[i]};
      const auto sequence = backend.model->fork(*prefilled.sequence);
      const auto n_prompt = static_cast<int32_t>(prefilled.prompt.size());
      generate(backend, model, *sequence, prefilled,
               {.settings = policies[i],
                .n_step = options.n_step,
                .next_token = [&](int32_t t, std::span<const float>) { return prefilled.prompt[t % n_prompt]; },
                .observers = observers,
                .cancel = options.cancel});
      options.cancel.check();
    }
  }
  if (options.progress) options.progress("policies", n_run, n_run, "runs");
  std::vector<PolicyCost> out;
  for (size_t i = 0; i < policies.size(); ++i) out.push_back(clocks[i].cost(policies[i]));
  return out;
}

}  // namespace reattend
