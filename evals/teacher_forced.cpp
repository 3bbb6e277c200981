// Runs policies along given tokens from forks of one prefill; whatever is measured is computed between steps, outside
// their time.
#include "evals/teacher_forced.h"

#include <algorithm>
#include <cmath>

#include "base/statistics.h"
#include "kernels/measures/row_measures.h"

namespace reattend {
namespace {

/// Keeps every step's logits.
class LogitsObserver final : public Observer {
 public:
  explicit LogitsObserver(std::vector<float>& logits) : logits_(logits) {}
  void begin(SequenceView&, const StepView& step) override { step_end(step); }
  void step_end(const StepView& step) override {
    logits_.insert(logits_.end(), step.logits().begin(), step.logits().end());
  }

 private:
  std::vector<float>& logits_;
};

/// Compares every step's logits with the reference's.
class ScoreObserver final : public Observer {
 public:
  ScoreObserver(const ReferenceRun& full, std::vector<StepScore>& steps) : full_(full), steps_(steps) {}
  void step_end(const StepView& step) override {
    const size_t n_vocab = step.logits().size(), t = static_cast<size_t>(step.t);
    const std::span<const float> theirs = std::span(full_.logits).subspan(t * n_vocab, n_vocab);
    const std::vector<double> mine = log_softmax(step.logits());
    StepScore& score = steps_[t - 1];
    score.kl = kl_divergence(log_softmax(theirs), mine);
    if (t < full_.tokens.size()) score.nll = -mine[static_cast<size_t>(full_.tokens[t])];
    score.agrees = arg_max(theirs) == arg_max(step.logits());
    Mean positions, full;
    step.for_acting([&](const HeadLog& head) { positions.add(head.positions), full.add(head.full ? 1 : 0); });
    score.positions = positions.value(), score.full = full.value();
  }

 private:
  const ReferenceRun& full_;
  std::vector<StepScore>& steps_;
};

/// What each head's row over everything says of the positions it attended to.
class MassObserver final : public Observer {
 public:
  explicit MassObserver(std::vector<StepScore>& steps) : steps_(steps) {}
  bool needs_full_rows() const override { return true; }
  void attended(const LayerView& view) override {
    const ModelShape& shape = view.shape();
    if (!shape.acts(view.layer())) return;
    const double share = 1.0 / (static_cast<double>(shape.n_acting()) * shape.n_kv_head);
    StepScore& score = steps_[static_cast<size_t>(view.step()) - 1];
    if (std::isnan(score.recovered)) score.recovered = score.oracle = 0;
    for (int32_t g = 0; g < shape.n_kv_head; ++g) {
      const Mass mass = measure_mass(view.full_row(g), shape.group(), view.attended(g));
      score.recovered += share * mass.recovered, score.oracle += share * mass.oracle;
    }
  }

 private:
  std::vector<StepScore>& steps_;
};

Generated run(Backend& backend, const Model& model, const Prefilled& prefilled, int32_t n_step,
              const NextTokenFn& next_token, const Settings& settings, std::span<Observer* const> observers,
              const ProgressFn& progress, const Cancel& cancel) {
  const auto sequence = backend.model->fork(*prefilled.sequence);
  Generated out = generate(backend, model, *sequence, prefilled,
                           {.settings = settings,
                            .n_step = n_step,
                            .next_token = next_token,
                            .observers = observers,
                            .progress = progress,
                            .cancel = cancel});
  cancel.check();
  return out;
}

}  // namespace

Score summarize(std::span<const StepScore> steps) {
  const auto mean = [&](auto member) {
    double sum = 0;
    for (const StepScore& step : steps) sum += static_cast<double>(step.*member);
    return sum / static_cast<double>(steps.size());
  };
  std::vector<double> kl;
  for (const StepScore& step : steps) kl.push_back(step.kl);
  return {.kl = mean(&StepScore::kl),
          .kl_p95 = percentile(kl, 0.95),
          .kl_max = percentile(kl, 1),
          .agreement = mean(&StepScore::agrees),
          .nll = mean(&StepScore::nll),
          .positions = mean(&StepScore::positions),
          .full = mean(&StepScore::full),
          .recovered = mean(&StepScore::recovered),
          .oracle = mean(&StepScore::oracle)};
}

NextTokenFn follow(std::span<const int32_t> tokens) {
  return [tokens](int32_t t, StepLogits&) {
    return static_cast<size_t>(t) <= tokens.size() ? tokens[static_cast<size_t>(t) - 1] : -1;
  };
}

ReferenceRun run_reference(Backend& backend, const Model& model, const Prefilled& prefilled, int32_t n_step,
                           const NextTokenFn& next_token, const ProgressFn& progress, const Cancel& cancel) {
  ReferenceRun out;
  out.logits.reserve((static_cast<size_t>(n_step) + 1) * static_cast<size_t>(model.shape().n_vocab));
  LogitsObserver logits(out.logits);
  Observer* observers[] = {&logits};
  const Generated full =
      run(backend, model, prefilled, n_step, next_token, Settings("full"), observers, progress, cancel);
  out.tokens = full.tokens;
  out.n_step = static_cast<int32_t>(full.tokens.size());
  StepLogits last(full.logits);
  if (const int32_t after = next_token(out.n_step + 1, last); after >= 0) out.tokens.push_back(after);
  return out;
}

TeacherForced run_teacher_forced(Backend& backend, const Model& model, const Prefilled& prefilled,
                                 const ReferenceRun& full, const Settings& settings, bool mass,
                                 const ProgressFn& progress, const Cancel& cancel, std::span<Observer* const> more) {
  TeacherForced out{.steps = std::vector<StepScore>(static_cast<size_t>(full.n_step))};
  ScoreObserver scores(full, out.steps);
  std::vector<Observer*> observers = {&scores};
  MassObserver masses(out.steps);
  if (mass) observers.push_back(&masses);
  observers.insert(observers.end(), more.begin(), more.end());
  out.bytes =
      run(backend, model, prefilled, full.n_step, follow(full.tokens), settings, observers, progress, cancel).bytes;
  return out;
}

void run_timed(Backend& backend, const Model& model, const Prefilled& prefilled, const ReferenceRun& full,
               const Settings& settings, StepClock& clock, const ProgressFn& progress, const Cancel& cancel) {
  Observer* observers[] = {&clock};
  run(backend, model, prefilled, full.n_step, follow(full.tokens), settings, observers, progress, cancel);
}

}  // namespace reattend
