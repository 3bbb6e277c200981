// `reattend record` and `reattend trace` on the tiny model: what is asked for is stored, and nothing finished is lost.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "tests/support/program.h"
#include "traces/read/check.h"
#include "traces/read/reader.h"

namespace reattend {
namespace {

using test::ProgramResult;
using Options = std::vector<std::string>;

class TraceProgram : public ::testing::Test {
 protected:
  static ProgramResult run(Options arguments) {
    arguments.insert(arguments.begin(), REATTEND_PROGRAM);
    return test::run_program(arguments);
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  Options recording(const std::string& name, const Options& options) const {
    Options all = {"record",       "--model",          "tests/golden/models/tiny_llama.gguf",
                   "--raw",        "--prompt",         kPrompt,
                   "--ignore-end", "--no-calibration", "--out",
                   file(name)};
    all.insert(all.end(), options.begin(), options.end());
    return all;
  }
  std::shared_ptr<TraceReader> record(const std::string& name, const Options& options) const {
    const ProgramResult result = run(recording(name, options));
    EXPECT_EQ(result.code, 0) << result.err;
    const TraceCheck check = check_trace(file(name), 50, {}, Cancel());
    EXPECT_TRUE(check.problems.empty()) << check.problems.front();
    return TraceReader::open(file(name));
  }
  static void expect_refused(const ProgramResult& result, const std::string& reason) {
    EXPECT_EQ(result.code, 2) << result.err;
    EXPECT_NE(result.err.find(reason), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  static constexpr char kPrompt[] =
      "the clock in the window of the tower struck nine and the baker opened his door to the cold of the square";
  test::ScratchFolder folder_;
};

TEST_F(TraceProgram, APartRecordedIsThePartCutOut) {
  record("whole.h5", {"--steps", "20"});
  const auto recorded = record("recorded.h5", {"--steps", "8:20"});
  ASSERT_EQ(run({"trace", "slice", file("whole.h5"), "--steps", "8:", "--out", file("cut.h5")}).code, 0);
  const auto cut = TraceReader::open(file("cut.h5"));
  EXPECT_EQ(recorded->info().n_skipped, 7);
  EXPECT_EQ(cut->info().n_skipped, 7);
  EXPECT_EQ(recorded->tokens(), cut->tokens());
  for (int32_t layer = 0; layer < 3; ++layer) {
    const LayerData a = recorded->layer(layer), b = cut->layer(layer);
    EXPECT_EQ(a.keys, b.keys);
    EXPECT_EQ(a.values, b.values);
    EXPECT_EQ(a.queries, b.queries);
    EXPECT_EQ(recorded->prompt_queries(layer), cut->prompt_queries(layer));
    const std::vector<float> sums = recorded->prompt_row_sums(layer), others = cut->prompt_row_sums(layer);
    ASSERT_EQ(sums.size(), others.size());
    for (size_t p = 0; p < sums.size(); ++p) EXPECT_NEAR(sums[p], others[p], 1e-4) << "what h2o starts from";
    EXPECT_EQ(recorded->map(layer, 1).weights, cut->map(layer, 1).weights);
  }
  EXPECT_EQ(recorded->steps().logprob, cut->steps().logprob);
  // Recorded in two parts is recorded at once.
  record("first.h5", {"--steps", "7"});
  const ProgramResult joined =
      run({"trace", "merge", file("first.h5"), file("recorded.h5"), "--out", file("joined.h5")});
  ASSERT_EQ(joined.code, 0) << joined.err;
  EXPECT_EQ(TraceReader::open(file("joined.h5"))->layer(2).queries,
            TraceReader::open(file("whole.h5"))->layer(2).queries);
  EXPECT_NE(run({"trace", "info", file("cut.h5")}).out.find("the last 7 decoded before"), std::string::npos);
}

// Steps 5 and 10 of the whole, the measured ones, are steps 3 and 8 of the part: what is checked there are their rows.
TEST_F(TraceProgram, APartOfASampledTraceIsCheckedWhereItWasMeasured) {
  record("whole.h5", {"--steps", "13", "--measure", "sampled:5"});
  ASSERT_EQ(run({"trace", "slice", file("whole.h5"), "--steps", "3:13", "--out", file("cut.h5")}).code, 0);
  const TraceCheck check = check_trace(file("cut.h5"), 50, {}, Cancel());
  EXPECT_TRUE(check.problems.empty()) << check.problems.front();
  EXPECT_EQ(check.rows_recomputed, 50);
  ASSERT_EQ(run({"trace", "slice", file("whole.h5"), "--steps", "2:4", "--out", file("between.h5")}).code, 0);
  EXPECT_EQ(check_trace(file("between.h5"), 50, {}, Cancel()).rows_recomputed, 0) << "nothing was measured there";
}

TEST_F(TraceProgram, MapsAreStoredAsAskedForAndAgreeWithEachOther) {
  const auto top = record("top.h5", {"--steps", "6", "--maps", "top:9"}),
             dense = record("dense.h5", {"--steps", "6", "--maps", "dense"}),
             binned = record("binned.h5", {"--steps", "6", "--maps", "binned:10"}),
             none = record("none.h5", {"--steps", "6", "--maps", "none"});
  EXPECT_EQ(top->info().n_map, 9);
  EXPECT_EQ(none->info().maps, Maps::none);
  EXPECT_TRUE(none->map(0, 0).weights.empty());
  EXPECT_EQ(none->steps().recovered, top->steps().recovered);
  const int32_t n_prompt = top->info().n_prompt, t = 4, n = n_prompt + t;
  const MapData a = top->map(1, 1), b = dense->map(1, 1, t, 1), c = binned->map(1, 1, t, 1);
  EXPECT_EQ(dense->info().n_column, n_prompt + 6);
  EXPECT_EQ(c.bin, 10);
  for (int32_t i = 0; i < 9; ++i) {
    const int32_t p = a.positions[static_cast<size_t>((t - 1) * 9 + i)];
    EXPECT_NEAR(a.weights[static_cast<size_t>((t - 1) * 9 + i)], b.weights[static_cast<size_t>(p)], 1e-3);
  }
  for (int32_t bin = 0; bin * 10 < n; ++bin) {
    double sum = 0;
    for (int32_t p = bin * 10; p < std::min(n, bin * 10 + 10); ++p) sum += b.weights[static_cast<size_t>(p)];
    EXPECT_NEAR(c.weights[static_cast<size_t>(bin)], sum, 2e-3);
  }
  for (size_t p = static_cast<size_t>(n); p < b.weights.size(); ++p) EXPECT_EQ(b.weights[p], 0) << "beyond the row";
}

TEST_F(TraceProgram, StepsThatAreNotMeasuredSaySoAndChangeNothingElse) {
  const Options policy = {"--policy", "recycled", "--stride", "4", "--budget", "16", "--steps", "13"};
  const auto with = [&](const Options& more) {
    Options all = policy;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const auto full = record("full.h5", policy), some = record("some.h5", with({"--measure", "sampled:5"})),
             none = record("none.h5", with({"--measure", "none"}));
  EXPECT_EQ(some->info().attributes.at("measure"), "sampled");
  EXPECT_EQ(none->info().maps, Maps::none);
  const StepData a = full->steps(), b = some->steps(), c = none->steps();
  EXPECT_EQ(a.full, b.full);
  EXPECT_EQ(a.positions, c.positions);
  EXPECT_EQ(a.logprob, c.logprob);
  const size_t n_unit = a.recovered.size() / 13;
  for (size_t i = 0; i < a.recovered.size(); ++i) {
    const bool measured = (i / n_unit + 1) % 5 == 0;
    EXPECT_EQ(std::isnan(b.recovered[i]), !measured) << i;
    EXPECT_EQ(measured ? a.recovered[i] : 0, measured ? b.recovered[i] : 0);
    EXPECT_TRUE(std::isnan(c.oracle[i]) && std::isnan(b.overlap[3 * i]));
  }
  const MapData map = some->map(2, 1);
  EXPECT_EQ(map.positions[0], -1);
  EXPECT_TRUE(std::isnan(map.rest[0]));
  EXPECT_EQ(map.weights[4 * 64], full->map(2, 1).weights[4 * 64]);
  for (const char* name : {"some.h5", "none.h5"}) {
    EXPECT_EQ(run({"trace", "info", file(name)}).code, 0);
    EXPECT_EQ(run({"replay", file(name), "--stride", "4", "--budget", "16"}).code, 0);
  }
}

TEST_F(TraceProgram, LayersThatWereNotRecordedAreNamedWhenAskedFor) {
  const auto whole = record("whole.h5", {"--steps", "5"}),
             part = record("part.h5", {"--steps", "5", "--layers", "0,2"});
  EXPECT_EQ(part->info().layers, (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(part->layer(2).keys, whole->layer(2).keys);
  EXPECT_EQ(part->steps().logprob, whole->steps().logprob);
  EXPECT_LT(std::filesystem::file_size(file("part.h5")), std::filesystem::file_size(file("whole.h5")));
  expect_refused(run({"replay", file("part.h5"), "--budget", "16", "--layers", "1"}),
                 "layer 1: expected one that the trace stores: 0, 2");
  EXPECT_EQ(run({"replay", file("part.h5"), "--budget", "16", "--layers", "0,2"}).code, 0);
  EXPECT_NE(run({"trace", "info", file("part.h5")}).out.find("layers 0,2"), std::string::npos);
}

TEST_F(TraceProgram, OptionsThatMeanNothingAreRefusedBeforeTheModelRuns) {
  for (const char* maps : {"top:0", "top:x", "tops", "dense:3", "binned:-1", "none:1", "top:100000"}) {
    expect_refused(run(recording("x.h5", {"--maps", maps})), "--maps");
  }
  for (const char* when : {"half", "sampled:0", "full:2", ""}) {
    expect_refused(run(recording("x.h5", {"--measure", when})), "--measure");
  }
  for (const char* steps : {"0", "5:3", "0:3", "3:", ":3", "-1", "a:b"}) {
    expect_refused(run(recording("x.h5", {std::string("--steps=") + steps})), "--steps");
  }
  for (const char* layers : {"3", "x", "2-1", "0,,1"}) {
    expect_refused(run(recording("x.h5", {"--layers", layers})), "--layers");
  }
  EXPECT_FALSE(std::filesystem::exists(file("x.h5")));
}

TEST_F(TraceProgram, EntropyIsThatOfTheRowsThatWereStored) {
  const auto trace = record("a.h5", {"--steps", "5", "--maps", "dense"});
  const TraceInfo& info = trace->info();
  const StepData steps = trace->steps();
  for (int32_t layer = 0; layer < info.n_layer; ++layer) {
    for (int32_t g = 0; g < info.n_kv_head; ++g) {
      const MapData map = trace->map(layer, g);
      for (int32_t t = 1; t <= 5; ++t) {
        double expected = 0;
        for (int32_t p = 0; p < map.n_kept; ++p) {
          const double w = map.weights[static_cast<size_t>((t - 1) * map.n_kept + p)];
          expected -= w > 0 ? w * std::log(w) : 0;
        }
        const float entropy = steps.entropy[static_cast<size_t>(((t - 1) * info.n_layer + layer) * info.n_kv_head + g)];
        EXPECT_NEAR(entropy, expected, 2e-3) << "weights of 16 bits; layer " << layer << ", step " << t;
      }
    }
  }
  EXPECT_NE(run({"trace", "info", file("a.h5")}).out.find("entropy"), std::string::npos);
}

TEST_F(TraceProgram, ExportsHoldTheSameNumbers) {
  const auto trace = record("a.h5", {"--steps", "9", "--policy", "recycled", "--stride", "3", "--budget", "16"});
  for (const char* format : {"csv", "json", "perfetto"}) {
    const ProgramResult result =
        run({"trace", "export", file("a.h5"), "--format", format, "--out", file(std::string("out.") + format)});
    ASSERT_EQ(result.code, 0) << result.err;
  }
  const auto json = nlohmann::json::parse(test::read_all(file("out.json")));
  ASSERT_EQ(json["steps"].size(), 9U);
  EXPECT_EQ(json["heads"].size(), 6U);
  EXPECT_EQ(json["steps"][2]["full"], 1);
  EXPECT_EQ(json["heads"][0]["n_full"], 3);
  EXPECT_EQ(json["heads"][0]["effective_stride"], 3);
  const StepData steps = trace->steps();
  double entropy = 0;
  const auto n_unit = static_cast<std::ptrdiff_t>(steps.entropy.size()) / 9;
  for (auto each = steps.entropy.begin() + 2 * n_unit; each != steps.entropy.begin() + 3 * n_unit; ++each) {
    entropy += *each / static_cast<double>(n_unit);
  }
  EXPECT_NEAR(json["steps"][2]["entropy"].get<double>(), entropy, 1e-6);

  std::istringstream lines(test::read_all(file("out.csv")));
  std::string names, line;
  std::getline(lines, names);
  EXPECT_EQ(names.rfind("step,position,token,text,logprob,ms", 0), 0U) << names;
  EXPECT_TRUE(names.ends_with(",overlap_1024,entropy")) << names;
  for (int t = 1; t <= 9; ++t) {
    ASSERT_TRUE(std::getline(lines, line)) << t;
    EXPECT_EQ(line.rfind(std::to_string(t) + ",", 0), 0U) << line;
  }
  EXPECT_FALSE(std::getline(lines, line));
  EXPECT_NE(test::read_all(file("out.heads.csv")).find("layer,kv_head"), std::string::npos);

  // timeline_test.cpp looks at every event.
  const auto timeline = nlohmann::json::parse(test::read_all(file("out.perfetto")));
  int n_slice = 0;
  for (const auto& event : timeline["traceEvents"]) n_slice += event["ph"] == "X" && event["tid"] == 1 ? 1 : 0;
  EXPECT_EQ(n_slice, 9);
  expect_refused(run({"trace", "export", file("a.h5"), "--out", file("out.csv")}), "--force");
  expect_refused(run({"trace", "export", file("a.h5"), "--format", "xml", "--out", file("x")}), "--format");
}

/// The file-size limit stands for a full disk.
TEST_F(TraceProgram, AFullDiskLeavesNoHalfCopyUnderTheName) {
  record("a.h5", {"--steps", "20"});
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  for (const Options& command :
       {Options{"slice", file("a.h5"), "--out", file("b.h5")}, Options{"export", file("a.h5"), "--out", file("b.csv")},
        Options{"export", file("a.h5"), "--format", "perfetto", "--out", file("b.json")}}) {
    Options all = {"trace"};
    all.insert(all.end(), command.begin(), command.end());
    // This process's own limit for a moment, so that the child inherits it.
    const rlimit small = {.rlim_cur = command[0] == "slice" ? 100U << 10 : 1U << 10, .rlim_max = before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const ProgramResult result = run(all);
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(result.code, 1) << result.err;
    EXPECT_NE(result.err.find("File too large"), std::string::npos) << result.err;
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ / ""), {}), 1) << command.back();
  }
}

/// REATTEND_KILLS=N kills N recordings.
TEST_F(TraceProgram, AKillAtAnyMomentLosesNoFinishedStep) {
  const char* const wish = std::getenv("REATTEND_KILLS");
  const int n_kill = wish != nullptr ? std::atoi(wish) : 10;
  std::mt19937 random(11);
  int n_grown = 0;
  for (int round = 0; round < n_kill; ++round) {
    const std::string name = "killed" + std::to_string(round) + ".h5";
    Options arguments = recording(name, {"--steps", "300000", "--ctx", "400000"});
    if (round % 4 == 1) arguments.insert(arguments.end(), {"--policy", "recycled", "--budget", "16"});
    if (round % 4 == 2) arguments.insert(arguments.end(), {"--maps", "binned:1000", "--measure", "sampled:3"});
    if (round % 4 == 3) arguments.insert(arguments.end(), {"--layers", "1", "--no-values"});
    arguments.insert(arguments.begin(), REATTEND_PROGRAM);
    int32_t seen = -1;
    const ProgramResult result = test::run_program(arguments, [&](pid_t child) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(random() % 900);
      while (std::chrono::steady_clock::now() < end) {
        if (!std::filesystem::exists(file(name))) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
          continue;
        }
        const auto trace = TraceReader::open(file(name));
        seen = std::max(seen, trace->info().n_step);
      }
      kill(child, SIGKILL);
    });
    ASSERT_EQ(result.code, 128 + SIGKILL) << result.err;
    if (!std::filesystem::exists(file(name))) continue;  // killed before its first step: nothing was promised yet
    {
      const auto trace = TraceReader::open(file(name));
      EXPECT_GE(trace->info().n_step, seen) << "round " << round;
      EXPECT_NE(trace->info().warning.find("repair"), std::string::npos);
      n_grown += trace->info().n_step > 0 ? 1 : 0;
    }
    const TraceCheck check = check_trace(file(name), 20, {}, Cancel());
    for (const auto& problem : check.problems) {
      EXPECT_NE(problem.find("repair"), std::string::npos) << "round " << round << ": " << problem;
    }
    std::filesystem::remove(file(name));
  }
  EXPECT_GT(n_grown, n_kill / 4);
}

}  // namespace
}  // namespace reattend
