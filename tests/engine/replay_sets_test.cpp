// A replay attends to the very positions that the engine attended to, on the engine's own trace and on shadow runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "engine/record/recorder.h"
#include "tests/support/arrays.h"
#include "traces/replay/replay.h"

namespace reattend::testing {
namespace {

constexpr int32_t kPrompt = 290, kSteps = 33;

/// Every set that the policy chose, sorted, and every decision: [t - 1][layer][kv head].
struct SetKeeper final : Observer {
  explicit SetKeeper(const ModelShape& s) : shape(s) {}
  void attended(ModelOps& ops, Sequence& sequence, int32_t t, int32_t layer) override {
    for (int32_t g = 0; g < shape.n_kv_head; ++g) {
      std::vector<int32_t>& set = sets.emplace_back(kPrompt + t);
      set.resize(
          static_cast<size_t>(ops.read(sequence, Item::set, layer, g, 0, 0, std::as_writable_bytes(std::span(set)))));
      std::sort(set.begin(), set.end());
    }
  }
  void step_end(const StepView& step) override {
    for (const HeadLog& head : step.heads) full.push_back(head.full ? 1 : 0);
  }
  const ModelShape& shape;
  std::vector<std::vector<int32_t>> sets;
  std::vector<uint8_t> full;
};

struct Case {
  const char* name;
  std::vector<std::pair<const char*, Value>> values;
};

void PrintTo(const Case& test, std::ostream* out) {
  *out << test.name;
}

class ReplaySets : public ::testing::TestWithParam<Case> {
 protected:
  ReplaySets() : model_(Model::open("tests/golden/models/tiny_llama.gguf")), backend_(make_backend({}, model_, pool_)) {
    for (int32_t i = 0; i < kPrompt; ++i) prompt_.push_back((i * 31 + i / 5) % model_.shape().n_vocab);
  }
  static Settings settings() {
    const Case& test = GetParam();
    Settings out(std::string(test.name).starts_with("streaming") ? "streaming" : "recycled");
    for (const auto& [key, value] : test.values) out.set(key, value);
    return out;
  }
  /// Runs and records; what the policy chose comes back.
  SetKeeper run(const std::filesystem::path& path, const Settings& settings, bool shadow) {
    const ModelShape& shape = model_.shape();
    TraceWriter writer(path, true);
    TraceHeader header = header_for(shape, prompt_);
    header.model = "tiny";
    header.settings = settings;
    header.shadow = shadow;
    header.vocab.resize(shape.n_vocab, "x");
    Recorder recorder(writer, header, shape);
    SetKeeper keeper(shape);
    Observer* recorders[] = {&recorder};
    Observer* both[] = {&recorder, &keeper};
    Prefilled prefilled = prefill(backend_, model_, prompt_, {.n_ctx = kPrompt + kSteps, .observers = recorders});
    generate(backend_, model_, *prefilled.sequence, prefilled,
             {.settings = settings,
              .n_step = kSteps,
              .shadow = shadow,
              .next_token = [&](int32_t t, std::span<const float>) { return (t * 29) % shape.n_vocab; },
              .observers = both});
    return keeper;
  }
  /// Where a replayed layer's entry i = (t - 1) * n_kv_head + g stands in a SetKeeper.
  size_t unit_at(int32_t layer, int32_t i) const {
    const ModelShape& shape = model_.shape();
    return static_cast<size_t>(i / shape.n_kv_head * shape.n_layer + layer) * shape.n_kv_head + i % shape.n_kv_head;
  }
  void expect_same(const std::filesystem::path& trace, const SetKeeper& engine) {
    Replayer replayer(TraceReader::open(trace), pool_);
    const ReplayResult replay =
        replayer.run({.settings = settings(), .output_error = false, .keep_sets = true}, {}, Cancel());
    const ModelShape& shape = model_.shape();
    ASSERT_EQ(replay.layers.size(), static_cast<size_t>(shape.n_layer));
    for (const LayerReplay& layer : replay.layers) {
      for (int32_t i = 0; i < kSteps * shape.n_kv_head; ++i) {
        const size_t at = unit_at(layer.layer, i);
        ASSERT_EQ(layer.full[i], engine.full[at]) << "layer " << layer.layer << " entry " << i;
        ASSERT_EQ(layer.sets[i], engine.sets[at]) << "layer " << layer.layer << " entry " << i;
      }
    }
  }

  ThreadPool pool_{2};
  Model model_;
  Backend backend_;
  std::vector<int32_t> prompt_;
};

TEST_P(ReplaySets, OfTheEnginesOwnTraceAreTheEngines) {
  const ScratchFolder folder;
  const SetKeeper engine = run(folder / "own.h5", settings(), false);
  expect_same(folder / "own.h5", engine);
}

/// A free run's errors feed back, so a replay of the full trace is only an estimate of it: how good, is printed.
TEST_P(ReplaySets, OfAFullTraceEstimateTheFreeRun) {
  const ScratchFolder folder;
  run(folder / "full.h5", Settings("full"), false);
  const SetKeeper free = run(folder / "free.h5", settings(), false);
  Replayer replayer(TraceReader::open(folder / "full.h5"), pool_);
  const ReplayResult replay =
      replayer.run({.settings = settings(), .output_error = false, .keep_sets = true}, {}, Cancel());
  double sum = 0;
  size_t n = 0;
  for (const LayerReplay& layer : replay.layers) {
    for (int32_t i = 0; i < kSteps * model_.shape().n_kv_head; ++i, ++n) {
      const std::vector<int32_t>& mine = layer.sets[i];
      const std::vector<int32_t>& theirs = free.sets[unit_at(layer.layer, i)];
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
  run(folder / "full.h5", Settings("full"), false);
  const SetKeeper shadow = run(folder / "shadow.h5", settings(), true);
  expect_same(folder / "full.h5", shadow);
  expect_same(folder / "shadow.h5", shadow);
}

const Value kMean = std::string("mean"), kQuery = std::string("query");
INSTANTIATE_TEST_SUITE_P(
    Policies, ReplaySets,
    ::testing::Values(Case{"fixed", {{"K", int64_t{24}}, {"S", int64_t{5}}}},
                      Case{"never", {{"K", int64_t{9}}, {"S", Value{}}}},
                      Case{"query", {{"K", int64_t{24}}, {"S", int64_t{2}}, {"schedule", kQuery}, {"threshold", 0.4}}},
                      Case{"query_kv_post",
                           {{"K", int64_t{24}},
                            {"S", int64_t{2}},
                            {"schedule", kQuery},
                            {"threshold", 0.4},
                            {"granularity", std::string("kv_head")},
                            {"similarity_query", std::string("post_rope")},
                            {"similarity_reduce", std::string("min_cosine")}}},
                      Case{"score_only_mean",
                           {{"K", std::string("L/8")},
                            {"S", int64_t{7}},
                            {"refresh", std::string("score_only")},
                            {"reduce", kMean},
                            {"pool", int64_t{1}}}},
                      Case{"dense", {{"K", int64_t{16}}, {"S", int64_t{6}}, {"dense_layers", std::vector<int64_t>{1}}}},
                      Case{"per_layer",
                           {{"K", std::vector<int64_t>{8, 300, 64}}, {"S", std::vector<int64_t>{3, 4, 50}}}},
                      Case{"streaming", {{"K", int64_t{20}}}},
                      Case{"streaming_cache", {{"K", int64_t{20}}, {"rotate", std::string("cache")}}}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace reattend::testing
