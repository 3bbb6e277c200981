// What a user of a model with windows of its own sees of them: info, refusals, predictions, and the numbers of a text.
#include <gtest/gtest.h>

#include <fstream>

#include <nlohmann/json.hpp>

#include "engine/model/gguf.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/program.h"

namespace reattend {
namespace {

using test::ProgramResult;

constexpr const char* kGemma = "tests/golden/models/tiny_gemma3.gguf";  // windows of 8 in all layers but 3 and 7
constexpr const char* kPrompt = "tests/golden/policies/tiny_gemma3_recycled_s4_k16.json";

ProgramResult reattend(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), REATTEND_PROGRAM);
  return test::run_program(arguments);
}

TEST(ModelWithWindows, InfoSaysWhereAPolicyActsAndWhatACacheCosts) {
  const ProgramResult text = reattend({"info", kGemma});
  ASSERT_EQ(text.code, 0) << text.err;
  for (const char* part : {"layers 3, 7", "positions in layers 0-2, 4-6", "of windows"}) {
    EXPECT_NE(text.out.find(part), std::string::npos) << part << " in\n" << text.out;
  }
  const auto json = nlohmann::json::parse(reattend({"info", "tests/golden/models/tiny_gemma2.gguf", "--json"}).out);
  EXPECT_EQ(json["cap of scores"], 3);
  EXPECT_EQ(json["cap of logits"], 4);
  EXPECT_EQ(json["windows"]["7"], "positions in layers 0, 2");
}

TEST(ModelWithWindows, ALayerWithAWindowIsNeitherRecordedNorReplayed) {
  const test::ScratchFolder folder;
  const std::string trace = (folder / "a.h5").string();
  const std::vector<std::string> record = {"record", "--raw",   "--ignore-end", "--model", kGemma, "--prompt-tokens",
                                           kPrompt,  "--steps", "12",           "--out",   trace,  "--no-calibration"};
  std::vector<std::string> windowed = record;
  windowed.insert(windowed.end(), {"--layers", "2,3"});
  const ProgramResult refused = reattend(windowed);
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("layers without a window of their own (3, 7)"), std::string::npos) << refused.err;
  ASSERT_EQ(reattend(record).code, 0);
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"replay", trace, "--layers", "2"},
        std::vector<std::string>{"trace", "slice", trace, "--layers", "2", "--out", (folder / "b.h5").string()}}) {
    const ProgramResult result = reattend(command);
    EXPECT_EQ(result.code, 2) << result.err;
    EXPECT_NE(result.err.find("8 positions whatever the policy"), std::string::npos) << result.err;
  }
}

// What layers with windows read is read under every policy: the bytes of a replay are the engine's.
TEST(ModelWithWindows, BytesOfAReplayAreTheEngines) {
  const test::ScratchFolder folder;
  const std::string trace = (folder / "a.h5").string();
  const std::vector<std::string> policy = {"--policy", "recycled", "--stride", "4", "--budget", "16"};
  std::vector<std::string> record = {"record", "--raw",   "--ignore-end", "--model", kGemma, "--prompt-tokens",
                                     kPrompt,  "--steps", "12",           "--out",   trace,  "--no-calibration"};
  record.insert(record.end(), policy.begin(), policy.end());
  ASSERT_EQ(reattend(record).code, 0);
  std::vector<std::string> replay = {"replay", trace, "--json"};
  replay.insert(replay.end(), policy.begin(), policy.end());
  const auto json = nlohmann::json::parse(reattend(replay).out);
  const std::string csv = (folder / "a.csv").string();
  ASSERT_EQ(reattend({"trace", "export", trace, "--format", "csv", "--out", csv}).code, 0);
  std::ifstream file(csv);
  std::string line, cell;
  std::getline(file, line);
  std::istringstream names(line);
  size_t column = 0;
  while (std::getline(names, cell, ',') && cell.find("bytes_attend") == std::string::npos) ++column;
  double sum = 0;
  int n = 0;
  for (; std::getline(file, line); ++n) {
    std::istringstream cells(line);
    for (size_t i = 0; i <= column; ++i) std::getline(cells, cell, ',');
    sum += std::stod(cell);
  }
  ASSERT_EQ(n, 12);
  EXPECT_NEAR(json["total"]["bytes_attend"].get<double>(), sum / n, 1e-6 * sum) << json.dump(2);
}

// Whoever asks for a policy there would take full attention's time and text for the policy's.
TEST(ModelWithWindows, ThatNoPolicyActsIsSaidWhereAllLayersHaveOne) {
  const test::ScratchFolder folder;
  const std::string model = (folder / "windows.gguf").string();
  testing::GgufWriter writer = testing::copy_of(Gguf::open(kGemma));
  writer.put_u32("gemma3.attention.sliding_window_pattern", 0);
  std::ofstream(model, std::ios::binary) << writer.bytes();
  const auto notes = [&](const std::string& command, const std::string& of, const std::vector<std::string>& more) {
    std::vector<std::string> all = {command, "--raw", "--model", of, "--prompt-tokens", kPrompt, "--steps", "2"};
    all.insert(all.end(), more.begin(), more.end());
    const ProgramResult result = reattend(all);
    EXPECT_EQ(result.code, 0) << result.err;
    const std::string line = "reattend: the model has a window of its own in every layer: no policy acts";
    const size_t at = result.err.find(line);
    return at == std::string::npos ? 0 : result.err.find(line, at + 1) == std::string::npos ? 1 : 2;
  };
  EXPECT_EQ(notes("run", model, {"--policy", "recycled"}), 1);
  EXPECT_EQ(notes("run", model, {}), 0) << "nobody asked for a policy";
  EXPECT_EQ(notes("run", kGemma, {"--policy", "recycled"}), 0) << "it acts on two layers";
  EXPECT_EQ(notes("compare", model, {"--policies", "recycled,quest", "--repeats", "0"}), 1);
  EXPECT_EQ(notes("compare", kGemma, {"--policies", "recycled", "--repeats", "0"}), 0);
}

TEST(Perplexity, OptionsThatCannotBeAreRefused) {
  const test::ScratchFolder folder;
  const std::string text = (folder / "a.txt").string();
  std::ofstream(text) << "The quick brown fox jumps over the lazy dog, again and again and again, until it is tired.";
  const ProgramResult good = reattend({"perplexity", text, "--model", kGemma, "--window", "8", "--json"});
  ASSERT_EQ(good.code, 0) << good.err;
  const auto json = nlohmann::json::parse(good.out);
  EXPECT_EQ(json["tokens"].get<int>() % 8, 0);
  EXPECT_EQ(json["predicted"].get<int>(), json["tokens"].get<int>() / 8 * 3);
  EXPECT_GT(json["perplexity"].get<double>(), 1);
  for (const std::vector<std::string>& odd :
       {std::vector<std::string>{"--window", "-5"}, {"--tokens", "-3"}, {"--window", "3"}, {"--window", "100000"}}) {
    std::vector<std::string> command = {"perplexity", text, "--model", kGemma};
    command.insert(command.end(), odd.begin(), odd.end());
    EXPECT_EQ(reattend(command).code, 2) << odd[0] << " " << odd[1];
  }
}

}  // namespace
}  // namespace reattend
