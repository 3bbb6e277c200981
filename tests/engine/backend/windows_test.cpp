// Layers with a window of their own: the same text gives the same logits however it is fed, and no policy acts there.
#include <gtest/gtest.h>

#include "engine/generate.h"

namespace reattend {
namespace {

const char* const kModel = "tests/golden/models/tiny_gemma3.gguf";  // windows of 8 in all layers but 3 and 7

std::vector<int32_t> some_tokens(int32_t n, int32_t n_vocab) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < n; ++i) ids.push_back((i * 31 + i / 5) % n_vocab);
  return ids;
}

class Windows : public ::testing::TestWithParam<const char*> {
 protected:
  Windows()
      : model_(Model::open(kModel)),
        backend_(
            make_backend({.device = GetParam(), .kv = KvType::f32, .activations = Activations::f32}, model_, pool_)),
        ids_(some_tokens(700, model_.shape().n_vocab)) {}
  Prefilled prefill_of(int32_t n) {
    return prefill(backend_, model_, std::span(ids_).first(static_cast<size_t>(n)),
                   {.n_ctx = 700, .chunk = 50, .needs = {.prompt = {.row_sums = true, .window = 64}}});
  }
  Generated go_on(const Prefilled& from, const Settings& settings, bool shadow,
                  std::span<Observer* const> observers = {}) {
    const auto sequence = backend_.model->fork(*from.sequence);
    const auto n_prompt = from.prompt.size();
    return generate(backend_, model_, *sequence, from,
                    {.settings = settings,
                     .n_step = static_cast<int32_t>(ids_.size() - n_prompt),
                     .shadow = shadow,
                     .next_token = [&](int32_t t, StepLogits&) { return ids_[n_prompt + static_cast<size_t>(t) - 1]; },
                     .hash = true,
                     .observers = observers});
  }

  ThreadPool pool_{2};
  Model model_;
  Backend backend_;
  std::vector<int32_t> ids_;
};

// Far beyond the windows, where blocks have been given up.
TEST_P(Windows, DecodingGivesThePromptsLogits) {
  const Generated decoded = go_on(prefill_of(20), Settings("full"), false);
  const Prefilled at_once = prefill_of(700);
  for (size_t i = 0; i < at_once.logits.size(); ++i) ASSERT_NEAR(decoded.logits[i], at_once.logits[i], 2e-5) << i;
}

TEST_P(Windows, AShadowRunGivesTheFullRunsBits) {
  Settings recycled("recycled");
  recycled.set("K", int64_t{16}), recycled.set("S", int64_t{4});
  const Prefilled prompt = prefill_of(600);
  const Generated full = go_on(prompt, Settings("full"), false);
  EXPECT_EQ(go_on(prompt, recycled, true).logits_hash, full.logits_hash);
  EXPECT_NE(go_on(prompt, recycled, false).logits_hash, full.logits_hash);
}

/// What every head attended to, by whether its layer has a window.
class Counts final : public Observer {
 public:
  explicit Counts(const ModelShape& shape) : shape_(shape) {}
  void step_end(const StepView& step) override {
    for (size_t i = 0; i < step.heads.size(); ++i) {
      const bool acts = shape_.acts(static_cast<int32_t>(i) / shape_.n_kv_head);
      (acts ? acting : windowed).push_back(step.heads[i]);
    }
    step.for_acting([this](const HeadLog&) { ++n_acting; });
  }
  std::vector<HeadLog> acting, windowed;
  size_t n_acting = 0;

 private:
  const ModelShape& shape_;
};

TEST_P(Windows, NoPolicyActsThere) {
  for (const char* policy : {"full", "recycled", "quest", "h2o", "snapkv"}) {
    Settings settings(policy);
    if (settings.takes("K")) settings.set("K", int64_t{48});
    Counts counts(model_.shape());
    Observer* observers[] = {&counts};
    go_on(prefill_of(650), settings, false, observers);
    EXPECT_EQ(counts.n_acting, counts.acting.size());
    EXPECT_EQ(counts.windowed.size(), 3 * counts.acting.size());
    for (const HeadLog& head : counts.windowed) {
      EXPECT_EQ(head.positions, 8) << policy;
      EXPECT_FALSE(head.full) << policy;
    }
    for (const HeadLog& head : counts.acting) EXPECT_GT(head.positions, 8) << policy;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, Windows, ::testing::Values("reference", "cpu", "guarded"));

}  // namespace
}  // namespace reattend
