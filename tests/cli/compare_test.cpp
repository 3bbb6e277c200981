// `reattend compare` as a user meets it: what must be zero is zero, its numbers are those of `reattend case`, its files
// can be read.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "policies/policy.h"
#include "tests/support/program.h"

namespace reattend::test {
namespace {

using Arguments = std::vector<std::string>;
using nlohmann::json;

constexpr int kSteps = 20, kPrompt = 60;

/// A tiny model, a text it is forced along, no timing: what is measured is the same on every machine.
ProgramResult compare(const Arguments& more) {
  Arguments arguments = {REATTEND_PROGRAM,
                         "compare",
                         "--model",
                         "tests/golden/models/tiny_llama.gguf",
                         "--raw",
                         "--prompt-file",
                         "assets/prose.txt",
                         "--context",
                         std::to_string(kPrompt),
                         "--steps",
                         std::to_string(kSteps)};
  // An option may be given once.
  if (!more.empty() && more.front() == "--steps") arguments.resize(arguments.size() - 2);
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_program(arguments);
}

json compare_json(Arguments more) {
  more.insert(more.end(), {"--json", "--repeats", "0"});
  const ProgramResult result = compare(more);
  EXPECT_EQ(result.code, 0) << result.err;
  json report = json::parse(result.out, nullptr, false);
  EXPECT_TRUE(report.is_object()) << result.out;
  return report;
}

void expect_refused(const Arguments& more, int code, const std::string& culprit) {
  const ProgramResult result = compare(more);
  EXPECT_EQ(result.code, code) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find(culprit), std::string::npos) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

TEST(Compare, FullBesideItselfAndCompleteBudgetsAreExactlyFull) {
  const json report = compare_json({"--budget", "100", "--no-mass"});
  ASSERT_EQ(report["policies"].size(), policy_registry().size()) << "every policy, full among them";
  for (const json& policy : report["policies"]) {
    EXPECT_EQ(policy["kl"], 0.0) << policy["summary"];
    EXPECT_EQ(policy["kl_max"], 0.0) << policy["summary"];
    EXPECT_EQ(policy["agreement"], 1.0) << policy["summary"];
    EXPECT_EQ(policy["perplexity_ratio"], 1.0) << policy["summary"];
    EXPECT_EQ(policy["positions"], report["policies"][0]["positions"]) << policy["summary"];
    EXPECT_TRUE(policy["recovered"].is_null());
    EXPECT_TRUE(policy["ms_per_token"].is_null());
  }
}

/// Where streaming gives blocks of its cache back, unless somebody looks at them.
TEST(Compare, MassOfAStreamThatLeavesBlocksBehind) {
  const ScratchFolder folder;
  const std::string text = (folder / "long.txt").string();
  std::string words;
  for (int i = 0; i < 500; ++i) words += "word " + std::to_string(i) + " ";
  std::ofstream(text) << words;
  const ProgramResult result = run_program(
      {REATTEND_PROGRAM, "compare", "--model", "tests/golden/models/tiny_llama.gguf", "--raw", "--prompt-file", text,
       "--context", "1200", "--steps", "3", "--policies", "streaming:K=16", "--repeats", "1", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const json streaming = json::parse(result.out)["policies"][1];
  EXPECT_EQ(streaming["positions"], 17.0);
  EXPECT_GT(streaming["recovered"].get<double>(), 0.0);
  EXPECT_LT(streaming["recovered"].get<double>(), 0.5);
}

TEST(Compare, RefreshingAtEveryStepIsFull) {
  const json report = compare_json({"--policies", "recycled:S=1:K=4,recycled:S=2:K=4"});
  EXPECT_EQ(report["policies"][1]["kl"], 0.0);
  EXPECT_EQ(report["policies"][1]["full_share"], 1.0);
  EXPECT_GT(report["policies"][2]["kl"], 0.0);
  EXPECT_NEAR(report["policies"][2]["full_share"].get<double>(), 0.5, 1e-9);
}

TEST(Compare, JsonHoldsTheStepsThatItsMeansAreOf) {
  const json report = compare_json({"--policies", "recycled:S=4,streaming", "--budget", "8"});
  EXPECT_EQ(report["n_prompt"], kPrompt);
  EXPECT_EQ(report["n_step"], kSteps);
  EXPECT_EQ(report["stopped"], false);
  for (const json& policy : report["policies"]) {
    for (const auto& [name, steps] : policy["steps"].items()) EXPECT_EQ(steps.size(), size_t{kSteps}) << name;
    double kl = 0, recovered = 0;
    for (int t = 0; t < kSteps; ++t) {
      kl += policy["steps"]["kl"][t].get<double>() / kSteps;
      recovered += policy["steps"]["recovered"][t].get<double>() / kSteps;
    }
    EXPECT_NEAR(policy["kl"].get<double>(), kl, 1e-12);
    EXPECT_NEAR(policy["recovered"].get<double>(), recovered, 1e-12);
    EXPECT_LE(policy["recovered"].get<double>(), policy["oracle"].get<double>() + 0.05);
    const json& buckets = policy["by_position"];
    EXPECT_LE(buckets.size(), 8U);
    EXPECT_EQ(buckets.front()["from"], 1);
    EXPECT_EQ(buckets.back()["to"], kSteps);
  }
  const json& streaming = report["policies"][2];
  EXPECT_EQ(streaming["positions"], 9.0) << "K and the token itself";
  EXPECT_EQ(streaming["bytes_select"], 0.0);
  EXPECT_LT(streaming["bytes_attend"].get<double>(), report["policies"][0]["bytes_attend"].get<double>());
}

/// The tokens of a golden case, forced through both commands.
void expect_same_as_case(const std::string& name, const std::string& policy) {
  SCOPED_TRACE(name);
  const ScratchFolder folder;
  const std::string path = "tests/golden/policies/" + name + ".json", ids = (folder / "ids.json").string();
  const json wanted = json::parse(read_all(path));
  std::vector<int> tokens = wanted["prompt"];
  const size_t n_prompt = tokens.size();
  for (const int id : wanted["continuation"]) tokens.push_back(id);
  std::ofstream(ids) << json(tokens);
  const Arguments exact = {"--kv", "f32", "--activations", "f32", "--json"};
  Arguments case_arguments = {REATTEND_PROGRAM, "case", path, "--out", (folder / "case.h5").string()};
  Arguments compare_arguments = {REATTEND_PROGRAM,  "compare",
                                 "--model",         "tests/golden/models/tiny_llama.gguf",
                                 "--prompt-tokens", ids,
                                 "--context",       std::to_string(n_prompt),
                                 "--steps",         std::to_string(wanted["continuation"].size() - 1),
                                 "--policies",      policy,
                                 "--repeats",       "0"};
  case_arguments.insert(case_arguments.end(), exact.begin(), exact.end());
  compare_arguments.insert(compare_arguments.end(), exact.begin(), exact.end());
  compare_arguments.insert(compare_arguments.end(), {"--prefill", "f32"});
  const ProgramResult one = run_program(case_arguments), many = run_program(compare_arguments);
  ASSERT_EQ(one.code, 0) << one.err;
  ASSERT_EQ(many.code, 0) << many.err;
  const json of_case = json::parse(one.out)[0], of_compare = json::parse(many.out)["policies"][1];
  for (const char* number : {"kl", "agreement", "nll", "recovered"}) {
    EXPECT_NEAR(of_compare[number].get<double>(), of_case[number].get<double>(), 1e-6) << number;
  }
}

TEST(Compare, FiguresAreThoseOfTheCaseCommand) {
  expect_same_as_case("tiny_recycled_s4_k16", "recycled:S=4:K=16");
  expect_same_as_case("tiny_streaming_k16", "streaming:K=16");
  expect_same_as_case("tiny_h2o_k16", "h2o:K=16");
  expect_same_as_case("tiny_snapkv_k16_w4", "snapkv:K=16:window=4");
}

TEST(Compare, OnePrefillServesEveryPolicy) {
  // What a policy needs of the prompt is made for all of them at once, and what another needed changes nothing.
  const json together = compare_json({"--policies", "h2o,snapkv:window=4,recycled:S=5", "--budget", "8"});
  for (const std::string alone : {"h2o", "snapkv:window=4", "recycled:S=5"}) {
    const json policy = compare_json({"--policies", alone, "--budget", "8"})["policies"][1];
    const auto same = std::find_if(together["policies"].begin(), together["policies"].end(),
                                   [&](const json& each) { return each["summary"] == policy["summary"]; });
    ASSERT_NE(same, together["policies"].end()) << alone;
    EXPECT_EQ((*same)["steps"], policy["steps"]) << alone;
  }
}

TEST(Compare, WritesTablesAndChart) {
  const ScratchFolder folder;
  const std::string csv = (folder / "a.csv").string(), steps = (folder / "b.csv").string(),
                    chart = (folder / "c.svg").string();
  const Arguments arguments = {
      "--policies", "recycled:S=4:K=[4,5,6],tova", "--repeats", "1", "--csv", csv, "--csv-steps", steps, "--chart",
      chart};
  const ProgramResult result = compare(arguments);
  ASSERT_EQ(result.code, 0) << result.err;
  for (const char* words : {"policy", "full", "recycled S=4 K=[4, 5, 6]", "tova K=L/8", "speed-up", "17-20"}) {
    EXPECT_NE(result.out.find(words), std::string::npos) << words << "\n" << result.out;
  }
  const std::string rows = read_all(csv), long_rows = read_all(steps), svg = read_all(chart);
  EXPECT_EQ(std::count(rows.begin(), rows.end(), '\n'), 1 + 3);
  EXPECT_NE(rows.find("\nrecycled,\"recycled S=4 K=[4, 5, 6]\",60,20,"), std::string::npos) << rows;
  EXPECT_EQ(std::count(long_rows.begin(), long_rows.end(), '\n'), 1 + 3 * kSteps);
  EXPECT_NE(long_rows.find("\ntova,\"tova K=L/8\",20,79,"), std::string::npos) << long_rows;
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_NE(svg.find("full, "), std::string::npos);
  EXPECT_NE(svg.find(">tova K=L/8<"), std::string::npos);
  expect_refused(arguments, 2, csv);
  expect_refused(arguments, 2, "give another --csv,");
  Arguments forced = arguments;
  forced.push_back("--force");
  EXPECT_EQ(compare(forced).code, 0);
}

TEST(Compare, ContinuationIsTheTextsOwnOrAFilesOrFullAttentions) {
  const ScratchFolder folder;
  const std::string file = (folder / "next.txt").string();
  std::ofstream(file) << "and then the rain stopped, and the clock in the window said that it was late";
  const Arguments base = {REATTEND_PROGRAM,
                          "compare",
                          "--model",
                          "tests/golden/models/tiny_llama.gguf",
                          "--raw",
                          "--prompt",
                          "the clock in the window",
                          "--steps",
                          "12",
                          "--policies",
                          "streaming:K=5",
                          "--repeats",
                          "0",
                          "--json"};
  const auto with = [&](const Arguments& more) {
    Arguments arguments = base;
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = run_program(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    return json::parse(result.out, nullptr, false);
  };
  const json own = with({}), again = with({}), other = with({"--seed", "2"}), greedy = with({"--temperature", "0"}),
             given = with({"--continuation", file});
  EXPECT_EQ(own["policies"], again["policies"]) << "a fixed seed";
  EXPECT_NE(own["policies"], other["policies"]);
  EXPECT_NE(own["policies"], greedy["policies"]);
  EXPECT_EQ(given["along"], file);
  EXPECT_NE(given["policies"], own["policies"]);
  EXPECT_NEAR(given["policies"][0]["perplexity"].get<double>(), std::exp(given["policies"][0]["nll"].get<double>()),
              1e-9);
}

TEST(Compare, SkippedCharactersAreWholeOnes) {
  const ScratchFolder folder;
  const std::string file = (folder / "text.txt").string(), plain = (folder / "plain.txt").string();
  const std::string rest = read_all("assets/prose.txt");
  std::ofstream(file, std::ios::binary) << "\xc3\xa4\xff\xe2\x82\xac"
                                        << "xy" << rest;  // two letters, a bad byte between them, two more
  std::ofstream(plain, std::ios::binary) << rest;
  const auto report = [&](const Arguments& more) {
    Arguments arguments = {REATTEND_PROGRAM,
                           "compare",
                           "--model",
                           "tests/golden/models/tiny_llama.gguf",
                           "--raw",
                           "--context",
                           "40",
                           "--steps",
                           "6",
                           "--policies",
                           "tova:K=5",
                           "--repeats",
                           "0",
                           "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return json::parse(run_program(arguments).out, nullptr, false);
  };
  const json skipped = report({"--prompt-file", file, "--skip-chars", "5"}), whole = report({"--prompt-file", plain});
  ASSERT_TRUE(skipped.is_object());
  EXPECT_EQ(skipped["policies"], whole["policies"]);
}

TEST(Compare, WrongUseIsNamed) {
  const ScratchFolder folder;
  expect_refused({"--policies", "recycled,telepathy"}, 2, "telepathy");
  expect_refused({"--policies", "h2o,h2o"}, 2, "twice");
  expect_refused({"--policies", "streaming", "--stride", "4"}, 2, "--stride");
  expect_refused({"--policies", "snapkv:K=8"}, 2, "window");
  expect_refused({"--policies", "recycled:K=[1,2]"}, 2, "K");
  expect_refused({"--settings", "nowhere.toml"}, 1, "nowhere.toml");
  expect_refused({"--chart", (folder / "a.gif").string()}, 2, ".svg");
  // Before the work, not after it.
  expect_refused({"--csv", (folder / "nowhere" / "a.csv").string()}, 1, "give another --csv");
  expect_refused({"--csv", (folder / "a").string(), "--csv-steps", (folder / "a").string()}, 2, "a file of its own");
  expect_refused({"--steps", "0"}, 2, "--steps");
  expect_refused({"--repeats", "-1"}, 2, "--repeats");
  expect_refused({"--continuation", "assets/prose.txt"}, 2, "--context");
  expect_refused({"--skip-chars", "100000000"}, 1, "--skip-chars");
  expect_refused({"--steps", "100000"}, 1, "--steps");
  expect_refused({"--ctx", "70"}, 1, "--ctx");
  expect_refused({"--chat"}, 2, "--");
  const ProgramResult none = compare({"--budget", "3,4"});  // two values for three layers: no policy can have them
  EXPECT_EQ(none.code, 2);
  EXPECT_EQ(none.out, "");
}

TEST(Compare, ShortOrEmptyTextsAreNamed) {
  const ScratchFolder folder;
  const std::string file = (folder / "short.txt").string();
  const Arguments arguments = {REATTEND_PROGRAM,
                               "compare",
                               "--model",
                               "tests/golden/models/tiny_llama.gguf",
                               "--raw",
                               "--prompt",
                               "the clock",
                               "--steps",
                               "12",
                               "--continuation",
                               file};
  for (const auto& [text, culprit] :
       {std::pair<std::string, std::string>{"", "longer text"}, {"the clock", "--steps"}}) {
    std::ofstream(file, std::ios::trunc) << text;
    const ProgramResult result = run_program(arguments);
    EXPECT_EQ(result.code, 1) << result.err;
    EXPECT_NE(result.err.find(file), std::string::npos) << result.err;
    EXPECT_NE(result.err.find(culprit), std::string::npos) << result.err;
  }
}

TEST(Compare, InterruptPrintsWhatIsFinished) {
  const ProgramResult result = run_program(
      {REATTEND_PROGRAM, "compare", "--model", "tests/golden/models/tiny_llama.gguf", "--raw", "--prompt",
       "the clock in the window", "--ctx", "2000", "--steps", "1000", "--repeats", "1000", "--budget", "40", "--json"},
      [](const pid_t child) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1500));
        kill(child, SIGINT);
      });
  EXPECT_EQ(result.code, 130) << result.err;
  const json report = json::parse(result.out, nullptr, false);
  ASSERT_TRUE(report.is_object()) << result.out << result.err;
  EXPECT_EQ(report["stopped"], true);
  EXPECT_GE(report["policies"].size(), 1U);
}

}  // namespace
}  // namespace reattend::test
