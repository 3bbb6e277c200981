// What users of any policy rely on, in the engine: complete sets are full attention bit for bit, a fork is a fresh run,
// what is published as a special case of another setting is that setting, and no policy recovers more than the oracle.
#include <gtest/gtest.h>

#include <fstream>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "engine/generate.h"
#include "engine/model/gguf.h"
#include "kernels/measures/row_measures.h"
#include "tests/engine/tiny_engine.h"

namespace reattend {
namespace {

using testing::kPrompt, testing::kSteps, testing::make;

/// Every policy with a budget, at it.
std::vector<Settings> all_with(int64_t budget) {
  std::vector<Settings> all;
  for (const PolicyInfo& info : policy_registry()) {
    Settings settings(info.name);
    if (!info.takes("K")) continue;
    settings.set("K", budget);
    if (info.takes("window")) settings.set("window", std::min<int64_t>(8, budget));
    if (info.takes("dense_layers")) settings.set("dense_layers", std::vector<int64_t>{});
    all.push_back(settings);
  }
  return all;
}

/// Keeps what a run did and how much of the full row it read.
struct Log final : Observer {
  explicit Log(const ModelShape& s) : shape(s) {}
  const ModelShape& shape;
  std::vector<float> logits;
  std::map<std::tuple<int32_t, int32_t, int32_t>, std::vector<int32_t>> sets;  ///< (t, layer, KV head), sorted
  double mass = 0, oracle = 0;
  int64_t n_full = 0;

  bool needs_full_rows() const override { return true; }
  void attended(const LayerView& view) override {
    for (int32_t g = 0; g < shape.n_kv_head; ++g) {
      const std::span<const int32_t> attended = view.attended(g);
      std::vector<int32_t>& set = sets[{view.step(), view.layer(), g}];
      set.assign(attended.begin(), attended.end());
      std::sort(set.begin(), set.end());
      const Mass one = measure_mass(view.full_row(g), shape.group(), set);
      mass += one.recovered, oracle += one.oracle;
    }
  }
  void step_end(const StepView& step) override {
    logits.insert(logits.end(), step.logits().begin(), step.logits().end());
    for (const HeadLog& head : step.heads) n_full += head.full ? 1 : 0;
  }
};

using EveryPolicy = testing::TinyEngine<Log>;

TEST_F(EveryPolicy, WithRoomForEverythingIsFullAttentionBitForBit) {
  const Log full = run(Settings("full"));
  for (const Settings& settings : all_with(kPrompt + kSteps)) {
    EXPECT_EQ(run(settings).logits, full.logits) << settings.summary();
  }
  EXPECT_EQ(run(make("recycled", {{"K", int64_t{16}}, {"S", int64_t{1}}})).logits, full.logits);
  EXPECT_EQ(run(make("streaming_refresh", {{"K", int64_t{16}}, {"S", int64_t{1}}})).logits, full.logits);
}

TEST_F(EveryPolicy, WithLittleRoomIsNotFullAttention) {
  const Log full = run(Settings("full"));
  for (const Settings& settings : all_with(16)) EXPECT_NE(run(settings).logits, full.logits) << settings.summary();
}

/// Budgets that the run itself outgrows: from there on something is left out, not before.
TEST_F(EveryPolicy, IsFullAttentionUntilTheBudgetIsOutgrown) {
  for (const Settings& settings : all_with(kPrompt + 9)) {
    const std::string& policy = settings.policy();
    const Log log = run(settings);
    for (int32_t t = 1; t <= kSteps; ++t) {
      const size_t n = log.sets.at({t, 0, 0}).size(), everything = static_cast<size_t>(kPrompt + t);
      if (t <= 9) {
        EXPECT_EQ(n, everything) << settings.summary() << " t " << t;
      }
      const bool grows = policy == "snapkv" || policy == "pyramidkv";  // they keep what is generated
      if (t == kSteps && !grows && policy != "tokenselect" && t % 10 != 0) {
        EXPECT_LT(n, everything) << settings.summary();
      }
    }
  }
}

TEST_F(EveryPolicy, ContinuesAForkAsAFreshRunDoes) {
  for (const Settings& settings : all_with(24)) {
    const Log forked = run(settings);
    run(Settings("full"));  // writes its own tail behind the same prompt
    EXPECT_EQ(run(settings).logits, forked.logits) << settings.summary();
    const Prefilled again = fresh(backend_, model_);
    EXPECT_EQ(continue_on(*again.sequence, settings).logits, forked.logits) << settings.summary();
  }
}

/// What another policy chose after the same prompt (kept sets, sums, page bounds) is not carried over.
TEST_F(EveryPolicy, StartsAnewOnAForkOfTheSamePrompt) {
  for (const Settings& first : all_with(24)) {
    const auto fork = backend_.model->fork(*prefilled_.sequence);
    generate(backend_, model_, *fork, prefilled_,
             {.settings = first, .n_step = 0, .next_token = [](int32_t, StepLogits&) { return 0; }});
    for (const char* second : {"h2o", "tova", "recycled", "quest", "sketch"}) {
      Settings settings(second);
      settings.set("K", int64_t{24});
      const auto next = backend_.model->fork(*fork);
      EXPECT_EQ(continue_on(*next, settings).logits, run(settings).logits) << first.policy() << " then " << second;
    }
  }
}

TEST_F(EveryPolicy, ShadowRunIsFullAttention) {
  const Log full = run(Settings("full"));
  for (const Settings& settings : all_with(24)) {
    const Log shadow = run(settings, true);
    EXPECT_EQ(shadow.logits, full.logits) << settings.summary();
    EXPECT_EQ(shadow.sets.at({1, 0, 0}), run(settings).sets.at({1, 0, 0}))
        << "the first layer's first step sees the same";
  }
}

TEST_F(EveryPolicy, RecoversNoMoreThanTheOracle) {
  const Log best =
      run(make("oracle", {{"K", int64_t{24}}, {"reduce", std::string("mean")}, {"pool", int64_t{1}}}), true);
  for (const Settings& settings : all_with(24)) {
    const Log log = run(settings, true);  // shadow: everybody sees the same rows
    EXPECT_LE(log.mass, log.oracle * (1 + 1e-6)) << settings.summary();
    bool same_size = true;
    for (const auto& [at, set] : log.sets) same_size = same_size && set.size() <= 25;
    if (same_size) {
      EXPECT_LE(log.mass, best.mass * (1 + 1e-6)) << settings.summary();
    }
  }
}

TEST_F(EveryPolicy, TokenSelectAboveAnyCosineSelectsAtEveryStep) {
  const Log never = run(make("tokenselect", {{"K", int64_t{24}}, {"threshold", 1.5}}));
  const Log off = run(make("tokenselect", {{"K", int64_t{24}}, {"selection_cache", std::string("off")}}));
  const Log cached = run(make("tokenselect", {{"K", int64_t{24}}, {"threshold", -1.0}}));
  EXPECT_EQ(never.logits, off.logits);
  EXPECT_EQ(never.n_full, int64_t{kSteps} * model_.shape().n_layer * model_.shape().n_kv_head);
  EXPECT_EQ(cached.n_full, int64_t{model_.shape().n_layer} * model_.shape().n_kv_head) << "once, at the first step";
}

TEST_F(EveryPolicy, LayersFollowTheirOwnBudgets) {
  for (const Settings& same : all_with(24)) {
    Settings settings = same;
    settings.set("K", std::vector<int64_t>{24, 40, 64});
    const Log log = run(settings);
    const bool pyramid = settings.policy() == "pyramidkv";
    for (int32_t layer = 0; layer < 3; ++layer) {
      const int64_t k = layer == 0 ? 24 : layer == 1 ? 40 : 64;
      const auto n = static_cast<int64_t>(log.sets.at({1, layer, 0}).size());
      if (pyramid) {
        EXPECT_EQ(n, layer == 0   ? 8 + 16 * 39 / 20 + 1
                     : layer == 1 ? k + 1
                                  : 8 + 56 / 20 + 1)
            << "C (2 beta - 1) / beta, C, C / beta";
      } else {
        // Quest's last page may be a part of one.
        EXPECT_GE(n, settings.policy() == "quest" ? k - 15 : k) << settings.summary();
        EXPECT_LE(n, (settings.policy() == "quest" ? (k + 15) / 16 * 16 : k) + 1) << settings.summary();
      }
    }
  }
}

/// A stream has no end: what streaming has left behind is given back, for as long as nobody looks at whole rows.
TEST_F(EveryPolicy, StreamingGivesBackWhatItHasLeft) {
  constexpr int32_t kLong = 3000;
  const auto run_long = [&](const Settings& settings, std::span<Observer* const> observers) {
    const auto sequence = backend_.model->new_sequence(kPrompt + kLong, {.window = 64});
    prefill_more(backend_, model_, *sequence, prompt_, 0, {});
    Prefilled prompt{.prompt = prompt_, .logits = prefilled_.logits};
    const Generated out = generate(backend_, model_, *sequence, prompt,
                                   {.settings = settings,
                                    .n_step = kLong,
                                    .next_token = [](int32_t t, StepLogits&) { return t * 17 % 288; },
                                    .hash = true,
                                    .observers = observers});
    bool whole = true;
    std::vector<std::byte> keys(static_cast<size_t>(model_.shape().n_kv_head * model_.shape().d_head) * 2);
    try {
      backend_.model->read(*sequence, Item::keys, 0, 300, 1, keys);
    } catch (const Error&) {
      whole = false;
    }
    return std::pair(out.logits_hash, whole);
  };
  const Settings settings = make("streaming", {{"K", int64_t{40}}});
  const auto [cut_hash, cut_whole] = run_long(settings, {});
  EXPECT_FALSE(cut_whole);
  Log log(model_.shape());
  Observer* observers[] = {&log};
  const auto [hash, whole] = run_long(settings, observers);
  EXPECT_TRUE(whole) << "a measuring observer reads all keys";
  EXPECT_EQ(cut_hash, hash);
  EXPECT_TRUE(run_long(make("streaming_refresh", {{"K", int64_t{40}}}), {}).second) << "full steps read everything";
}

TEST_F(EveryPolicy, SaysWhatAPromptLacks) {
  const Prefilled plain = prefill(backend_, model_, prompt_, {.n_ctx = kPrompt + kSteps});
  const auto message = [&](const Settings& settings) {
    const auto sequence = backend_.model->fork(*plain.sequence);
    try {
      continue_on(*sequence, settings);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message(Settings("h2o")).find("sums of the prompt's attention rows"), std::string::npos);
  EXPECT_EQ(message(make("snapkv", {{"K", int64_t{64}}})), "") << "the usual windows are always kept";
  EXPECT_NE(message(make("snapkv", {{"K", int64_t{100}}, {"window", int64_t{65}}})).find("last 65 prompt tokens"),
            std::string::npos);
}

/// The tiny model with the first and the last query head of every group exchanged: rows of attn_q, columns of
/// attn_output. What it computes is the same but for the order of sums.
std::vector<std::byte> with_heads_exchanged(const Model& model) {
  const ModelShape& shape = model.shape();
  std::ifstream in(model.path(), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto all = std::as_bytes(std::span(text));
  std::vector<std::byte> bytes(all.begin(), all.end());
  const Gguf file = Gguf::parse("a copy", bytes);
  const int64_t d = shape.d_head, n_in = shape.d_model, q_width = int64_t{shape.n_head} * d;
  for (const GgufTensor& tensor : file.tensors()) {
    const bool is_query = tensor.view.name.ends_with("attn_q.weight");
    if (!is_query && !tensor.view.name.ends_with("attn_output.weight")) continue;
    auto* const w = reinterpret_cast<float*>(bytes.data() + (tensor.view.bytes.data() - bytes.data()));
    for (int32_t g = 0; g < shape.n_kv_head; ++g) {
      const int64_t a = int64_t{g} * shape.group() * d, b = a + (shape.group() - 1) * d;
      if (is_query) {
        std::swap_ranges(w + a * n_in, w + (a + d) * n_in, w + b * n_in);
      } else {
        for (int64_t row = 0; row < n_in; ++row) {
          std::swap_ranges(w + row * q_width + a, w + row * q_width + a + d, w + row * q_width + b);
        }
      }
    }
  }
  return bytes;
}

TEST_F(EveryPolicy, DoesNotDependOnTheOrderOfAGroupsHeads) {
  const std::vector<std::byte> bytes = with_heads_exchanged(model_);
  const Model other = Model::from(Gguf::parse("exchanged", bytes));
  const BackendOptions exact = {.kv = KvType::f32, .activations = Activations::f32};
  const auto sets_of = [&](const Model& model, const Settings& settings) {
    Backend backend = make_backend(exact, model, pool_);
    const Prefilled prefilled = fresh(backend, model);
    return continue_on(backend, model, prefilled, *prefilled.sequence, settings).sets;
  };
  for (const Settings& settings : all_with(24)) {
    EXPECT_EQ(sets_of(model_, settings), sets_of(other, settings)) << settings.summary();
  }
}

}  // namespace
}  // namespace reattend
