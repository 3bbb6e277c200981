// Wrong use and broken files: a user gets one line that names the culprit, and an exit code a script can rely on.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "tests/support/program.h"

namespace reattend::test {
namespace {

const std::string kTiny = "tests/golden/models/tiny_llama.gguf";

ProgramResult reattend(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), REATTEND_PROGRAM);
  return run_program(std::move(arguments));
}

/// One line on stderr, nothing on stdout, the exit code, and in the line what was wrong.
void expect_complaint(const std::vector<std::string>& arguments, const int code, const std::string& culprit) {
  const ProgramResult result = reattend(arguments);
  std::string line;
  for (const std::string& argument : arguments) line += argument + " ";
  EXPECT_EQ(result.code, code) << line << result.err;
  EXPECT_EQ(result.out, "") << line;
  EXPECT_TRUE(result.err.starts_with("reattend: ")) << line << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << line << result.err;
  EXPECT_NE(result.err.find(culprit), std::string::npos) << line << result.err;
}

std::vector<std::string> tiny_run(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"run", "--model", kTiny, "--raw", "--steps", "4"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

struct WrongUse {
  std::vector<std::string> arguments;
  std::string culprit;
};

class CommandLine : public testing::TestWithParam<WrongUse> {};
TEST_P(CommandLine, WrongUseIsExitCode2AndOneLineNamingIt) {
  expect_complaint(GetParam().arguments, 2, GetParam().culprit);
}
INSTANTIATE_TEST_SUITE_P(Program, CommandLine,
                         testing::Values(WrongUse{{}, "command"}, WrongUse{{"sing"}, "sing"},
                                         WrongUse{{"run", "--loudly"}, "--loudly"},
                                         WrongUse{{"--threads", "-2", "info"}, "--threads"},
                                         WrongUse{{"info", "--progress", "fast"}, "fast"}));
INSTANTIATE_TEST_SUITE_P(
    Policy, CommandLine,
    testing::Values(
        WrongUse{tiny_run({"--prompt", "hi", "--policy", "recycled", "--budget", "0"}), "budget"},
        WrongUse{tiny_run({"--prompt", "hi", "--policy", "recycled", "--budget", "-5"}), "-5"},
        WrongUse{tiny_run({"--prompt", "hi", "--policy", "recycled", "--stride", "0"}), "stride"},
        WrongUse{tiny_run({"--prompt", "hi", "--policy", "recycled", "--schedule", "query", "--threshold", "2.01"}),
                 "threshold"},
        WrongUse{tiny_run({"--prompt", "hi", "--policy", "recycled", "--schedule", "query", "--threshold", "-2.01"}),
                 "threshold"},
        WrongUse{tiny_run({"--prompt", "hi", "--policy", "telepathy"}), "telepathy"},
        WrongUse{tiny_run({"--prompt", "hi", "--policy", "full", "--stride", "4"}), "stride"}));
INSTANTIATE_TEST_SUITE_P(
    Prompt, CommandLine,
    testing::Values(WrongUse{tiny_run({"--prompt", ""}), "--prompt"}, WrongUse{tiny_run({}), "--prompt"},
                    WrongUse{tiny_run({"--prompt-file", "/dev/null"}), "/dev/null"},
                    WrongUse{tiny_run({"--prompt", "hi", "--prompt-file", "x"}), "--prompt-file"},
                    WrongUse{tiny_run({"--prompt", "hi", "--device", "abacus"}), "abacus"},
                    WrongUse{tiny_run({"--prompt", "hi", "--kv", "f8"}), "f8"},
                    WrongUse{tiny_run({"--prompt", "hi", "--activations", "q2"}), "q2"},
                    WrongUse{tiny_run({"--prompt", "hi", "--prefill", "f16"}), "f16"},
                    WrongUse{tiny_run({"--prompt", "hi", "--device", "reference", "--prefill", "bf16"}), "bf16"},
                    WrongUse{tiny_run({"--prompt", "hi", "--temperature", "-1"}), "--temperature"},
                    WrongUse{tiny_run({"--prompt", "hi", "--top-p", "1.5"}), "--top-p"},
                    WrongUse{tiny_run({"--prompt", "hi", "--top-k", "2.5"}), "--top-k"},
                    WrongUse{tiny_run({"--prompt", "hi", "--ctx", "-1"}), "--ctx"}));

TEST(Files, MissingModelIsNamedWithTheWayToGetOne) {
  expect_complaint({"run", "--model", "/nowhere/model.gguf", "--prompt", "hi"}, 1, "/nowhere/model.gguf");
  expect_complaint({"info", "nowhere.gguf"}, 1, "nowhere.gguf");
  setenv("XDG_CACHE_HOME", "/nowhere", 1);
  expect_complaint({"run", "--prompt", "hi"}, 1, "reattend get-model");
  unsetenv("XDG_CACHE_HOME");
}

TEST(Files, GarbledModelIsNamed) {
  const ScratchFolder folder;
  const std::string model = (folder / "model.gguf").string(), whole = read_all(kTiny);
  for (const size_t size : {size_t{3}, size_t{30}, size_t{1000}, whole.size() - 1}) {
    std::ofstream(model, std::ios::binary) << whole.substr(0, size);
    expect_complaint({"run", "--model", model, "--raw", "--prompt", "hi"}, 1, model);
  }
  std::string other = whole;
  for (size_t at = other.find("llama"); at != std::string::npos; at = other.find("llama", at))
    other.replace(at, 5, "mamba");
  std::ofstream(model, std::ios::binary) << other;
  expect_complaint({"run", "--model", model, "--raw", "--prompt", "hi"}, 1, "mamba");
  other = whole;
  other[4] = 9;  // the format's version
  std::ofstream(model, std::ios::binary) << other;
  expect_complaint({"run", "--model", model, "--raw", "--prompt", "hi"}, 1, "9");
}

TEST(Files, SomethingElseThanAModelOrTraceIsNamed) {
  expect_complaint({"info", "README.md"}, 1, "README.md");
  expect_complaint({"info", "tests"}, 2, "tests");
}

TEST(Files, TokenIdsOutsideTheVocabularyAreNamed) {
  const ScratchFolder folder;
  const std::string file = (folder / "ids.json").string();
  std::ofstream(file) << "[1, 2, 288]";
  expect_complaint(tiny_run({"--prompt-tokens", file}), 1, "288");
  std::ofstream(file) << "[1, 2, 1.5]";
  expect_complaint(tiny_run({"--prompt-tokens", file}), 1, "1.5");
  std::ofstream(file) << "{\"words\": []}";
  expect_complaint(tiny_run({"--prompt-tokens", file}), 1, file);
  std::ofstream(file) << "[1, 2";
  expect_complaint(tiny_run({"--prompt-tokens", file}), 1, "JSON");
}

TEST(Files, PromptBeyondTheContextIsRefusedWithBothNumbers) {
  expect_complaint(tiny_run({"--prompt", "one two three", "--ctx", "5"}), 1, "5 positions");
  const ScratchFolder folder;
  const std::string file = (folder / "long.txt").string();
  std::ofstream(file) << std::string(100'000, 'z');
  expect_complaint(tiny_run({"--prompt-file", file}), 1, "tokens of prompt");
}

/// A case file of the tiny model with these ids.
std::string write_case(const std::filesystem::path& path, const std::string& prompt, const std::string& continuation) {
  std::ofstream(path) << R"({"model": ")" << std::filesystem::absolute(kTiny).string()
                      << R"(", "policy": {"name": "full"}, "prompt": [)" << prompt << R"(], "continuation": [)"
                      << continuation << "]}";
  return path.string();
}

TEST(Files, CaseFilesAreCheckedBeforeTheyRun) {
  const ScratchFolder folder;
  const std::string out = (folder / "out.h5").string();
  expect_complaint({"case", write_case(folder / "predicted.json", "1, 2", "3, 999"), "--out", out}, 1, "999");
  expect_complaint({"case", write_case(folder / "short.json", "1, 2", "3"), "--out", out}, 1, "continuation");
  expect_complaint({"case", write_case(folder / "word.json", "1, \"two\"", "3, 4"), "--out", out}, 1, "two");
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(Files, LinksAndDevicesAreNeverReplaced) {
  const ScratchFolder folder;
  std::ofstream(folder / "precious.h5") << "precious";
  std::filesystem::create_symlink(folder / "precious.h5", folder / "link.h5");
  const std::string one = write_case(folder / "case.json", "1, 2", "3, 4");
  expect_complaint({"case", one, "--out", (folder / "link.h5").string(), "--force"}, 2, "link.h5");
  expect_complaint({"case", one, "--out", "/dev/null", "--force"}, 2, "/dev/null");
  EXPECT_EQ(read_all((folder / "precious.h5").string()), "precious");
}

/// What the writer would refuse after hours is refused before the model is opened.
TEST(Files, NoTextEverTakesTheNameOfATraceWhateverIsForced) {
  const ScratchFolder folder;
  const std::string trace = (folder / "run.h5").string(), none = (folder / "none").string();
  std::filesystem::copy_file("tests/golden/traces/recycled_1_0.h5", trace);
  const std::string before = read_all(trace);
  std::filesystem::create_directory(folder / "demo");
  const std::vector<std::string> reports = {(folder / "demo/report.md").string(), (folder / "r.md").string(),
                                            (folder / "q-front.svg").string()};
  for (const std::string& report : reports) std::filesystem::copy_file(trace, report);
  const std::string culprit = "no text (a trace, a model)";
  expect_complaint({"calibrate", "--model", none, "--out", trace, "--force"}, 2, culprit);
  expect_complaint({"verify", none, "--policy", "tova", "--out", trace, "--force"}, 2, culprit);
  expect_complaint({"tune", none, "--out", trace, "--force"}, 2, culprit);
  expect_complaint({"tune", none, "--report", reports[1], "--force"}, 2, culprit);
  expect_complaint({"tune", none, "--report", (folder / "q.md").string(), "--force"}, 2, culprit);
  expect_complaint(
      {"demo", "--text", "assets/prose.txt", "--model", none, "--out", (folder / "demo").string(), "--force"}, 2,
      culprit);
  EXPECT_EQ(read_all(trace), before);
}

/// A figure of the report would take the place of the settings just written.
TEST(Files, AReportsFiguresAndTheSettingsHaveDifferentNames) {
  const ScratchFolder folder;
  const std::string none = (folder / "none.h5").string();
  expect_complaint(
      {"tune", none, "--out", (folder / "r2-front.svg").string(), "--report", (folder / "r2.md").string(), "--force"},
      2, "--out: expected another file");
  expect_complaint(
      {"tune", none, "--out", (folder / "r2-front.svg").string(), "--report", (folder / "r2.html").string(), "--force"},
      1, "none.h5");
}

TEST(Files, ListsOfAnotherModelsSettingsNameTheirFile) {
  const ScratchFolder folder;
  const std::string settings = (folder / "s.toml").string(), trace = "tests/golden/traces/recycled_1_0.h5";
  std::ofstream(settings) << "[policy]\nname = \"recycled\"\nS = [4, 8, 4, 8, 4, 8, 4]\n";
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"replay", trace},
        {"verify", trace},
        {"analyse", trace},
        {"tune", trace},
        tiny_run({"--prompt", "hi"}),
        {"record", "--model", kTiny, "--raw", "--prompt", "hi", "--out", (folder / "a.h5").string()}}) {
    std::vector<std::string> with = command;
    with.insert(with.end(), {"--settings", settings});
    expect_complaint(with, 2, "s.toml: S: expected one value");
    expect_complaint(with, 2, "tuned for another model");
  }
  expect_complaint({"replay", trace, "--settings", settings, "--stride", "4,8"}, 2, "reattend: S: expected one value");
}

TEST(Numbers, ListsNameTheirOwnOptionAndOfferNoListInAList) {
  const std::string trace = "tests/golden/traces/recycled_1_0.h5";
  for (const std::string command : {"tune", "analyse"}) {
    for (const auto& [option, value] : {std::pair{"--budgets", "never"}, {"--thresholds", "nan"}}) {
      expect_complaint({command, trace, option, value}, 2, std::string(option) + ": expected ");
      EXPECT_EQ(reattend({command, trace, option, value}).err.find("for each layer"), std::string::npos) << command;
    }
  }
  expect_complaint({"tune", trace, "--strides", "0"}, 2, "--strides: expected an integer from 1");
  expect_complaint({"tune", trace, "--gate-strides", "4,x"}, 2, "--gate-strides: expected");
  expect_complaint({"tune", ""}, 2, "traces: expected a value, got an empty text");
}

TEST(Numbers, ABoundThatIsNotANumberIsRefused) {
  expect_complaint({"demo", "--text", "README.md", "--model", kTiny, "--max-kl", "nan", "--out", "nowhere"}, 2,
                   "max-kl");
}

}  // namespace
}  // namespace reattend::test
