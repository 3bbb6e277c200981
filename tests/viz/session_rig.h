// A session over a synthetic trace, driven as frames would drive it.
#pragma once
#include <chrono>
#include <memory>
#include <thread>

#include "synthetic_source.h"
#include "viz/session/session.h"

namespace reattend::viz::testing {

inline Settings with_budget(int64_t k) {
  Settings settings("recycled");
  settings.set("K", k);
  return settings;
}

inline void sleep_a_little() {
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

struct Rig {
  explicit Rig(const SyntheticShape& made = {}, const Means& means = {.n_thread = 2})
      : shape(made),
        session(
            synthetic_source(made, stage), [] {}, means) {}
  ~Rig() { stage->let_all_through(); }
  void open() {
    session.open("trace.h5");
    settle();
  }
  void settle() {
    for (bool idle = false; !idle; sleep_a_little()) idle = session.idle(), session.update();
  }
  template <class Condition>
  void until(const Condition& holds) {
    for (; !holds(); sleep_a_little()) session.update();
  }
  float in_map(LayerMeasure measure, int32_t layer, int32_t step) const {
    return session.layer_map(measure).values[int64_t{layer} * shape.n_step + step - 1];
  }

  SyntheticShape shape;
  std::shared_ptr<Stage> stage = std::make_shared<Stage>();
  Session session;
};

}  // namespace reattend::viz::testing
