// Runs over forks of one prefill with the tokens given; divergence is computed between steps, outside their time.
#include "evals/teacher_forced.h"

#include <algorithm>

#include "base/statistics.h"
#include "engine/record/measure.h"

namespace reattend {
namespace {

/// Keeps every step's logits.
class LogitsKeeper final : public Observer {
 public:
  explicit LogitsKeeper(std::vector<float>& logits) : logits_(logits) {}
  void begin(ModelOps&, Sequence&, const StepView& step) override { step_end(step); }
  void step_end(const StepView& step) override {
    logits_.insert(logits_.end(), step.logits.begin(), step.logits.end());
  }

 private:
  std::vector<float>& logits_;
};

/// Compares every step's logits with the reference's.
class Comparer final : public Observer {
 public:
  Comparer(const ReferenceRun& full, TeacherForced& result) : full_(full), result_(result) {}
  void step_end(const StepView& step) override {
    const size_t n_vocab = step.logits.size();
    const std::span<const float> theirs =
        std::span(full_.logits).subspan(static_cast<size_t>(step.t) * n_vocab, n_vocab);
    const auto share = 1.0 / static_cast<double>(full_.tokens.size());
    result_.kl_mean += kl_divergence(log_softmax(theirs), log_softmax(step.logits)) * share;
    result_.agreement += arg_max(theirs) == arg_max(step.logits) ? share : 0;
  }

 private:
  const ReferenceRun& full_;
  TeacherForced& result_;
};

void run(Backend& backend, const Model& model, const Prefilled& prefilled, std::span<const int32_t> tokens,
         const Settings& settings, std::span<Observer* const> observers, const ProgressFn& progress,
         const Cancel& cancel) {
  const auto sequence = backend.model->fork(*prefilled.sequence);
  generate(backend, model, *sequence, prefilled,
           {.settings = settings,
            .n_step = static_cast<int32_t>(tokens.size()),
            .next_token = [&](int32_t t, std::span<const float>) { return tokens[t - 1]; },
            .observers = observers,
            .progress = progress,
            .cancel = cancel});
  cancel.check();
}

}  // namespace

void StepClock::step_end(const StepView& step) {
  const bool refreshes =
      std::any_of(step.heads.begin(), step.heads.end(), [](const HeadLog& head) { return head.full; });
  (refreshes ? refreshing_ : partial_).push_back(step.seconds * 1e3);
}

double StepClock::ms_per_token() const {
  const auto n = static_cast<double>(refreshing_.size() + partial_.size());
  double total = 0;
  for (const auto* each : {&refreshing_, &partial_}) {
    if (!each->empty()) total += median(*each) * static_cast<double>(each->size());
  }
  return n > 0 ? total / n : 0;
}

ReferenceRun run_reference(Backend& backend, const Model& model, const Prefilled& prefilled,
                           std::span<const int32_t> tokens, const ProgressFn& progress, const Cancel& cancel) {
  ReferenceRun out{.tokens = {tokens.begin(), tokens.end()}};
  LogitsKeeper keeper(out.logits);
  StepClock clock;
  Observer* observers[] = {&keeper, &clock};
  run(backend, model, prefilled, tokens, Settings("full"), observers, progress, cancel);
  out.ms_per_token = clock.ms_per_token();
  return out;
}

TeacherForced run_teacher_forced(Backend& backend, const Model& model, const Prefilled& prefilled,
                                 const ReferenceRun& full, const Settings& settings, const ProgressFn& progress,
                                 const Cancel& cancel) {
  TeacherForced out;
  Comparer comparer(full, out);
  StepClock clock;
  Observer* observers[] = {&comparer, &clock};
  run(backend, model, prefilled, full.tokens, settings, observers, progress, cancel);
  out.ms_per_token = clock.ms_per_token();
  return out;
}

}  // namespace reattend
