// Models whose weights or whose text end a run: what a user is told, and that the trace up to there is sound.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/support/program.h"

namespace reattend::test {
namespace {

using Words = std::vector<std::string>;

constexpr size_t kVocabulary = 288, kRow = 64 * sizeof(float);  // of the tiny model
const std::string kTiny = "tests/golden/models/tiny_llama.gguf";

ProgramResult reattend(Words arguments) {
  arguments.insert(arguments.begin(), REATTEND_PROGRAM);
  return run_program(std::move(arguments));
}

Words with(Words arguments, const Words& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

class TinyModel : public testing::Test {
 protected:
  /// The tiny model with some of its bytes replaced.
  std::string model(size_t at, const std::string& bytes) const {
    std::string all = read_all(kTiny);
    all.replace(at, bytes.size(), bytes);
    const std::string path = (folder / "model.gguf").string();
    std::ofstream(path, std::ios::binary) << all;
    return path;
  }
  /// NaN in the first weight of row `id` of output.weight, which is the file's last tensor.
  std::string with_nan_logit(size_t id) const {
    return model(std::filesystem::file_size(kTiny) - (kVocabulary - id) * kRow, nan());
  }
  /// NaN in the embedding of token `id`, the file's first tensor.
  std::string with_nan_embedding(size_t id) const {
    const std::string name = "token_embd.weight", all = read_all(kTiny);
    const size_t data = std::filesystem::file_size(kTiny) - kVocabulary * kRow - kOutputAt;
    EXPECT_NE(all.find(name), std::string::npos);
    return model(data + id * kRow, nan());
  }
  /// `id` ends the text.
  std::string that_ends_at(int32_t id) const {
    const std::string key = "tokenizer.ggml.eos_token_id";
    const size_t at = read_all(kTiny).find(key) + key.size() + sizeof(uint32_t);
    return model(at, std::string(reinterpret_cast<const char*>(&id), sizeof id));
  }
  Words record(const std::string& model, int steps, const Words& more = {}) const {
    return with({"record", "--model", model, "--raw", "--prompt", "hello there", "--no-calibration", "--steps",
                 std::to_string(steps), "--force", "--out", trace},
                more);
  }
  /// The tokens that the undamaged model writes, and its prompt.
  std::vector<int32_t> tokens(int steps) const {
    EXPECT_EQ(reattend(record(kTiny, steps, {"--ignore-end"})).code, 0);
    const std::string json = (folder / "t.json").string();
    EXPECT_EQ(reattend({"trace", "export", trace, "--format", "json", "--out", json, "--force"}).code, 0);
    std::vector<int32_t> out;
    const auto all = nlohmann::json::parse(read_all(json));
    for (const auto& step : all["steps"]) out.push_back(step["token"]);
    if (static_cast<int>(out.size()) != steps) throw std::runtime_error("the tiny model's text is not whole");
    return out;
  }
  int64_t steps_of_a_sound_trace() const {
    const ProgramResult check = reattend({"trace", "check", trace});
    EXPECT_EQ(check.code, 0) << check.out << check.err;
    return nlohmann::json::parse(reattend({"info", trace, "--json"}).out)["decode steps"];
  }

  static constexpr size_t kOutputAt = 382720;  ///< bytes of tensors before output.weight
  const ScratchFolder folder;
  const std::string trace = (folder / "t.h5").string();

 private:
  static std::string nan() {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    return {reinterpret_cast<const char*>(&kNan), sizeof kNan};
  }
};

/// Every sampler passes over a single NaN, and so did every table: KL was "-" and agreement 1.
TEST_F(TinyModel, ANanLogitEndsEveryCommandThatRunsTheModel) {
  ASSERT_EQ(reattend(record(kTiny, 4, {"--ignore-end"})).code, 0);
  const std::string whole = (folder / "whole.h5").string(), damaged = with_nan_logit(5);
  std::filesystem::copy_file(trace, whole);
  const std::string one = (folder / "case.json").string();
  std::ofstream(one) << R"({"model": ")" << damaged
                     << R"(", "policy": {"name": "full"}, "prompt": [1, 2, 3], "continuation": [4, 5, 6]})";
  const Words prompt = {"--model", damaged, "--raw", "--prompt", "hello there", "--steps", "4"};
  for (const Words& command : {with({"run"}, prompt), with({"run", "--temperature", "0.7"}, prompt), record(damaged, 4),
                               with({"compare", "--policies", "streaming:K=4", "--repeats", "0"}, prompt),
                               Words{"case", one, "--out", (folder / "c.h5").string()},
                               Words{"calibrate", "--model", damaged, "--tokens", "512"},
                               Words{"bench", "--model", damaged, "--parts", "steps", "--depths", "0",
                                     "--prompt-tokens", "8", "--steps", "2", "--repeats", "1", "--no-peer"}}) {
    const ProgramResult result = reattend(command);
    EXPECT_EQ(result.code, 1) << command[0] << result.out << result.err;
    EXPECT_NE(result.err.find("logits: NaN in 1 of 288; the model's weights may be damaged (after position "),
              std::string::npos)
        << command[0] << ": " << result.err;
    EXPECT_NE(result.err.find("the first for token 5)"), std::string::npos) << command[0] << ": " << result.err;
  }
  EXPECT_EQ(read_all(trace), read_all(whole)) << "a run without a step replaces nothing";
}

/// The embedding of a token that comes up later: the steps before it are a trace.
TEST_F(TinyModel, ANanOfALaterStepLeavesTheStepsBeforeIt) {
  const std::vector<int32_t> all = tokens(24);
  size_t step = 3;  // 0-based: the first from here on whose token the run did not feed before
  while (step < all.size() && std::find(all.begin(), all.begin() + static_cast<long>(step), all[step]) !=
                                  all.begin() + static_cast<long>(step)) {
    ++step;
  }
  ASSERT_LT(step, all.size());
  const ProgramResult result =
      reattend(record(with_nan_embedding(static_cast<size_t>(all[step])), 24, {"--ignore-end"}));
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("logits: NaN in 288 of 288"), std::string::npos) << result.err;
  EXPECT_EQ(steps_of_a_sound_trace(), static_cast<int64_t>(step));
}

/// A trace of no steps is of use to nobody, and "--steps 1 or more" is what the user gave.
TEST_F(TinyModel, ATextThatEndsAtOnceSaysSoInEveryCommand) {
  const std::string model = that_ends_at(tokens(1)[0]);
  const ProgramResult result = reattend(record(model, 8));
  EXPECT_EQ(result.code, 1) << "what was asked for was not made";
  EXPECT_NE(result.err.find("the model ended its text after 0 of 8 steps; --ignore-end goes on"), std::string::npos)
      << result.err;
  EXPECT_EQ(steps_of_a_sound_trace(), 0);
  for (const Words& command : {Words{"replay", trace},
                               {"tune", trace},
                               {"analyse", trace},
                               {"bench", "replay", trace},
                               {"verify", trace, "--model", model, "--policy", "streaming"}}) {
    const ProgramResult later = reattend(command);
    EXPECT_EQ(later.code, 1) << command[0];
    EXPECT_NE(later.err.find("where the model ends its text at once, --ignore-end goes on"), std::string::npos)
        << command[0] << ": " << later.err;
  }
  EXPECT_EQ(reattend(record(model, 8, {"--ignore-end"})).code, 0);
  EXPECT_EQ(steps_of_a_sound_trace(), 8);
}

TEST_F(TinyModel, ARecordingThatEndsEarlySaysAfterHowManySteps) {
  const std::vector<int32_t> all = tokens(24);
  size_t step = 1;
  while (std::find(all.begin(), all.begin() + static_cast<long>(step), all[step]) !=
         all.begin() + static_cast<long>(step)) {
    ASSERT_LT(++step, all.size());
  }
  const std::string model = that_ends_at(all[step]);
  const ProgramResult result = reattend(record(model, 24)), json = reattend(record(model, 24, {"--json"}));
  EXPECT_EQ(result.code, 0) << result.err;
  const std::string said = "the model ended its text after " + std::to_string(step) + " of 24 steps; --ignore-end";
  EXPECT_NE(result.err.find(said), std::string::npos) << result.err;
  EXPECT_NE(json.err.find(said), std::string::npos) << json.err;
  EXPECT_EQ(nlohmann::json::parse(json.out)["ended"], true);
  EXPECT_EQ(nlohmann::json::parse(reattend(record(kTiny, 4, {"--json", "--ignore-end"})).out)["ended"], false);
}

/// The rule of the settings, where users meet it: the engine and the replay refuse the same, sweeps of their own choose
/// what there is.
TEST_F(TinyModel, ABudgetThatIsNothingIsRefusedInEngineAndReplayAlike) {
  const std::string ids = (folder / "ids.json").string(), culprit = "K: expected a fraction of the prompt";
  std::ofstream(ids) << "[40, 41]";
  const Words prompt = {"--model", kTiny, "--prompt-tokens", ids, "--steps", "6", "--ignore-end"};
  ASSERT_EQ(reattend(with({"record", "--no-calibration", "--out", trace}, prompt)).code, 0);
  for (const Words& command : {with({"run", "--policy", "streaming", "--budget", "L/3"}, prompt),
                               Words{"replay", trace, "--policy", "streaming", "--budget", "L/3"},
                               {"analyse", trace, "--budget", "L/3"},
                               {"analyse", trace, "--budgets", "L/3"},
                               {"tune", trace, "--budgets", "L/3", "--out", (folder / "s.toml").string()}}) {
    const ProgramResult result = reattend(command);
    EXPECT_EQ(result.code, 2) << command[0] << result.err;
    EXPECT_NE(result.err.find(culprit), std::string::npos) << command[0] << ": " << result.err;
    EXPECT_NE(result.err.find("got L/3, which is 0"), std::string::npos) << command[0] << ": " << result.err;
  }
  for (const Words& command : {Words{"analyse", trace}, Words{"tune", trace, "--out", (folder / "s.toml").string()}}) {
    const ProgramResult result = reattend(command);
    EXPECT_EQ(result.code, 0) << command[0] << ": " << result.err;
  }
}

}  // namespace
}  // namespace reattend::test
