// Engine and replay execute the same plans with the same operations: decisions and positions must be equal, exactly.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

#include "replay/replay.h"
#include "tests/support/default_model.h"
#include "tests/support/program.h"

namespace reattend {
namespace {

using Options = std::vector<std::string>;

/// Records with the program and opens the trace.
std::shared_ptr<TraceReader> record(const std::filesystem::path& path, const Options& options) {
  Options all = {REATTEND_PROGRAM, "record", "--raw", "--ignore-end", "--no-calibration", "--out", path.string()};
  all.insert(all.end(), options.begin(), options.end());
  const test::ProgramResult result = test::run_program(all);
  if (result.code != 0) throw std::runtime_error(result.err);
  return TraceReader::open(path);
}

/// Every decision, number of positions, cosine and mass that `recorded` holds against a replay of `trace` under the
/// settings of `recorded`.
void expect_equal(const std::shared_ptr<TraceReader>& trace, const std::shared_ptr<TraceReader>& recorded) {
  ThreadPool pool(2);
  Replayer replayer(trace, pool);
  const Settings settings = recorded->info().settings;
  const ReplayResult result = replayer.run({.settings = settings, .output_error = false}, {}, Cancel());
  const StepData steps = recorded->steps();
  const TraceInfo& info = recorded->info();
  int64_t n_full = 0, n_partial = 0;
  for (const LayerReplay& layer : result.layers) {
    for (int32_t t = 1; t <= info.n_step; ++t) {
      for (int32_t g = 0; g < info.n_kv_head; ++g) {
        const size_t mine = static_cast<size_t>(t - 1) * info.n_kv_head + g;
        const size_t theirs = (static_cast<size_t>(t - 1) * info.n_layer + layer.layer) * info.n_kv_head + g;
        const std::string where =
            settings.summary() + " layer " + std::to_string(layer.layer) + " t " + std::to_string(t);
        ASSERT_EQ(layer.full[mine], steps.full[theirs]) << where;
        ASSERT_EQ(layer.positions[mine], steps.positions[theirs]) << where;
        if (std::isnan(layer.cos[mine])) {
          ASSERT_TRUE(std::isnan(steps.cos_last_full[theirs])) << where;
        } else {
          ASSERT_EQ(layer.cos[mine], steps.cos_last_full[theirs]) << where;
        }
        // Another set would hold another mass; summation orders differ.
        ASSERT_NEAR(layer.recovered[mine], steps.recovered[theirs], 2e-6) << where;
        ASSERT_NEAR(layer.oracle[mine], steps.oracle[theirs], 2e-6) << where;
        ++(layer.full[mine] != 0 ? n_full : n_partial);
      }
    }
  }
  EXPECT_GT(n_partial, 0);
  const std::set<std::string> refreshing = {"recycled", "streaming_refresh", "quest", "tokenselect"};
  EXPECT_EQ(n_full > 0, refreshing.contains(settings.policy()));
}

const std::vector<Options> kPolicies = {
    {"--policy", "recycled", "--stride", "5", "--budget", "16"},
    {"--policy", "recycled", "--stride", "4", "--budget", "16", "--schedule", "query", "--threshold", "0.8"},
    {"--policy",
     "recycled",
     "--stride",
     "4",
     "--budget",
     "L/8",
     "--schedule",
     "query",
     "--threshold",
     "0.7",
     "--granularity",
     "kv_head",
     "--similarity-query",
     "post_rope",
     "--similarity-reduce",
     "min_cosine",
     "--reduce",
     "mean",
     "--pool",
     "3"},
    {"--policy", "recycled", "--stride", "7", "--budget", "12", "--refresh", "score_only", "--dense-layers", "1"},
    {"--policy", "recycled", "--stride", "never,3,5", "--budget", "16,L/8,12", "--schedule", "query", "--threshold",
     "0.7,2,0.8"},
    {"--policy", "streaming", "--budget", "16", "--rotate", "cache"},
    {"--policy", "streaming_refresh", "--budget", "16", "--stride", "6"},
    {"--policy", "oracle", "--budget", "16"},
    {"--policy", "h2o", "--budget", "17"},
    {"--policy", "snapkv", "--budget", "40"},
    {"--policy", "pyramidkv", "--budget", "24"},
    {"--policy", "tova", "--budget", "16"},
    {"--policy", "quest", "--budget", "32", "--dense-layers", "0"},
    {"--policy", "tokenselect", "--budget", "32", "--threshold", "0.7"},
};

Options tiny(const Options& policy, const std::string& kv) {
  Options options = {"--model",
                     "tests/golden/models/tiny_llama.gguf",
                     "--prompt-tokens",
                     "tests/golden/policies/tiny_recycled_s4_k16.json",
                     "--steps",
                     "40",
                     "--kv",
                     kv};
  options.insert(options.end(), policy.begin(), policy.end());
  return options;
}

TEST(Agreement, AFreeRunIsReplayedExactly) {
  const test::ScratchFolder folder;
  for (const char* kv : {"f16", "f32", "bf16", "q8"}) {
    for (size_t i = 0; i < kPolicies.size(); ++i) {
      const auto trace = record(folder / (kv + std::to_string(i) + ".h5"), tiny(kPolicies[i], kv));
      expect_equal(trace, trace);
    }
  }
}

TEST(Agreement, AFullAttentionTraceGivesTheDecisionsOfTheShadowRun) {
  const test::ScratchFolder folder;
  const auto full = record(folder / "full.h5", tiny({"--policy", "full"}, "f16"));
  for (size_t i = 0; i < kPolicies.size(); ++i) {
    Options options = tiny(kPolicies[i], "f16");
    options.push_back("--shadow");
    expect_equal(full, record(folder / (std::to_string(i) + ".h5"), options));
  }
}

// Layers with a window of their own are neither stored nor replayed; the policy acts on the others, 3 and 7.
TEST(Agreement, AModelWithWindowsIsReplayedExactly) {
  const test::ScratchFolder folder;
  const std::vector<Options> policies = {
      {"--policy", "recycled", "--stride", "5", "--budget", "16"},
      {"--policy", "recycled", "--stride", "4", "--budget", "16", "--schedule", "query", "--threshold", "0.87"},
      {"--policy", "recycled", "--stride", "9,9,9,4,9,9,9,3", "--budget", "9,9,9,16,9,9,9,12"},
      {"--policy", "streaming", "--budget", "16", "--rotate", "cache"},
      {"--policy", "h2o", "--budget", "17"},
      {"--policy", "pyramidkv", "--budget", "40"},
      {"--policy", "tova", "--budget", "16"},
      {"--policy", "quest", "--budget", "32", "--dense-layers", "3"},
      {"--policy", "tokenselect", "--budget", "32", "--threshold", "0.7"},
  };
  const auto options = [](Options policy) {
    policy.insert(policy.end(), {"--model", "tests/golden/models/tiny_gemma3.gguf", "--prompt-tokens",
                                 "tests/golden/policies/tiny_gemma3_recycled_s4_k16.json", "--steps", "40"});
    return policy;
  };
  const auto full = record(folder / "full.h5", options({"--policy", "full"}));
  EXPECT_EQ(full->info().layers, (std::vector<int32_t>{3, 7}));
  EXPECT_EQ(full->info().windows, (std::vector<int64_t>{8, 8, 8, 0, 8, 8, 8, 0}));
  for (size_t i = 0; i < policies.size(); ++i) {
    const auto trace = record(folder / (std::to_string(i) + ".h5"), options(policies[i]));
    expect_equal(trace, trace);
    Options shadow = options(policies[i]);
    shadow.push_back("--shadow");
    expect_equal(full, record(folder / ("shadow" + std::to_string(i) + ".h5"), shadow));
  }
}

// Scores with YaRN's scale, and with Gemma 2's cap: a trace says so, and a replay makes the same rows of its keys.
TEST(Agreement, ScaledAndCappedScoresAreReplayedExactly) {
  const test::ScratchFolder folder;
  for (const char* model : {"tiny_qwen2_yarn", "tiny_gemma2"}) {
    const auto trace = record(folder / (std::string(model) + ".h5"),
                              {"--model", std::string("tests/golden/models/") + model + ".gguf", "--prompt-tokens",
                               "tests/golden/policies/tiny_recycled_s4_k16.json", "--steps", "30", "--policy",
                               "recycled", "--stride", "4", "--budget", "16", "--schedule", "query"});
    expect_equal(trace, trace);
    const test::ProgramResult check =
        test::run_program({REATTEND_PROGRAM, "trace", "check", trace->info().path.string()});
    EXPECT_EQ(check.code, 0) << model << ": " << check.out << check.err;
  }
}

TEST(AgreementModel, TheRealModelsFreeRunIsReplayedExactly) {
  const auto model = testing::default_model();
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "no model at " << model;
  const test::ScratchFolder folder;
  for (const Options& policy : {Options{"--stride", "8", "--budget", "64"},
                                Options{"--stride", "4", "--budget", "100", "--schedule", "query"}}) {
    Options options = {"--model", model.string(), "--prompt-tokens", "tests/golden/policies/smollm2_full.json",
                       "--steps", "24",           "--policy",        "recycled",
                       "--force"};
    options.insert(options.end(), policy.begin(), policy.end());
    const auto trace = record(folder / "model.h5", options);
    expect_equal(trace, trace);
  }
}

}  // namespace
}  // namespace reattend
