// What users of policies and forks rely on: a complete set is full attention, a fork is a fresh run, a shadow run is
// full attention with decisions, and backends keep their memory to themselves.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "engine/backend/memory.h"
#include "engine/generate.h"
#include "kernels/measures/row_measures.h"
#include "tests/engine/tiny_engine.h"

namespace reattend {
namespace {

using testing::kPrompt, testing::kSteps, testing::make;

/// Keeps what a run did.
struct Log final : Observer {
  explicit Log(const ModelShape&) {}
  std::vector<float> logits;
  std::vector<uint8_t> full;
  std::vector<int32_t> positions;
  void step_end(const StepView& step) override {
    logits.insert(logits.end(), step.logits().begin(), step.logits().end());
    for (const HeadLog& head : step.heads) full.push_back(head.full), positions.push_back(head.positions);
  }
};

using Engine = testing::TinyEngine<Log>;

TEST_F(Engine, CompleteSetsAreFullAttentionBitForBit) {
  const Log full = run(Settings("full"));
  const Value all = int64_t{kPrompt + kSteps};
  for (const Settings& settings :
       {make("recycled", {{"K", all}, {"S", int64_t{7}}}), make("recycled", {{"K", all}, {"S", {}}}),
        make("recycled", {{"K", all}, {"S", int64_t{4}}, {"schedule", std::string("query")}}),
        make("recycled", {{"K", all}, {"S", int64_t{3}}, {"refresh", std::string("score_only")}}),
        make("streaming", {{"K", all}}), make("streaming", {{"K", all}, {"rotate", std::string("cache")}}),
        make("recycled", {{"K", int64_t{16}}, {"S", int64_t{1}}})}) {
    EXPECT_EQ(run(settings).logits, full.logits) << settings.summary();
  }
}

TEST_F(Engine, CompleteSetsAreFullAttentionInEveryCacheType) {
  const Value all = int64_t{kPrompt + kSteps};
  std::vector<std::vector<float>> each_type;
  for (const KvType type : kKvTypes) {
    prefilled_ = {};  // which lies in the old backend's memory
    backend_ = make_backend({.kv = type}, model_, pool_);
    prefilled_ = prefill(backend_, model_, prompt_, {.n_ctx = kPrompt + kSteps});
    each_type.push_back(run(Settings("full")).logits);
    EXPECT_EQ(run(make("recycled", {{"K", all}, {"S", int64_t{7}}})).logits, each_type.back()) << name_of(type);
    EXPECT_NE(run(make("recycled", {{"K", int64_t{16}}, {"S", int64_t{7}}})).logits, each_type.back()) << name_of(type);
  }
  for (size_t i = 1; i < each_type.size(); ++i) {
    EXPECT_NE(each_type[i], each_type[0]) << name_of(kKvTypes[i]) << " is not what the cache was";
  }
}

TEST_F(Engine, SmallSetsAreNotFullAttention) {
  EXPECT_NE(run(make("recycled", {{"K", int64_t{16}}, {"S", int64_t{7}}})).logits, run(Settings("full")).logits);
}

TEST_F(Engine, ForksDoNotSeeEachOther) {
  const Settings settings = make("recycled", {{"K", int64_t{24}}, {"S", int64_t{5}}});
  const Log fresh = run(settings);
  run(Settings("full"));  // writes its own tail behind the same prompt
  EXPECT_EQ(run(settings).logits, fresh.logits);
  Prefilled again = prefill(backend_, model_, prompt_, {.n_ctx = kPrompt + kSteps});
  EXPECT_EQ(continue_on(*again.sequence, settings).logits, fresh.logits);
}

TEST_F(Engine, ShadowRunDecidesButStaysFull) {
  const Settings settings = make("recycled", {{"K", int64_t{24}}, {"S", int64_t{5}}});
  const Log shadow = run(settings, true);
  EXPECT_EQ(shadow.logits, run(Settings("full")).logits);
  const Log free = run(settings);
  EXPECT_EQ(shadow.full, free.full) << "a fixed schedule does not depend on the output";
  EXPECT_EQ(shadow.positions, free.positions);
}

TEST_F(Engine, BytesCountWhatIsAttendedTo) {
  const auto sequence = backend_.model->fork(*prefilled_.sequence);
  const Settings settings = make("streaming", {{"K", int64_t{20}}});
  const Generated out =
      generate(backend_, model_, *sequence, prefilled_,
               {.settings = settings, .n_step = 3, .next_token = [](int32_t, StepLogits&) { return 1; }});
  const ModelShape& shape = model_.shape();
  const int64_t per_position = 2 * shape.d_head * 2;  // keys and values, f16
  EXPECT_EQ(out.bytes.attend, 3 * int64_t{shape.n_layer} * shape.n_kv_head * 21 * per_position);
  EXPECT_EQ(out.bytes.select, 0) << "streaming chooses without reading";
}

TEST_F(Engine, TooMuchForTheContextIsRefusedInWords) {
  const auto message = [&](std::span<const int32_t> prompt, int32_t n_ctx) {
    try {
      prefill(backend_, model_, prompt, {.n_ctx = n_ctx});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message(prompt_, kPrompt - 1).find("269"), std::string::npos);
  EXPECT_NE(message({}, 10).find("at least one token"), std::string::npos);
  const int32_t outside[] = {1, model_.shape().n_vocab};
  EXPECT_NE(message(outside, 10).find("0..287"), std::string::npos);
  // Before anything is computed, with what would take less.
  const std::string memory = message(prompt_, std::numeric_limits<int32_t>::max() / 2);
  EXPECT_NE(memory.find("GB for keys and values of 1073741823 positions"), std::string::npos) << memory;
  EXPECT_NE(memory.find("--kv q8"), std::string::npos) << memory;
  const auto sequence = backend_.model->fork(*prefilled_.sequence);
  EXPECT_THROW(
      generate(
          backend_, model_, *sequence, prefilled_,
          {.settings = Settings("full"), .n_step = kSteps + 1, .next_token = [](int32_t, StepLogits&) { return 1; }}),
      Error);
}

/// As on a device: what is read has arrived when it is waited for, and who forgets to wait has nothing.
TEST(Backend, ReadsAreCompleteWhenWaitedFor) {
  ThreadPool pool(1);
  const Model model = Model::open("tests/golden/models/tiny_llama.gguf");
  Backend backend = make_backend({.device = "guarded"}, model, pool);
  const int32_t prompt[] = {3, 1, 4};
  const Prefilled prefilled = prefill(backend, model, prompt, {});
  std::vector<std::byte> keys(static_cast<size_t>(model.shape().n_kv_head * model.shape().d_head) * 2 * 3);
  const std::vector<std::byte> nothing = keys;
  backend.model->read(*prefilled.sequence, Item::keys, 1, 0, 3, keys);
  EXPECT_EQ(keys, nothing);
  backend.model->wait();
  EXPECT_NE(keys, nothing);
  EXPECT_THROW(backend.model->read(*prefilled.sequence, Item::keys, 1, 0, 2, keys), Error) << "room for other rows";
}

TEST(BackendMemoryDeathTest, GuardedBuffersCannotBeReadBetweenOperations) {
  BackendMemory memory(BackendMemory::Kind::guarded);
  volatile int* value = nullptr;
  {
    const BackendMemory::Access access(memory);
    value = static_cast<int*>(memory.resource()->allocate(sizeof(int)));
    *value = 3;
    EXPECT_EQ(*value, 3);
  }
  EXPECT_DEATH({ [[maybe_unused]] const int stolen = *value; }, "");
}

TEST(Measures, KnownAnswers) {
  const float rows[] = {0.5F, 0.3F, 0.1F, 0.1F, 0.1F, 0.1F, 0.3F, 0.5F};  // [2][4], mean .3 .2 .2 .3
  const int32_t set[] = {0, 1};
  const Mass mass = measure_mass(rows, 2, set);
  EXPECT_NEAR(mass.recovered, 0.5, 1e-7);
  EXPECT_NEAR(mass.oracle, 0.6, 1e-7);
  const std::vector<double> score = scores_of(rows, 2, Reduce::max, 1);  // .5 .3 .3 .5
  EXPECT_EQ(selection_margin(score, 2), (0.5 - static_cast<double>(0.3F)) / 0.5);
  EXPECT_NEAR(selection_margin(score, 1), 0.4, 1e-6) << "a cut through a plateau counts to the next different score";
  EXPECT_TRUE(std::isinf(selection_margin(score, 4)));
  const Select by_weight = {.keep = 3, .min_weight = 0.4, .least = 1};  // 0.5 and 0.5 stay, of 0.3 and 0.3 none
  EXPECT_NEAR(selection_margin(score, by_weight), 0.25, 1e-6) << "the nearest of the best three to the weight";
  EXPECT_EQ(selection_margin(score, {.keep = 2, .min_weight = 0.1}), selection_margin(score, 2))
      << "all K are above the weight: the cut is that of K";
  EXPECT_NEAR(selection_margin(score, {.keep = 3, .min_weight = 0.9, .least = 2}), 0.4, 1e-6)
      << "none is above it: the cut is that of the fewest, nearer than 0.3 is to the weight";
  EXPECT_TRUE(std::isinf(selection_margin(score, {.keep = 0, .min_weight = 0.9}))) << "nothing is chosen";
  const Overlap overlap = measure_overlap(score, 2, set);  // top-2 = {0, 3}
  EXPECT_EQ(overlap.overlap, 0.5);
  EXPECT_NEAR(overlap.jaccard, 1.0 / 3, 1e-12);
  const float logits[] = {0, 0}, other[] = {0, 1e9F};
  EXPECT_NEAR(kl_divergence(log_softmax(logits), log_softmax(logits)), 0, 1e-15);
  EXPECT_GT(kl_divergence(log_softmax(logits), log_softmax(other)), 1e8);
}

}  // namespace
}  // namespace reattend
