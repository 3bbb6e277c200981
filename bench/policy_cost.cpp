// Two readings of the clock around each of the policies' operations; the rest is medians.
#include "bench/policy_cost.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/statistics.h"

namespace reattend {
namespace {

class Clocks final : public Observer {
 public:
  explicit Clocks(int32_t n_skip) : n_skip_(n_skip) {}
  bool times_choices() const override { return true; }
  void begin(ModelOps&, Sequence&, const StepView& step) override {
    n_head_ = static_cast<int64_t>(step.heads.size());
    before_ = n_head_;  // the prompt's last token saw everything
  }
  void step_end(const StepView& step) override {
    const int64_t n_full = std::count_if(step.heads.begin(), step.heads.end(), [](const HeadLog& h) { return h.full; });
    const Key key = {n_full, std::exchange(before_, n_full)};
    if (step.t <= n_skip_) return;
    Kind& kind = kinds_[key];
    kind.ms.push_back(step.seconds * 1e3);
    kind.choosing_ms.push_back(step.choosing_seconds * 1e3);
    bytes_.weights += step.bytes.weights, bytes_.attend += step.bytes.attend, bytes_.select += step.bytes.select;
    ++n_step_;
  }

  PolicyCost cost(const Settings& settings) const {
    PolicyCost out{.settings = settings};
    if (n_step_ == 0) return out;
    const int64_t fewest = kinds_.begin()->first.n_full;
    for (const auto& [key, kind] : kinds_) {
      const StepKind step = {static_cast<int64_t>(kind.ms.size()), median(kind.ms), median(kind.choosing_ms)};
      const double share = static_cast<double>(step.n_step) / static_cast<double>(n_step_);
      out.ms_per_token += share * step.ms, out.choosing_ms += share * step.choosing_ms;
      if (key.n_full != n_head_ && key.n_full != fewest) continue;
      StepKind& as = key.n_full == n_head_ ? out.full : out.partial;
      if (step.n_step > as.n_step) as = step;
    }
    out.bytes = {bytes_.weights / n_step_, bytes_.attend / n_step_, bytes_.select / n_step_};
    return out;
  }

 private:
  /// KV heads of all layers that refreshed at the step, and at the one before: what follows a refresh packs.
  struct Key {
    int64_t n_full, before;
    auto operator<=>(const Key&) const = default;
  };
  struct Kind {
    std::vector<double> ms, choosing_ms;
  };
  std::map<Key, Kind> kinds_;
  int32_t n_skip_;
  int64_t n_step_ = 0, n_head_ = 0, before_ = 0;
  BytesRead bytes_;
};

}  // namespace

std::vector<PolicyCost> measure_costs(Backend& backend, const Model& model, const Prefilled& prefilled,
                                      const std::vector<Settings>& policies, const PolicyCostOptions& options) {
  std::vector<Clocks> clocks(policies.size(), Clocks(options.n_skip));
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
