// Watches the engine head by head: what it attended to, what that was worth, whether the replay had said so.
#include "evals/verify.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "base/error.h"
#include "evals/setting_rounds.h"
#include "kernels/measures/row_measures.h"
#include "replay/estimates.h"
#include "replay/summary.h"

namespace reattend {
namespace {

/// Watches every head's set and mass; compares them with the replay's where there is one.
class SetObserver final : public Observer {
 public:
  SetObserver(const ModelShape& shape, const ReplayResult* replay) : shape_(shape), replay_(replay) {
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      place_.push_back(static_cast<int32_t>(layers.size()));
      if (shape.acts(l)) layers.push_back({.layer = l});
    }
  }
  bool needs_full_rows() const override { return true; }
  void attended(const LayerView& view) override {
    if (!shape_.acts(view.layer())) return;
    LayerCheck& check = layers[place(view.layer())];
    for (int32_t g = 0; g < shape_.n_kv_head; ++g) {
      const std::span<const int32_t> set = view.attended(g);
      check.measured_mass += measure_mass(view.full_row(g), shape_.group(), set).recovered;
      positions += static_cast<double>(set.size());
      if (replay_ != nullptr) compare(view, g, check);
    }
  }
  void step_end(const StepView& step) override {
    ++n_step;
    for (size_t i = 0; i < step.heads.size(); ++i) {
      const auto n_kv_head = static_cast<size_t>(shape_.n_kv_head), g = i % n_kv_head;
      if (!shape_.acts(static_cast<int32_t>(i / n_kv_head))) continue;
      full += step.heads[i].full ? 1 : 0;
      if (replay_ == nullptr) continue;
      const size_t layer = place(static_cast<int32_t>(i / n_kv_head));
      const bool said = replay_->layers[layer].full[at(step.t, static_cast<int32_t>(g))] != 0;
      predicted_full += said ? 1 : 0;
      layers[layer].decisions_equal += said == step.heads[i].full ? 1 : 0;
    }
  }
  /// Sums become means; once, at the end.
  void finish() {
    const double per_layer = std::max(1, n_step) * static_cast<double>(shape_.n_kv_head);
    const double all = per_layer * static_cast<double>(layers.size());
    for (LayerCheck& check : layers) {
      mass += check.measured_mass / all, decisions_equal += check.decisions_equal / all, jaccard += check.jaccard / all;
      check.measured_mass /= per_layer, check.decisions_equal /= per_layer, check.jaccard /= per_layer;
    }
    for (double& x : jaccard_of_step) x /= all / std::max(1, n_step);
    identical /= all, full /= all, predicted_full /= all, positions /= all;
  }

  std::vector<LayerCheck> layers;  ///< those on which a policy acts
  std::vector<double> jaccard_of_step;
  int32_t n_step = 0;
  double mass = 0, decisions_equal = 0, jaccard = 0, identical = 0, full = 0, predicted_full = 0, positions = 0;

 private:
  size_t place(int32_t layer) const { return static_cast<size_t>(place_[static_cast<size_t>(layer)]); }
  size_t at(int32_t t, int32_t g) const { return static_cast<size_t>(t - 1) * shape_.n_kv_head + g; }
  void compare(const LayerView& view, int32_t g, LayerCheck& check) {
    const std::vector<int32_t> said = replay_->layers[place(view.layer())].sets[at(view.step(), g)].list();
    set_.assign(view.attended(g).begin(), view.attended(g).end());
    std::sort(set_.begin(), set_.end());
    std::vector<int32_t> both;
    std::set_intersection(set_.begin(), set_.end(), said.begin(), said.end(), std::back_inserter(both));
    const auto n_both = static_cast<double>(both.size());
    const double alike = n_both / (static_cast<double>(set_.size() + said.size()) - n_both);
    const auto t = static_cast<size_t>(view.step());
    jaccard_of_step.resize(t);
    check.jaccard += alike, jaccard_of_step[t - 1] += alike, identical += alike == 1 ? 1 : 0;
  }

  const ModelShape& shape_;
  const ReplayResult* replay_;
  std::vector<int32_t> place_;  ///< [n_layer] in `layers` and the replay's, of layers on which a policy acts
  std::vector<int32_t> set_;    ///< one attended set, sorted
};

/// Each step's likeliest token.
Generated greedy(Backend& backend, const Model& model, const Prefilled& prefilled, int32_t n_step,
                 const Settings& settings, Observer* observer, const VerifyOptions& options) {
  const auto sequence = backend.model->fork(*prefilled.sequence);
  Observer* observers[] = {observer};
  Generated out = generate(backend, model, *sequence, prefilled,
                           {.settings = settings,
                            .n_step = n_step,
                            .next_token = [](int32_t, StepLogits& logits) { return arg_max(logits); },
                            .observers = std::span<Observer* const>(observers, observer != nullptr ? 1 : 0),
                            .progress = options.progress,
                            .cancel = options.cancel});
  options.cancel.check();
  return out;
}

void check_shape(const ReplayResult& replay, const ModelShape& shape, int32_t n_step) {
  const size_t n = static_cast<size_t>(n_step) * shape.n_kv_head;
  bool fits = replay.layers.size() == static_cast<size_t>(shape.n_acting());
  for (const LayerReplay& layer : replay.layers) fits = fits && layer.sets.size() == n;
  if (fits) return;
  fail({.where = "verify",
        .expected = fmt::format("a replay of {} layers x {} steps x {} KV heads with its sets", shape.n_acting(),
                                n_step, shape.n_kv_head),
        .got = fmt::format("{} layers", replay.layers.size()),
        .remedy = {}});
}

}  // namespace

Verification verify(Backend& backend, const Model& model, const Prefilled& prefilled, const ReferenceRun& full,
                    const ReplayResult& replay, const VerifyOptions& options) {
  const ModelShape& shape = model.shape();
  check_shape(replay, shape, full.n_step);
  const auto n_prompt = static_cast<int32_t>(prefilled.prompt.size());
  Verification out;
  out.settings = replay.settings, out.predicted = replay.total;
  out.n_prompt = n_prompt, out.n_step = full.n_step;
  SetObserver watched(shape, &replay);
  Observer* observers[] = {&watched};
  Score score = summarize(run_teacher_forced(backend, model, prefilled, full, replay.settings, false, options.progress,
                                             options.cancel, observers)
                              .steps);
  watched.finish();
  score.recovered = watched.mass, score.full = watched.full;
  out.layers = watched.layers, out.jaccard_of_step = watched.jaccard_of_step;
  for (size_t l = 0; l < out.layers.size(); ++l) out.layers[l].predicted_mass = replay.per_layer[l].recovered;
  out.decisions_equal = watched.decisions_equal, out.jaccard = watched.jaccard;
  out.identical = watched.identical, out.predicted_full = watched.predicted_full;

  SetObserver free(shape, nullptr);
  const Generated mine = greedy(backend, model, prefilled, full.n_step, replay.settings, &free, options);
  const Generated theirs = greedy(backend, model, prefilled, full.n_step, Settings("full"), nullptr, options);
  free.finish();
  const auto parting =
      std::mismatch(mine.tokens.begin(), mine.tokens.end(), theirs.tokens.begin(), theirs.tokens.end());
  out.free = {.n_step = free.n_step,
              .n_common = static_cast<int32_t>(parting.first - mine.tokens.begin()),
              .mass = free.mass,
              .full = free.full,
              .positions = free.positions};

  constexpr int kCalibrationsPerRound = 2;  // as many steps as the timed runs have, about
  SettingRounds rounds(backend, model, prefilled, full);
  rounds.add(Settings("full"));
  rounds.add(replay.settings);
  for (int i = 0; options.calibrator != nullptr && i < kCalibrationsPerRound; ++i) rounds.add(*options.calibrator);
  rounds.run(options.repeats, "timing", options.progress, options.cancel);
  score.full_ms = rounds.ms(0), score.ms = rounds.ms(1);
  if (options.calibrator != nullptr && options.repeats > 0) {
    TraceInfo recalibrated = *options.info;
    recalibrated.calibration = options.calibrator->result();
    out.recalibrated_ms = predict_ms(recalibrated, work_of(recalibrated, replay.layers)),
    out.recalibrated_full_ms = predict_ms(recalibrated, full_work(recalibrated));
  }
  out.verified = {.settings = replay.settings,
                  .measured = score,
                  .predicted_ms = replay.total.ms_per_token,
                  .predicted_full_ms = replay.total.ms_per_token_full};
  const std::vector<double> values = evaluate_estimates({full.n_step, replay.layers});
  for (size_t i = 0; i < values.size(); ++i) out.verified.estimates[std::string(estimates()[i].name)] = values[i];
  return out;
}

}  // namespace reattend
