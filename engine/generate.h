// The decode loop: prompt in, one step at a time out; run, record, case, compare and eval all call it.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/progress.h"
#include "engine/backend/backend.h"
#include "engine/model/model.h"
#include "policies/policy.h"

namespace reattend {

/// A prompt that went through the model once: any number of policies continue from forks of it.
struct Prefilled {
  std::unique_ptr<Sequence> sequence;
  std::vector<int32_t> prompt;
  std::vector<float> logits;  ///< [n_vocab] of the last prompt token
  double seconds = 0;
};

/// What observers see of a run. The span and references are valid during the call only.
struct StepView {
  int32_t t = 0, p = 0;  ///< step t >= 1 fed `token` at position p = L - 1 + t; t = 0 is the prompt's end
  int32_t token = 0;
  std::span<const float> logits;   ///< [n_vocab] predicting position p + 1
  std::span<const HeadLog> heads;  ///< [n_layer][n_kv_head]
  double seconds = 0;              ///< wall time of the step without its observers'
  double choosing_seconds = 0;     ///< of it in gates and choices; 0 where no observer times_choices()
  BytesRead bytes;
};

/// Watches the decode loop. Calls come in this order: prompt (chunks while they are in the backend), begin, then per
/// step step_begin, (layer_begin, attended, layer_end)*, step_end, and end.
class Observer {
 public:
  virtual ~Observer() = default;
  /// True: it looks at whole rows, so the cache stays whole whatever the policy forgets; similarity to the reference is
  /// computed at every step, not only where a gate needs it.
  virtual bool measures() const { return false; }
  /// True: what a policy's own work (gate, before, after) takes of each step is timed; two readings of the clock each.
  virtual bool times_choices() const { return false; }
  /// A chunk of n prompt tokens from position `first` has passed the layer's attention.
  virtual void prompt_layer(ModelOps&, Sequence&, int32_t /*layer*/, int32_t /*first*/, int32_t /*n*/) {}
  virtual void begin(ModelOps&, Sequence&, const StepView& /*step 0*/) {}
  virtual void step_begin(int32_t /*t*/, int32_t /*p*/) {}
  virtual void layer_begin(int32_t /*t*/, int32_t /*layer*/, const Plan&) {}
  /// Attention is done, `after` has not run yet: rows, sets and the kept set as it stood before the step can be read.
  virtual void attended(ModelOps&, Sequence&, int32_t /*t*/, int32_t /*layer*/) {}
  virtual void layer_end(int32_t /*t*/, int32_t /*layer*/) {}
  virtual void step_end(const StepView&) {}
  virtual void end() {}
};

struct PrefillOptions {
  int32_t n_ctx = 0;    ///< room in the cache; 0: as much as the prompt needs
  int32_t chunk = 512;  ///< tokens at a time; does not change a bit of the result
  PromptNeeds needs;    ///< of the policies that will continue it (see needs_of)
  std::span<Observer* const> observers;
  ProgressFn progress;
  Cancel cancel;
};
/// What policies need of a prompt of n_prompt tokens that is to be prefilled for all of them.
PromptNeeds needs_of(std::span<const Settings> settings, const ModelShape& shape, int32_t n_prompt);
/// Passes more tokens of a prompt through the model, at positions first, first + 1, ...; returns the seconds it took.
/// The logits of the last one can then be had from the backend. Throws Error for ids outside the vocabulary.
double extend(Backend& backend, const Model& model, Sequence& sequence, std::span<const int32_t> ids, int32_t first,
              const PrefillOptions& options);
/// Throws Error for an empty prompt, one that is longer than n_ctx, ids outside the vocabulary, or logits that are NaN.
Prefilled prefill(Backend& backend, const Model& model, std::span<const int32_t> prompt, const PrefillOptions& options);

struct GenerateOptions {
  Settings settings;
  int32_t n_step = 0;
  bool shadow = false;  ///< the policy decides, the output stays full attention
  /// The token that step t (1-based) feeds, given the logits before it; return a negative id to stop.
  std::function<int32_t(int32_t t, std::span<const float> logits)> next_token;
  std::span<Observer* const> observers;
  ProgressFn progress;
  Cancel cancel;
};
struct Generated {
  std::vector<int32_t> tokens;  ///< fed tokens
  std::vector<float> logits;    ///< [n_vocab] after the last step
  double seconds = 0;           ///< of all steps, observers' time not counted
  double wall_seconds = 0;      ///< of all steps and what lies between them: observers, next_token
  BytesRead bytes;
  uint64_t logits_hash = 0;  ///< of the bits of every step's logits
};
/// Continues `sequence` (usually a fork of a Prefilled's) from position n_prompt. Throws Error where the policy needs
/// more of the prompt than was kept when it was prefilled, and where a step's logits are NaN: observers then have seen
/// the steps before it, but no end().
Generated generate(Backend& backend, const Model& model, Sequence& sequence, const Prefilled& prefilled,
                   const GenerateOptions& options);

}  // namespace reattend
