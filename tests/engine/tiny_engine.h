// A tiny model with a prompt in its cache, and runs that continue it: what the engine's tests of policies start from.
#pragma once
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "engine/generate.h"

namespace reattend::testing {

inline constexpr int32_t kPrompt = 270, kSteps = 40;  // both sides of a cache block, and a choice older than one

inline Settings make(const std::string& policy, std::initializer_list<std::pair<const char*, Value>> values) {
  Settings settings(policy);
  for (const auto& [key, value] : values) settings.set(key, value);
  return settings;
}

/// `Log` is an Observer made from the model's shape; every run returns one.
template <class Log>
class TinyEngine : public ::testing::Test {
 protected:
  TinyEngine() : model_(Model::open("tests/golden/models/tiny_llama.gguf")), backend_(make_backend({}, model_, pool_)) {
    for (int32_t i = 0; i < kPrompt; ++i) prompt_.push_back((i * 31 + i / 5) % model_.shape().n_vocab);
    prefilled_ = fresh(backend_, model_);
  }
  /// The prompt, with all that any policy asks of it.
  Prefilled fresh(Backend& backend, const Model& model) {
    return prefill(backend, model, prompt_,
                   {.n_ctx = kPrompt + kSteps, .needs = {.prompt = {.row_sums = true, .window = 64}}});
  }
  Log continue_on(Backend& backend, const Model& model, const Prefilled& prefilled, Sequence& sequence,
                  const Settings& settings, bool shadow = false) {
    Log log(model.shape());
    Observer* observers[] = {&log};
    generate(backend, model, sequence, prefilled,
             {.settings = settings,
              .n_step = kSteps,
              .shadow = shadow,
              .next_token = [&](int32_t t, StepLogits&) { return (t * 17) % model.shape().n_vocab; },
              .observers = observers});
    return log;
  }
  Log continue_on(Sequence& sequence, const Settings& settings, bool shadow = false) {
    return continue_on(backend_, model_, prefilled_, sequence, settings, shadow);
  }
  Log run(const Settings& settings, bool shadow = false) {
    const auto sequence = backend_.model->fork(*prefilled_.sequence);
    return continue_on(*sequence, settings, shadow);
  }

  ThreadPool pool_{2};
  Model model_;
  Backend backend_;
  std::vector<int32_t> prompt_;
  Prefilled prefilled_;
};

}  // namespace reattend::testing
