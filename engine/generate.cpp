// The decode loop: for every step a token, the policy's plans, the backend's step, and whoever wants to look.
#include "engine/generate.h"

#include <chrono>
#include <string>

#include "base/error.h"
#include "engine/step_timer.h"

namespace reattend {
namespace {

constexpr uint64_t kHashSeed = 0xcbf29ce484222325ULL;  // FNV-1a's own

void check_needs(const PromptNeeds& needs, const PromptNeeds& holds, const std::string& policy) {
  if (needs.row_sums && !holds.row_sums) {
    fail({.where = "policy " + policy,
          .expected = "the sums of the prompt's attention rows",
          .got = "a prompt that was prefilled without them",
          .remedy = "prefill it again for this policy"});
  }
  if (needs.window > holds.window) {
    fail({.where = "policy " + policy,
          .expected = "the queries of the last " + std::to_string(needs.window) + " prompt tokens",
          .got = "those of " + std::to_string(holds.window),
          .remedy = "prefill it again for this policy"});
  }
}

/// A sequence that a policy continues, step by step.
class Decoder {
 public:
  Decoder(Backend& backend, const Model& model, Sequence& sequence, const Prefilled& prefilled,
          const GenerateOptions& options)
      : shape_(model.shape()),
        ops_(*backend.model),
        selection_(*backend.selection),
        sequence_(sequence),
        n_prompt_(static_cast<int32_t>(prefilled.prompt.size())),
        shadow_(options.shadow),
        observers_(options.observers),
        full_rows_(observers_.needs_full_rows()),
        view_(backend, shape_, sequence, n_prompt_),
        plans_(static_cast<size_t>(shape_.n_layer)),
        windows_(shape_.windows()),
        heads_(static_cast<size_t>(shape_.n_layer) * static_cast<size_t>(shape_.n_kv_head)),
        logits_(prefilled.logits, &ops_) {
    options.settings.check_against_model(shape_.n_layer);
    policy_ = make_policy(options.settings, run_shape(shape_, n_prompt_));
    check_needs(policy_->needs(), sequence.holds(), options.settings.policy());
  }

  /// The policy's choices at the prompt's end.
  void begin(const Prefilled& prefilled) {
    for (int32_t layer = 0; layer < shape_.n_layer; ++layer) {
      selection_.after_prompt(sequence_, layer, policy_->prompt(layer), policy_->plan(layer, 1),
                              policy_->needs(), full_rows_);
    }
    observers_.begin(view_, {.t = 0,
                             .p = n_prompt_ - 1,
                             .token = prefilled.prompt.back(),
                             .prediction = &logits_,
                             .heads = heads_,
                             .windows = windows_,
                             .seconds = prefilled.seconds});
    ops_.take_bytes_read();
  }

  StepView step(int32_t t, int32_t token) {
    const int32_t p = n_prompt_ - 1 + t;
    observers_.step_begin(t, p);
    StepTimer timer(observers_, view_, t, plans_);
    timer.start();
    for (int32_t layer = 0; layer < shape_.n_layer; ++layer) plans_[layer] = policy_->plan(layer, t);
    ops_.step(sequence_, {.token = token, .p = p, .plans = plans_, .measure = full_rows_, .shadow = shadow_},
              timer.watch());
    selection_.log(sequence_, heads_);
    timer.stop();
    logits_.renew(p);
    return {.t = t,
            .p = p,
            .token = token,
            .prediction = &logits_,
            .heads = heads_,
            .windows = windows_,
            .seconds = timer.seconds(),
            .choosing_seconds = timer.choosing_seconds(),
            .bytes = ops_.take_bytes_read()};
  }

  ObserverList& observers() { return observers_; }
  StepLogits& logits() { return logits_; }

 private:
  const ModelShape& shape_;
  ModelOps& ops_;
  SelectionOps& selection_;
  Sequence& sequence_;
  const int32_t n_prompt_;
  const bool shadow_;
  ObserverList observers_;
  const bool full_rows_;
  SequenceView view_;
  std::unique_ptr<Policy> policy_;
  std::vector<Plan> plans_;       ///< [n_layer] of the last step
  std::vector<int32_t> windows_;  ///< [n_layer], or empty
  std::vector<HeadLog> heads_;    ///< [n_layer][n_kv_head] of the last step
  StepLogits logits_;             ///< of the last step
};

}  // namespace

Generated generate(Backend& backend, const Model& model, Sequence& sequence, const Prefilled& prefilled,
                   const GenerateOptions& options) {
  Decoder decoder(backend, model, sequence, prefilled, options);
  Generated out;
  if (options.hash) out.logits_hash = hash_logits(prefilled.logits, kHashSeed);
  decoder.begin(prefilled);

  const auto begin = std::chrono::steady_clock::now();
  for (int32_t t = 1; t <= options.n_step && !options.cancel.raised(); ++t) {
    const int32_t token = options.next_token(t, decoder.logits());
    if (token < 0) break;
    check_ids({&token, 1}, model.shape().n_vocab);
    const StepView step = decoder.step(t, token);
    if (options.hash) out.logits_hash = hash_logits(step.logits(), out.logits_hash);
    out.tokens.push_back(token);
    out.seconds += step.seconds;
    out.bytes += step.bytes;
    decoder.observers().step_end(step);
    if (options.progress) options.progress("decode", t, options.n_step, "tokens");
  }
  decoder.observers().end();
  out.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const std::span<const float> last = decoder.logits();
  out.logits.assign(last.begin(), last.end());
  return out;
}

}  // namespace reattend
