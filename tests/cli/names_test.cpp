// Long names: every command that writes a file takes those that the folder takes, and refuses others before it works.
#include <gtest/gtest.h>

#include "tests/support/program.h"

namespace reattend::test {
namespace {

using Words = std::vector<std::string>;

const std::string kTiny = "tests/golden/models/tiny_llama.gguf", kTrace = "tests/golden/traces/recycled_1_0.h5";

ProgramResult reattend(Words arguments) {
  arguments.insert(arguments.begin(), REATTEND_PROGRAM);
  return run_program(std::move(arguments));
}

/// A command whose last argument is the name of a file that it makes.
struct Command {
  std::string name, extension;
  Words arguments;
};
class Names : public testing::TestWithParam<Command> {
 protected:
  ProgramResult write(size_t n) {
    Words all = GetParam().arguments;
    const std::string& extension = GetParam().extension;
    all.push_back((folder / (std::string(n - extension.size(), 'x') + extension)).string());
    path = all.back();
    return reattend(all);
  }
  const ScratchFolder folder;
  std::string path;
};

TEST_P(Names, UpToTheLongestWork) {
  for (const size_t n : {240, 255}) {
    const ProgramResult result = write(n);
    EXPECT_EQ(result.code, 0) << n << ": " << result.err;
    EXPECT_TRUE(std::filesystem::exists(path)) << n;
  }
  for (const auto& each : std::filesystem::directory_iterator(folder / "")) {
    EXPECT_EQ(each.path().string().find(".part-"), std::string::npos) << "left behind: " << each.path();
  }
}

TEST_P(Names, LongerOnesAreRefusedAsWrongUse) {
  const ProgramResult result = write(256);
  EXPECT_EQ(result.code, 2) << result.err;
  EXPECT_EQ(result.out, "") << "nothing is worked out for a name that can't be";
  EXPECT_NE(result.err.find("expected a name of at most 255 bytes"), std::string::npos) << result.err;
}

INSTANTIATE_TEST_SUITE_P(
    Every, Names,
    testing::Values(
        Command{"record",
                ".h5",
                {"record", "--model", kTiny, "--raw", "--prompt", "hi", "--steps", "1", "--ignore-end",
                 "--no-calibration", "--out"}},
        Command{"prompt_cache",
                ".prompt",
                {"run", "--model", kTiny, "--raw", "--prompt", "hi", "--steps", "1", "--ignore-end", "--prompt-cache"}},
        Command{"compare_chart",
                ".svg",
                {"compare", "--model", kTiny, "--raw", "--prompt", "hi there", "--steps", "2", "--policies",
                 "streaming:K=2", "--repeats", "0", "--chart"}},
        Command{"tune", ".toml", {"tune", kTrace, "--budgets", "4", "--strides", "4", "--schedules", "0", "--out"}},
        Command{
            "verify", ".json", {"verify", kTrace, "--model", kTiny, "--policy", "streaming", "--budget", "4", "--out"}},
        Command{"repair", ".h5", {"trace", "repair", kTrace, "--out"}},
        Command{"slice", ".h5", {"trace", "slice", kTrace, "--steps", "1:2", "--out"}},
        Command{"export", ".json", {"trace", "export", kTrace, "--format", "perfetto", "--out"}},
        Command{"analyse_json", ".json", {"analyse", kTrace, "--json"}}),
    [](const auto& of) { return of.param.name; });

/// The names of a study's results come from its traces' names.
TEST(StudyNames, AreRefusedBeforeTheStudy) {
  const ScratchFolder folder;
  const std::string trace = (folder / (std::string(252, 'x') + ".h5")).string();
  std::filesystem::copy_file(kTrace, trace);
  const ProgramResult result = reattend({"study", trace, "--model", kTiny, "--out", (folder / "study").string()});
  EXPECT_EQ(result.code, 2) << result.err;
  EXPECT_NE(result.err.find("expected a name of at most 255 bytes"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace reattend::test
