// Who watches the decode loop: what observers are told, and the list of them that the loop tells.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>

#include "engine/backend/layer_view.h"
#include "engine/logits.h"
#include "policies/plan.h"

namespace reattend {

/// What observers see of a step. The spans are valid during the call only.
struct StepView {
  int32_t t = 0, p = 0;  ///< step t >= 1 fed `token` at position p = L - 1 + t; t = 0 is the prompt's end
  int32_t token = 0;
  StepLogits* prediction = nullptr;  ///< of position p + 1
  std::span<const HeadLog> heads;    ///< [n_layer][n_kv_head]
  std::span<const int32_t> windows;  ///< [n_layer] as ModelShape::windows(); empty where no layer has one
  double seconds = 0;                ///< wall time of the step without its observers'
  double choosing_seconds = 0;       ///< of it in gates and choices; 0 where no observer times_choices()
  BytesRead bytes;

  /// Calls act(head) for the heads of layers on which the policy acts.
  template <class Act>
  void for_acting(const Act& act) const {
    for (size_t i = 0; i < heads.size(); ++i) {
      if (windows.empty() || windows[i / (heads.size() / windows.size())] == 0) act(heads[i]);
    }
  }
  /// Whether one of them took a full step.
  bool any_full() const {
    bool any = false;
    for_acting([&any](const HeadLog& head) { any = any || head.full; });
    return any;
  }
  /// [n_vocab] predicting position p + 1: fetched from the backend when the first one asks. Throws Error for NaN.
  std::span<const float> logits() const { return *prediction; }
};

/// Watches the decode loop. Calls come in this order: prompt_layer (while the prompt's chunks are in the backend),
/// begin, then per step step_begin, (layer_begin, attended, layer_end)*, step_end, and end.
class Observer {
 public:
  virtual ~Observer() = default;
  /// True: it looks at whole rows, so the cache stays whole whatever the policy forgets; similarity to the reference is
  /// computed at every step, not only where a gate needs it.
  virtual bool needs_full_rows() const { return false; }
  /// True: what a policy's own work (gate, before, after) takes of each step is timed; two readings of the clock each.
  virtual bool times_choices() const { return false; }
  /// A chunk of the prompt has passed the layer's attention; its queries can be looked at.
  virtual void prompt_layer(const LayerView&) {}
  /// The prompt is in the cache and every layer's first choice is made; any layer can be looked at.
  virtual void begin(SequenceView&, const StepView& /*step 0*/) {}
  virtual void step_begin(int32_t /*t*/, int32_t /*p*/) {}
  virtual void layer_begin(int32_t /*t*/, int32_t /*layer*/, const Plan&) {}
  /// Attention is done, `after` has not run yet: the kept set is the one that stood before the step.
  virtual void attended(const LayerView&) {}
  virtual void layer_end(int32_t /*t*/, int32_t /*layer*/) {}
  virtual void step_end(const StepView&) {}
  virtual void end() {}
};

/// Several observers as one, each told in the order given. They must outlive it.
class ObserverList final : public Observer {
 public:
  explicit ObserverList(std::span<Observer* const> all) : all_(all) {}
  bool empty() const { return all_.empty(); }

  bool needs_full_rows() const override { return any(&Observer::needs_full_rows); }
  bool times_choices() const override { return any(&Observer::times_choices); }
  void prompt_layer(const LayerView& layer) override {
    for (Observer* const each : all_) each->prompt_layer(layer);
  }
  void begin(SequenceView& sequence, const StepView& step) override {
    for (Observer* const each : all_) each->begin(sequence, step);
  }
  void step_begin(int32_t t, int32_t p) override {
    for (Observer* const each : all_) each->step_begin(t, p);
  }
  void layer_begin(int32_t t, int32_t layer, const Plan& plan) override {
    for (Observer* const each : all_) each->layer_begin(t, layer, plan);
  }
  void attended(const LayerView& layer) override {
    for (Observer* const each : all_) each->attended(layer);
  }
  void layer_end(int32_t t, int32_t layer) override {
    for (Observer* const each : all_) each->layer_end(t, layer);
  }
  void step_end(const StepView& step) override {
    for (Observer* const each : all_) each->step_end(step);
  }
  void end() override {
    for (Observer* const each : all_) each->end();
  }

 private:
  bool any(bool (Observer::*asks)() const) const {
    return std::any_of(all_.begin(), all_.end(), [asks](const Observer* each) { return (each->*asks)(); });
  }
  std::span<Observer* const> all_;
};

}  // namespace reattend
