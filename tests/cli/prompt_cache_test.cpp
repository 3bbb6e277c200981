// `--prompt-cache` as a user meets it: the second run says what it loaded and computes the same, mistakes end in a
// line.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace reattend::test {
namespace {

class PromptCacheOption : public ::testing::Test {
 protected:
  ProgramResult run(const char* command, std::vector<std::string> more, const char* model = "tiny_llama.gguf") {
    std::vector<std::string> arguments = {
        REATTEND_PROGRAM, command,        "--model", std::string("tests/golden/models/") + model,
        "--raw",          "--ignore-end", "--steps", "12",
        "--prompt-cache", file_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }
  nlohmann::json json(const char* command, std::vector<std::string> more) {
    more.push_back("--json");
    const ProgramResult result = run(command, std::move(more));
    EXPECT_EQ(result.code, 0) << result.err;
    return nlohmann::json::parse(result.out, nullptr, false);
  }

  ScratchFolder folder_;
  std::string file_ = (folder_ / "prompt.cache").string();
  std::vector<std::string> words_ = {"--prompt", "the clock in the window and the window in the clock"};
};

TEST_F(PromptCacheOption, SecondRunLoadsAndComputesTheSame) {
  std::vector<std::string> small = words_;
  small.insert(small.end(), {"--policy", "recycled", "--budget", "8", "--stride", "4"});
  const auto first = json("run", small), second = json("run", small);
  ASSERT_TRUE(first.is_object() && second.is_object());
  EXPECT_EQ(first["prompt_loaded"], 0);
  EXPECT_EQ(second["prompt_loaded"], second["n_prompt"]);
  EXPECT_GE(second["prefill_s"], second["prompt_load_s"]);
  EXPECT_EQ(second["logits_hash"], first["logits_hash"]);
  EXPECT_EQ(second["text"], first["text"]);
  const ProgramResult lines = run("run", words_);
  EXPECT_NE(lines.err.find("prefill  loaded "), std::string::npos) << lines.err;
  EXPECT_NE(lines.err.find("from " + file_ + " in "), std::string::npos) << lines.err;
}

TEST_F(PromptCacheOption, RecordingALoadedPromptRecordsTheSame) {
  std::vector<std::string> exact = words_;
  exact.insert(exact.end(), {"--prefill", "f32"});  // what a trace is made of
  json("run", exact);
  std::vector<std::string> recorded = words_;
  recorded.insert(recorded.end(), {"--no-calibration", "--prompt-rows", "--out", (folder_ / "a.h5").string()});
  const auto anew = json("record", recorded);
  EXPECT_EQ(anew["prompt_loaded"], 0) << "the sums of rows were not in the file";
  recorded.back() = (folder_ / "b.h5").string();
  const auto loaded = json("record", recorded);
  EXPECT_EQ(loaded["prompt_loaded"], loaded["n_prompt"]);
  EXPECT_EQ(loaded["logits_hash"], anew["logits_hash"]);
  const std::string replay[] = {(folder_ / "a.h5").string(), (folder_ / "b.h5").string()};
  std::string tables[2];
  for (int i = 0; i < 2; ++i) {
    const ProgramResult result =
        run_program({REATTEND_PROGRAM, "replay", replay[i], "--policy", "h2o", "--budget", "8", "--json"});
    EXPECT_EQ(result.code, 0) << result.err;
    auto table = nlohmann::json::parse(result.out, nullptr, false);
    EXPECT_TRUE(table.is_object()) << result.out;
    for (const char* varies : {"trace", "seconds", "ms_per_token", "ms_per_token_full", "speed_up", "replay_s"})
      table.erase(varies);
    tables[i] = table.dump();
  }
  EXPECT_EQ(tables[0], tables[1]);
}

TEST_F(PromptCacheOption, OtherPromptIsToldAndMistakesAreRefused) {
  run("run", words_);
  const std::string first = read_all(file_);
  const std::vector<std::string> another = {"--prompt", "an entirely different beginning"};
  const ProgramResult other = run("run", another);
  EXPECT_EQ(other.code, 0);
  EXPECT_NE(other.err.find("holds another prompt"), std::string::npos) << other.err;
  EXPECT_NE(other.err.find("--replace-prompt-cache"), std::string::npos) << other.err;
  std::vector<std::string> slip = words_;
  slip.insert(slip.end(), {"--kv", "q8"});
  const ProgramResult type = run("run", slip);
  EXPECT_EQ(type.code, 0);
  EXPECT_NE(type.err.find("cache q8"), std::string::npos) << type.err;
  slip = words_;
  slip.insert(slip.end(), {"--activations", "f32"});
  EXPECT_EQ(run("run", slip).code, 0);
  EXPECT_EQ(read_all(file_), first) << "a slip in an option costs no file";
  std::vector<std::string> meant = another;
  meant.push_back("--replace-prompt-cache");
  EXPECT_NE(run("run", meant).err.find("replaces it"), std::string::npos);
  const std::string bytes = read_all(file_);
  EXPECT_NE(bytes, first);
  const ProgramResult model = run("run", words_, "tiny_quant.Q8_0.gguf");
  EXPECT_EQ(model.code, 1);
  EXPECT_NE(model.err.find("tiny_llama.gguf"), std::string::npos) << model.err;
  EXPECT_EQ(read_all(file_), bytes) << "the other model's file is not touched";
  file_ = (folder_ / "none" / "prompt.cache").string();
  const ProgramResult nowhere = run("run", words_);
  EXPECT_EQ(nowhere.code, 1);
  EXPECT_NE(nowhere.err.find("folder"), std::string::npos) << nowhere.err;
  file_ = "tests/golden/models/tiny_llama.gguf";
  const ProgramResult no_cache = run("run", words_);
  EXPECT_EQ(no_cache.code, 1);
  EXPECT_NE(no_cache.err.find("another kind"), std::string::npos) << no_cache.err;
}

}  // namespace
}  // namespace reattend::test
