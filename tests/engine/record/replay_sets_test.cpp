// A replay attends to the very positions that the engine attended to, on the engine's own trace and on shadow runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <set>

#include "engine/record/recorder.h"
#include "replay/replay.h"
#include "tests/support/arrays.h"
#include "tests/support/default_model.h"

namespace reattend::testing {
namespace {

/// Every set that the policy chose, sorted, and every decision: [t - 1][layer][kv head].
struct SetObserver final : Observer {
  explicit SetObserver(const ModelShape& s) : shape(s) {}
  void attended(const LayerView& view) override {
    for (int32_t g = 0; g < shape.n_kv_head; ++g) {
      const std::span<const int32_t> set = view.attended(g);
      std::vector<int32_t>& sorted = sets.emplace_back(set.begin(), set.end());
      std::sort(sorted.begin(), sorted.end());
    }
  }
  void step_end(const StepView& step) override {
    for (const HeadLog& head : step.heads) full.push_back(head.full ? 1 : 0), cosine.push_back(head.cosine);
    attend += step.bytes.attend, select += step.bytes.select;
  }
  const ModelShape& shape;
  std::vector<std::vector<int32_t>> sets;
  std::vector<uint8_t> full;
  std::vector<float> cosine;
  int64_t attend = 0, select = 0;  ///< bytes read
};

struct Case {
  const char* name;
  const char* policy;
  std::vector<std::pair<const char*, Value>> values;

  Settings settings() const {
    Settings out(policy);
    for (const auto& [key, value] : values) out.set(key, value);
    return out;
  }
};

void PrintTo(const Case& test, std::ostream* out) {
  *out << test.name;
}

/// A model, a prompt and what comes of them under a policy.
class Bench {
 public:
  Bench(const std::filesystem::path& model, int32_t n_prompt, int32_t n_step, const BackendOptions& options = {})
      : n_step_(n_step), model_(Model::open(model)), backend_(make_backend(options, model_, pool_)) {
    for (int32_t i = 0; i < n_prompt; ++i) prompt_.push_back((i * 31 + i / 5) % model_.shape().n_vocab);
  }

  /// Runs and records; what the policy chose comes back.
  SetObserver run(const std::filesystem::path& path, const Settings& settings, bool shadow) {
    const ModelShape& shape = model_.shape();
    TraceWriter writer(path, true);
    TraceHeader header = header_for(shape, prompt_);
    header.model = "tiny";
    header.kv_type = backend_.kv;
    header.settings = settings;
    header.shadow = shadow;
    header.has_prompt_row_sums = true;
    header.vocab.resize(shape.n_vocab, "x");
    Recorder recorder(writer, header, shape, pool_);
    SetObserver observer(shape);
    Observer* observers[] = {&recorder, &observer};
    if (!prefilled_.sequence) {
      prefilled_ =
          prefill(backend_, model_, prompt_,
                  {.n_ctx = static_cast<int32_t>(prompt_.size()) + n_step_, .needs = {.prompt = {.row_sums = true}}});
    }
    const auto sequence = backend_.model->fork(*prefilled_.sequence);
    generate(backend_, model_, *sequence, prefilled_,
             {.settings = settings,
              .n_step = n_step_,
              .shadow = shadow,
              .next_token = [&](int32_t t, StepLogits&) { return (t * 29) % shape.n_vocab; },
              .observers = observers});
    return observer;
  }

  ReplayResult replay(const std::filesystem::path& trace, const Settings& settings) {
    Replayer replayer(TraceReader::open(trace), pool_);
    return replayer.run({.settings = settings, .output_error = false, .keep_sets = true}, {}, Cancel());
  }

  void expect_same(const ReplayResult& replay, const SetObserver& engine) const {
    const ModelShape& shape = model_.shape();
    ASSERT_EQ(replay.layers.size(), static_cast<size_t>(shape.n_layer));
    for (const LayerReplay& layer : replay.layers) {
      for (int32_t i = 0; i < n_step_ * shape.n_kv_head; ++i) {
        const size_t at = unit_at(layer.layer, i);
        ASSERT_EQ(layer.full[i], engine.full[at]) << "layer " << layer.layer << " entry " << i;
        ASSERT_EQ(layer.sets[i].list(), engine.sets[at]) << "layer " << layer.layer << " entry " << i;
        ASSERT_TRUE(layer.cos[i] == engine.cosine[at] || (std::isnan(layer.cos[i]) && std::isnan(engine.cosine[at])))
            << layer.cos[i] << " " << engine.cosine[at] << ", layer " << layer.layer << " entry " << i;
      }
    }
  }
  /// Where a replayed layer's entry i = (t - 1) * n_kv_head + g stands in a SetObserver.
  size_t unit_at(int32_t layer, int32_t i) const {
    const ModelShape& shape = model_.shape();
    return static_cast<size_t>(i / shape.n_kv_head * shape.n_layer + layer) * shape.n_kv_head + i % shape.n_kv_head;
  }
  int32_t n_entry() const { return n_step_ * model_.shape().n_kv_head; }

 private:
  int32_t n_step_;
  ThreadPool pool_{2};
  Model model_;
  Backend backend_;
  std::vector<int32_t> prompt_;
  Prefilled prefilled_;
};

constexpr int32_t kPrompt = 290, kSteps = 33;

class ReplaySets : public ::testing::TestWithParam<Case> {
 protected:
  static Settings settings() { return GetParam().settings(); }
  Bench bench_{"tests/golden/models/tiny_llama.gguf", kPrompt, kSteps};
};

TEST_P(ReplaySets, OfTheEnginesOwnTraceAreTheEngines) {
  const ScratchFolder folder;
  const SetObserver engine = bench_.run(folder / "own.h5", settings(), false);
  const ReplayResult replay = bench_.replay(folder / "own.h5", settings());
  bench_.expect_same(replay, engine);
  EXPECT_EQ(std::llround(replay.total.bytes_attend * kSteps), engine.attend);
  EXPECT_EQ(std::llround(replay.total.bytes_select * kSteps), engine.select);
}

/// A free run's errors feed back, so a replay of the full trace is only an estimate of it: how good, is printed.
TEST_P(ReplaySets, OfAFullTraceEstimateTheFreeRun) {
  const ScratchFolder folder;
  bench_.run(folder / "full.h5", Settings("full"), false);
  const SetObserver free = bench_.run(folder / "free.h5", settings(), false);
  double sum = 0;
  size_t n = 0;
  for (const LayerReplay& layer : bench_.replay(folder / "full.h5", settings()).layers) {
    for (int32_t i = 0; i < bench_.n_entry(); ++i, ++n) {
      const std::vector<int32_t> mine = layer.sets[i].list();
      const std::vector<int32_t>& theirs = free.sets[bench_.unit_at(layer.layer, i)];
      std::vector<int32_t> both;
      std::set_intersection(mine.begin(), mine.end(), theirs.begin(), theirs.end(), std::back_inserter(both));
      const auto n_both = static_cast<double>(both.size());
      sum += n_both / (static_cast<double>(mine.size() + theirs.size()) - n_both);
    }
  }
  const double jaccard = sum / static_cast<double>(n);
  std::printf("%s: replay of the full trace against the free run, mean Jaccard %.3f\n", GetParam().name, jaccard);
  EXPECT_GT(jaccard, 0.3) << "an estimate this far off would mislead";
  EXPECT_LE(jaccard, 1.0);
}

TEST_P(ReplaySets, OfAFullTraceAreTheShadowRuns) {
  const ScratchFolder folder;
  bench_.run(folder / "full.h5", Settings("full"), false);
  const SetObserver shadow = bench_.run(folder / "shadow.h5", settings(), true);
  bench_.expect_same(bench_.replay(folder / "full.h5", settings()), shadow);
  bench_.expect_same(bench_.replay(folder / "shadow.h5", settings()), shadow);
}

Value text(const char* s) {
  return std::string(s);
}
using List = std::vector<int64_t>;
using Reals = std::vector<double>;

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"full", "full", {}},
      {"fixed", "recycled", {{"K", int64_t{24}}, {"S", int64_t{5}}}},
      {"never", "recycled", {{"K", int64_t{9}}, {"S", Value{}}}},
      {"query", "recycled", {{"K", int64_t{24}}, {"S", int64_t{2}}, {"schedule", text("query")}, {"threshold", 0.4}}},
      {"query_kv_post",
       "recycled",
       {{"K", int64_t{24}},
        {"S", int64_t{2}},
        {"schedule", text("query")},
        {"threshold", 0.4},
        {"granularity", text("kv_head")},
        {"similarity_query", text("post_rope")},
        {"similarity_reduce", text("min_cosine")}}},
      {"score_only_mean",
       "recycled",
       {{"K", text("L/8")},
        {"S", int64_t{7}},
        {"refresh", text("score_only")},
        {"reduce", text("mean")},
        {"pool", int64_t{1}}}},
      {"dense", "recycled", {{"K", int64_t{16}}, {"S", int64_t{6}}, {"dense_layers", List{1}}}},
      {"per_layer", "recycled", {{"K", List{8, 300, 64}}, {"S", List{3, 4, 50}}}},
      {"per_layer_query",
       "recycled",
       {{"K", List{8, 300, 64}},
        {"S", List{1, 2, 3}},
        {"schedule", text("query")},
        {"threshold", Reals{0.2, 0.4, 0.6}}}},
      {"streaming", "streaming", {{"K", int64_t{20}}}},
      {"streaming_cache", "streaming", {{"K", int64_t{20}}, {"rotate", text("cache")}}},
      {"streaming_refresh", "streaming_refresh", {{"K", int64_t{20}}, {"S", int64_t{4}}}},
      {"streaming_refresh_cache",
       "streaming_refresh",
       {{"K", List{1, 20, 300}}, {"S", List{5, 4, 3}}, {"rotate", text("cache")}}},
      {"oracle", "oracle", {{"K", int64_t{24}}}},
      {"oracle_mean_one", "oracle", {{"K", List{1, 24, 300}}, {"reduce", text("mean")}, {"pool", int64_t{1}}}},
      {"h2o", "h2o", {{"K", int64_t{24}}}},
      {"h2o_odd_mean", "h2o", {{"K", int64_t{25}}, {"reduce", text("mean")}}},
      {"h2o_one", "h2o", {{"K", int64_t{1}}}},
      {"h2o_per_layer", "h2o", {{"K", List{7, 300, 64}}, {"reduce", text("first")}}},
      {"snapkv", "snapkv", {{"K", int64_t{48}}}},
      {"snapkv_window_is_all", "snapkv", {{"K", int64_t{64}}, {"window", int64_t{64}}}},
      {"snapkv_per_layer", "snapkv", {{"K", List{5, 64, 300}}, {"window", int64_t{5}}, {"reduce", text("mean")}}},
      {"pyramidkv", "pyramidkv", {{"K", int64_t{30}}}},
      {"pyramidkv_beta", "pyramidkv", {{"K", List{30, 60, 90}}, {"window", int64_t{3}}, {"beta", int64_t{4}}}},
      {"tova", "tova", {{"K", int64_t{24}}}},
      {"tova_one", "tova", {{"K", int64_t{1}}}},
      {"tova_per_layer", "tova", {{"K", List{300, 17, 290}}}},
      {"quest", "quest", {{"K", int64_t{40}}}},
      {"quest_pages_of_5", "quest", {{"K", int64_t{33}}, {"page", int64_t{5}}, {"dense_layers", List{1}}}},
      {"quest_pages_of_1", "quest", {{"K", List{1, 20, 300}}, {"page", int64_t{1}}, {"dense_layers", List{}}}},
      {"quest_pages_of_256", "quest", {{"K", int64_t{40}}, {"page", int64_t{256}}, {"dense_layers", List{}}}},
      {"sketch", "sketch", {{"K", int64_t{48}}}},
      {"sketch_of_nothing", "sketch", {{"K", List{20, 48, 3}}}},  // sinks and recent ones take the outer layers' budget
      {"sketch_blocks_of_20",
       "sketch",
       {{"K", List{24, 300, 61}},
        {"block", int64_t{20}},
        {"bits", int64_t{3}},
        {"recent", int64_t{5}},
        {"pool", int64_t{3}}}},
      {"sketch_reused", "sketch", {{"K", int64_t{48}}, {"reuse", 0.5}}},
      {"sketch_by_weight",
       "sketch",
       {{"K", int64_t{64}}, {"min_weight", 0.01}, {"min_k", int64_t{8}}, {"dense_layers", List{1}}}},
      {"tokenselect", "tokenselect", {{"K", int64_t{48}}, {"threshold", 0.4}}},
      {"tokenselect_off", "tokenselect", {{"K", int64_t{48}}, {"selection_cache", text("off")}}},
      {"tokenselect_per_layer",
       "tokenselect",
       {{"K", List{16, 300, 48}}, {"threshold", Reals{0.2, 0.9, 1.5}}, {"similarity_query", text("post_rope")}}},
      {"tokenselect_parts",
       "tokenselect",
       {{"n_init", int64_t{0}}, {"n_local", int64_t{3}}, {"k", int64_t{20}}, {"threshold", -1.0}}},
  };
  return all;
}

INSTANTIATE_TEST_SUITE_P(Policies, ReplaySets, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(ReplaySetsOfAll, NoPolicyIsLeftOut) {
  std::set<std::string_view> tried;
  for (const Case& each : cases()) tried.insert(each.policy);
  for (const PolicyInfo& info : policy_registry()) EXPECT_TRUE(tried.contains(info.name)) << info.name;
}

/// A trace stores what keys and values of these caches stand for: the replay's scores must still be the engine's bits,
/// and what it counts the cache's bytes.
TEST(ReplaySetsOfAll, EveryCacheTypeIsReplayed) {
  const ScratchFolder folder;
  for (const KvType type : kKvTypes) {
    Bench bench("tests/golden/models/tiny_llama.gguf", kPrompt, kSteps, {.kv = type});
    for (const Case& each : cases()) {
      static const std::set<std::string_view> kSome = {"fixed",  "query_kv_post", "streaming_cache", "h2o",   "tova",
                                                       "snapkv", "quest",         "tokenselect",     "sketch"};
      if (!kSome.contains(each.name)) continue;
      SCOPED_TRACE(std::string(name_of(type)) + " " + each.name);
      const SetObserver engine = bench.run(folder / "own.h5", each.settings(), false);
      EXPECT_EQ(TraceReader::open(folder / "own.h5")->info().kv_type, type);
      const ReplayResult replay = bench.replay(folder / "own.h5", each.settings());
      bench.expect_same(replay, engine);
      EXPECT_EQ(std::llround(replay.total.bytes_attend * kSteps), engine.attend);
      EXPECT_EQ(std::llround(replay.total.bytes_select * kSteps), engine.select);
    }
  }
}

/// A prompt no longer than the window is chosen by all of its queries.
TEST(ReplaySetsOfAll, AWindowAsLongAsThePromptIsReplayed) {
  const ScratchFolder folder;
  Bench bench("tests/golden/models/tiny_llama.gguf", 32, 12);
  const Settings settings = Case{"", "snapkv", {{"K", int64_t{40}}, {"window", int64_t{40}}}}.settings();
  const SetObserver engine = bench.run(folder / "own.h5", settings, false);
  bench.expect_same(bench.replay(folder / "own.h5", settings), engine);
}

TEST(ReplaySetsModel, TheRealModelsRunsAreReplayedExactly) {
  const auto model = default_model();
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "no model at " << model;
  const ScratchFolder folder;
  Bench bench(model, 700, 12);
  bench.run(folder / "full.h5", Settings("full"), false);
  for (const Case& each :
       {Case{"h2o", "h2o", {{"K", int64_t{88}}}}, Case{"tova", "tova", {{"K", int64_t{88}}}},
        Case{"quest", "quest", {{"K", int64_t{88}}}},
        Case{"tokenselect", "tokenselect", {{"K", int64_t{88}}, {"threshold", 0.7}}},
        Case{"pyramidkv", "pyramidkv", {{"K", int64_t{88}}}}, Case{"oracle", "oracle", {{"K", int64_t{88}}}}}) {
    SCOPED_TRACE(each.name);
    const SetObserver engine = bench.run(folder / "own.h5", each.settings(), false);
    bench.expect_same(bench.replay(folder / "own.h5", each.settings()), engine);
    const SetObserver shadow = bench.run(folder / "shadow.h5", each.settings(), true);
    bench.expect_same(bench.replay(folder / "full.h5", each.settings()), shadow);
  }
}

}  // namespace
}  // namespace reattend::testing
