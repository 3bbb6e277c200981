// `reattend analyse` as a user meets it: what it prints, what it writes, what it refuses.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "tests/support/program.h"
#include "tests/traces/synthetic.h"

namespace reattend {
namespace {

using test::ProgramResult;

constexpr size_t kWidth = 120;
const std::vector<std::string> kNames = {"overlap", "coverage", "cosine",      "gate",
                                         "stride",  "lost",     "sensitivity", "recorded"};

class AnalyseCommand : public ::testing::Test {
 protected:
  static ProgramResult run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {REATTEND_PROGRAM, "analyse"});
    return test::run_program(arguments);
  }
  void SetUp() override { synthetic::write_trace(trace(), 12); }
  std::string trace() const { return file("trace.h5"); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }

  /// One line on stderr that holds `part`, nothing on stdout.
  static void expect_refused(const ProgramResult& result, int code, const std::string& part) {
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find(part), std::string::npos) << part << ": " << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  test::ScratchFolder folder_;
};

TEST_F(AnalyseCommand, PrintsEveryAnalysisInLinesThatFit) {
  const ProgramResult result = run({trace(), "--budget", "16", "--stride", "4"});
  ASSERT_EQ(result.code, 0) << result.err;
  for (const char* title : {"OVERLAP", "COVERAGE", "COSINE", "GATE", "STRIDE", "LOST", "SENSITIVITY", "RECORDED"}) {
    EXPECT_NE(result.out.find(title), std::string::npos) << title;
  }
  EXPECT_EQ(result.out.find("nan"), std::string::npos) << result.out;
  EXPECT_EQ(result.out.find("inf"), std::string::npos) << result.out;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) {
    const auto shown = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
    if (line.find(trace()) == line.npos) {
      EXPECT_LE(static_cast<size_t>(shown), kWidth) << line;
    }
    EXPECT_TRUE(line.empty() || line.back() != ' ') << line;
  }
}

TEST_F(AnalyseCommand, LongListsOfColumnsAreBrokenNotCut) {
  const ProgramResult result =
      run({trace(), "--what", "overlap", "--lags", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20"});
  ASSERT_EQ(result.code, 0) << result.err;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(trace()) == line.npos) {
      EXPECT_LE(line.size(), kWidth) << line;
    }
  }
  EXPECT_NE(result.out.find("-"), std::string::npos) << "lags beyond the trace have no numbers";
}

TEST_F(AnalyseCommand, WritesTheSameFiguresAsJsonAndCsvAndDrawsThem) {
  const std::string json_file = file("out.json");
  const ProgramResult result = run({trace(), "--json", json_file, "--csv", file("csv"), "--chart", file("svg")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("COVERAGE"), std::string::npos) << "the tables are printed as well";
  const nlohmann::json json = nlohmann::json::parse(test::read_all(json_file));
  EXPECT_EQ(json["n_step"], 12);
  for (const std::string& name : kNames) {
    ASSERT_TRUE(json.contains(name)) << name;
    ASSERT_FALSE(json[name].empty()) << name;
    const std::string csv = test::read_all(file("csv/" + name + ".csv"));
    EXPECT_EQ(static_cast<size_t>(std::count(csv.begin(), csv.end(), '\n')), json[name].size() + 1) << name;
    const std::string svg = test::read_all(file("svg/" + name + ".svg"));
    EXPECT_TRUE(svg.starts_with("<?xml") && svg.ends_with("</svg>\n")) << name;
    EXPECT_EQ(svg.find("nan"), std::string::npos) << name;
  }
  for (const char* name : {"coverage_needed", "gate_thresholds", "gate_roc", "lost_tokens"}) {
    EXPECT_TRUE(json.contains(name)) << name;
    EXPECT_FALSE(test::read_all(file("csv/" + std::string(name) + ".csv")).empty()) << name;
  }
  const ProgramResult printed = run({trace(), "--json"});
  EXPECT_EQ(nlohmann::json::parse(printed.out)["coverage"], json["coverage"]);
  expect_refused(run({trace(), "--csv", file("csv")}), 2, "--force");
  expect_refused(run({trace(), "--chart", file("svg")}), 2, "--force");
  expect_refused(run({trace(), "--json", json_file}), 2, "--force");
  expect_refused(run({trace(), "--chart", file("gif"), "--chart-format", "gif"}), 2, "--chart-format");
  for (const char* name : {"one.png", "one.svg"}) {
    expect_refused(run({trace(), "--chart", file(name)}), 2, "there are several charts");
    EXPECT_FALSE(std::filesystem::exists(file(name)));
  }
  EXPECT_EQ(run({trace(), "--what", "cosine", "--csv", file("csv"), "--force"}).code, 0);
}

TEST_F(AnalyseCommand, DrawsPixelsWhereTheyAreAskedFor) {
  const std::vector<std::string> command = {trace(),      "--what",         "coverage", "--chart",
                                            file("both"), "--chart-format", "both"};
  const ProgramResult result = run(command);
  if (result.err.find("rsvg-convert") != std::string::npos) GTEST_SKIP() << result.err;
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(test::read_all(file("both/coverage.png")).starts_with("\x89PNG"));
  EXPECT_TRUE(test::read_all(file("both/coverage.svg")).starts_with("<?xml"));
  expect_refused(run(command), 2, "--force");
}

TEST_F(AnalyseCommand, TakesLayersPoliciesAndParts) {
  const ProgramResult one = run({trace(), "--what", "coverage,stride", "--layers", "1", "--json"});
  ASSERT_EQ(one.code, 0) << one.err;
  const nlohmann::json json = nlohmann::json::parse(one.out);
  EXPECT_FALSE(json.contains("overlap"));
  for (const auto& row : json["coverage"]) EXPECT_TRUE(row["layer"] == 1 || row["layer"] == "all");
  for (const char* policy : {"streaming", "h2o", "tova", "quest", "tokenselect", "oracle", "snapkv"}) {
    const ProgramResult result =
        run({trace(), "--what", "lost,sensitivity,gate", "--policy", policy, "--budget", "34", "--budgets", "36,40"});
    EXPECT_EQ(result.code, 0) << policy << ": " << result.err;
  }
  EXPECT_EQ(run({trace(), "--granularity", "kv_head", "--stale-alone", "--stride", "never", "--top", "0"}).code, 0);
}

/// `--json` takes the word behind it: with --force a trace would be gone for a slip of the hand.
TEST_F(AnalyseCommand, NoTextIsEverWrittenOverATrace) {
  std::filesystem::copy(trace(), file("named.json"));
  std::filesystem::copy(trace(), file("named.svg"));
  const std::string bytes = test::read_all(trace());
  const auto program = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), REATTEND_PROGRAM);
    return test::run_program(arguments);
  };
  expect_refused(program({"analyse", "--force", "--json", trace()}), 2, "before --json");
  expect_refused(program({"analyse", trace(), "--force", "--json", trace()}), 2, ".json");
  expect_refused(program({"analyse", trace(), "--force", "--json", file("named.json")}), 2, "no text");
  expect_refused(program({"analyse", "--json=" + trace(), "--force", trace()}), 2, ".json");
  const std::vector<std::string> bench = {"bench", "--model", "tests/golden/models/tiny_llama.gguf", "--force"};
  for (const auto& [more, reason] :
       std::vector<std::pair<std::vector<std::string>, const char*>>{{{"--json", trace()}, ".json"},
                                                                     {{"--json", file("named.json")}, "no text"},
                                                                     {{"--chart", file("named.svg")}, "no text"}}) {
    std::vector<std::string> all = bench;
    all.insert(all.end(), more.begin(), more.end());
    expect_refused(program(all), 2, reason);
  }
  EXPECT_EQ(program({"bench", "replay", "--repeats", "1", "--json", trace()}).code, 0) << "a flag there";
  for (const char* format : {"csv", "json", "perfetto"}) {
    expect_refused(program({"trace", "export", trace(), "--format", format, "--force", "--out", trace()}), 2,
                   "no text");
  }
  expect_refused(program({"compare", "--model", "tests/golden/models/tiny_llama.gguf", "--prompt", "the clock",
                          "--force", "--csv", trace()}),
                 2, "no text");
  for (const std::string& name : {trace(), file("named.json"), file("named.svg")}) {
    EXPECT_EQ(test::read_all(name), bytes) << name;
  }
}

TEST_F(AnalyseCommand, OddInputIsOneLineAndAnExitCode) {
  expect_refused(run({}), 2, "TRACE");
  expect_refused(run({file("none.h5")}), 1, "none.h5");
  expect_refused(run({"README.md"}), 1, "README.md");
  expect_refused(run({"--json", trace()}), 2, "before --json");
  expect_refused(run({trace(), "--what", "song"}), 2, "sensitivity");
  expect_refused(run({trace(), "--what", ""}), 2, "--what");
  for (const char* wrong : {"2", "x", "1-", "1-0", "0,", "-1", "99999999999", "0,0"}) {
    expect_refused(run({trace(), "--layers=" + std::string(wrong)}), 2, "layers");
  }
  expect_refused(run({trace(), "--budget", "0"}), 2, "from 1 to");
  for (const char* wrong : {"0", "x", "1,", "[3]", "L/0"}) {
    expect_refused(run({trace(), "--budgets", wrong}), 2, "budget");
  }
  expect_refused(run({trace(), "--budgets", "auto"}), 2, "auto");
  expect_refused(run({trace(), "--lags", "0"}), 2, "--lags");
  expect_refused(run({trace(), "--strides", "4,never"}), 2, "--strides");
  expect_refused(run({trace(), "--thresholds", "nan"}), 2, "from -1 to 2");
  expect_refused(run({trace(), "--rho", "1.5"}), 2, "--rho");
  expect_refused(run({trace(), "--policy", "full"}), 2, "budget");
  expect_refused(run({trace(), "--csv", "README.md"}), 1, "README.md");
  synthetic::write_trace(file("empty.h5"), 0);
  expect_refused(run({file("empty.h5")}), 1, "decode step");
}

}  // namespace
}  // namespace reattend
