// The policy of docs/add-a-policy.md, in engine and replay: what the page promises holds.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "engine/record/recorder.h"
#include "replay/replay.h"
#include "tests/support/scratch_folder.h"
#include "tune/grid.h"

namespace reattend {
namespace {

constexpr int32_t kPrompt = 100, kSteps = 30;

/// Logits, and the sets of layer 0.
struct Log final : Observer {
  std::vector<float> logits;
  std::vector<std::vector<int32_t>> sets;
  void attended(const LayerView& view) override {
    if (view.layer() > 0) return;
    const std::span<const int32_t> set = view.attended(0);
    std::vector<int32_t>& sorted = sets.emplace_back(set.begin(), set.end());
    std::sort(sorted.begin(), sorted.end());
  }
  void step_end(const StepView& step) override {
    logits.insert(logits.end(), step.logits().begin(), step.logits().end());
  }
};

/// Recorded where `trace` is a file's name.
Log run(const Settings& settings, const std::filesystem::path& trace = {}) {
  const Model model = Model::open("tests/golden/models/tiny_llama.gguf");
  ThreadPool pool(2);
  Backend backend = make_backend({}, model, pool);
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < kPrompt; ++i) prompt.push_back(i * 31 % 288);
  const Prefilled prefilled = prefill(backend, model, prompt, {.n_ctx = kPrompt + kSteps});
  Log log;
  std::vector<Observer*> observers = {&log};
  std::optional<TraceWriter> writer;
  std::optional<Recorder> recorder;
  if (!trace.empty()) {
    TraceHeader header = header_for(model.shape(), prompt);
    header.model = "tiny";
    header.settings = settings;
    header.vocab.resize(static_cast<size_t>(model.shape().n_vocab), "x");
    writer.emplace(trace, false);
    observers.push_back(&recorder.emplace(*writer, header, model.shape(), pool));
  }
  generate(backend, model, *prefilled.sequence, prefilled,
           {.settings = settings,
            .n_step = kSteps,
            .next_token = [](int32_t t, StepLogits&) { return t * 17 % 288; },
            .observers = observers});
  return log;
}

Settings anchored(int64_t budget) {
  Settings settings("anchored");
  settings.set("K", budget);
  settings.set("S", int64_t{10});
  settings.set("sinks", int64_t{3});
  settings.set("latest", int64_t{5});
  return settings;
}

TEST(ExamplePolicy, ItsParametersAreItsOwnAndStandInTheTable) {
  ASSERT_NE(find_parameter("latest"), nullptr);
  EXPECT_EQ(takers_of(*find_parameter("latest")), std::vector<std::string_view>{"anchored"});
  EXPECT_EQ(Settings("anchored").summary(), "anchored S=10 K=64");
  EXPECT_EQ(Settings("anchored").count("sinks", 0, 100), 8) << "its own default";
  EXPECT_EQ(Settings("streaming").count("sinks", 0, 100), 4) << "the others' stays";
  EXPECT_THROW(Settings("anchored").set("rotate", std::string("cache")), Error) << "not taken and then ignored";
}

TEST(ExamplePolicy, IsSweptAlongWhatItsParametersSay) {
  TraceInfo info;
  info.n_layer = 2, info.n_head = 2, info.n_kv_head = 1, info.d_head = 8;
  info.n_prompt = 1000, info.n_step = 8;
  const TraceInfo* const traces[] = {&info};
  const GridSettings grid = make_grid({.bases = {Settings("anchored")}}, traces);
  EXPECT_EQ(grid.settings.size(), 5U * 6U * 2U);  // K, S, latest
  EXPECT_TRUE(std::any_of(grid.settings.begin(), grid.settings.end(), [](const Settings& each) {
    return each.count("latest", 0, 1000) == 32 && each.count("S", 0, 1000) == 2;
  }));
}

TEST(ExamplePolicy, KeepsItsAnchorsAndRefreshesTheRest) {
  const Log log = run(anchored(20));  // 3 sinks, 5 latest, 12 chosen
  for (int32_t t = 1; t <= kSteps; ++t) {
    const std::vector<int32_t>& set = log.sets[static_cast<size_t>(t) - 1];
    const int32_t p = kPrompt - 1 + t, since = t % 10 == 0 ? 0 : t % 10;
    if (since == 0) {
      EXPECT_EQ(set.size(), static_cast<size_t>(p + 1)) << t;
      continue;
    }
    EXPECT_EQ(set.size(), static_cast<size_t>(20 + since)) << t;
    EXPECT_TRUE(std::equal(set.begin(), set.begin() + 3, std::vector<int32_t>{0, 1, 2}.begin())) << t;
    for (int32_t i = 0; i < 5; ++i) EXPECT_EQ(set[set.size() - 1 - static_cast<size_t>(i)], p - i) << t;
  }
}

TEST(ExamplePolicy, IsReplayedExactly) {
  const test::ScratchFolder folder;
  const Log log = run(anchored(20), folder / "anchored.h5");
  ThreadPool pool(2);
  Replayer replayer(TraceReader::open(folder / "anchored.h5"), pool);
  const ReplayResult replay = replayer.run({.settings = anchored(20), .layers = {0}, .keep_sets = true}, {}, Cancel());
  const size_t n_kv_head = replay.layers[0].sets.size() / kSteps;
  for (size_t i = 0; i < kSteps; ++i) EXPECT_EQ(replay.layers[0].sets[i * n_kv_head].list(), log.sets[i]) << i + 1;
}

TEST(ExamplePolicy, IsFullAttentionWhileEverythingFits) {
  EXPECT_EQ(run(anchored(kPrompt + kSteps)).logits, run(Settings("full")).logits);
  EXPECT_NE(run(anchored(20)).logits, run(Settings("full")).logits);
}

}  // namespace
}  // namespace reattend
