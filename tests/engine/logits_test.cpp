// One row of logits in which something is not a number: every place is found, and the run ends before it does harm.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/logits.h"
#include "engine/model/model.h"

namespace reattend {
namespace {

constexpr uint64_t kStart = 0xcbf29ce484222325ULL;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> row(size_t n) {
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(i) * 0.37F - 20;
  return out;
}

std::string refusal(const std::vector<float>& logits, int32_t position) {
  try {
    check_logits(logits, position);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// Tails of the unrolled loop included; largest finite numbers are numbers.
TEST(Logits, OneThatIsNoNumberIsFoundWhereverItStands) {
  for (const size_t n : {1, 7, 8, 9, 288}) {
    std::vector<float> logits = row(n);
    logits.back() = std::numeric_limits<float>::max();
    EXPECT_EQ(refusal(logits, 3), "");
    for (size_t i = 0; i < n; ++i) {
      for (const float bad : {kNan, -kNan, kInfinity, -kInfinity}) {
        std::vector<float> damaged = logits;
        damaged[i] = bad;
        const std::string line = refusal(damaged, 11), what = std::isnan(bad) ? "NaN" : "infinity";
        EXPECT_EQ(line, "logits: " + what + " in 1 of " + std::to_string(n) +
                            "; the model's weights may be damaged (after position 11, the first for token " +
                            std::to_string(i) + ")");
      }
    }
  }
  std::vector<float> both = row(8);
  both[2] = kNan, both[5] = -kInfinity;
  EXPECT_NE(refusal(both, 0).find("NaN or infinity in 2 of 8"), std::string::npos) << refusal(both, 0);
}

/// A hash tells whether two runs were the same: it may look at every bit, and at the order.
TEST(Logits, TheHashSeesEveryBitAndTheOrder) {
  for (const size_t n : {1, 8, 19}) {
    const std::vector<float> logits = row(n);
    const uint64_t hash = hash_logits(logits, kStart);
    EXPECT_NE(hash_logits(logits, kStart + 1), hash);
    for (size_t i = 0; i < n; ++i) {
      std::vector<float> other = logits;
      other[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(other[i]) ^ 1U);
      EXPECT_NE(hash_logits(other, kStart), hash) << i;
    }
  }
  std::vector<float> turned = row(16);
  std::swap(turned[0], turned[8]);
  EXPECT_NE(hash_logits(turned, kStart), hash_logits(row(16), kStart));
}

/// What a step predicts is fetched once, after the step; before the first one the prompt's own logits are there.
TEST(Logits, AreTheBackendsWhenSomebodyLooks) {
  ThreadPool pool(1);
  const Model model = Model::open("tests/golden/models/tiny_llama.gguf");
  Backend backend = make_backend({}, model, pool);
  const auto n_vocab = static_cast<size_t>(model.shape().n_vocab);
  const auto sequence = backend.model->new_sequence(2, {});
  const std::vector<float> prompt = row(n_vocab);
  StepLogits logits(prompt, backend.model.get());
  const std::vector<Plan> plans(static_cast<size_t>(model.shape().n_layer),
                                Plan{.branch = {.attend = {.everything = true}}});
  const auto now = [&] {
    const std::span<const float> values = logits;
    return std::vector<float>(values.begin(), values.end());
  };
  EXPECT_EQ(now(), prompt);
  std::vector<float> want(n_vocab);
  for (int32_t p = 0; p < 2; ++p) {
    backend.model->step(*sequence, {.token = 7 + p, .p = p, .plans = plans}, nullptr);
    logits.renew(p);
    backend.model->read_logits(want);
    EXPECT_EQ(now(), want);
    EXPECT_EQ(now(), want) << "looked at twice";
  }
}

}  // namespace
}  // namespace reattend
