// `reattend study`, `verify`, `tune --model` and `calibrate` as a user meets them, on the tiny model.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace reattend::test {
namespace {

using nlohmann::json;
const std::string kTiny = "tests/golden/models/tiny_llama.gguf";

class Evidence : public ::testing::Test {
 protected:
  static ProgramResult run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), REATTEND_PROGRAM);
    return run_program(std::move(arguments));
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string record(const std::string& name, const std::string& context = "90") {
    const ProgramResult recorded =
        run({"record", "--raw", "--ignore-end", "--model", kTiny, "--prompt-file", "assets/prose.txt", "--context",
             context, "--steps", "12", "--out", file(name)});
    EXPECT_EQ(recorded.code, 0) << recorded.err;
    return file(name);
  }
  static void expect_refused(const ProgramResult& result, int code, const std::string& part) {
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  ScratchFolder folder_;
};

TEST_F(Evidence, AStudyMeasuresCorrelatesAndGoesOnWhereItWas) {
  const std::string a = record("a.h5"), b = record("b.h5", "70"), out = file("study");
  const std::vector<std::string> command = {"study",
                                            a,
                                            b,
                                            "--model",
                                            kTiny,
                                            "--out",
                                            out,
                                            "--repeats",
                                            "1",
                                            "--policies",
                                            "recycled:S=4:K=16,recycled:S=2:K=30,streaming:K=16,tova:K=16"};
  const ProgramResult first = run(command);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.out.find("lost_mass "), std::string::npos) << first.out;
  for (const char* name : {"study.md", "scatter.svg", "predicted.svg", "prompt-a.json", "prompt-b.json"}) {
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(out) / name)) << name;
  }
  json kept = json::parse(std::ifstream(out + "/prompt-a.json"));
  ASSERT_EQ(kept["points"].size(), 4U);
  for (const json& point : kept["points"]) {
    EXPECT_GT(point["measured"]["kl"], 0) << point["summary"];
    EXPECT_GT(point["measured"]["ms"], 0);
    EXPECT_NEAR(point["measured"]["recovered"], point["recovered"], 0.2);
  }
  // What is there is not measured again.
  kept["points"][0]["measured"]["kl"] = 77.0;
  std::ofstream(out + "/prompt-a.json") << kept.dump();
  ASSERT_EQ(run(command).code, 0);
  EXPECT_EQ(json::parse(std::ifstream(out + "/prompt-a.json"))["points"][0]["measured"]["kl"], 77.0);
  const ProgramResult again = run({"study", "--out", out, "--json"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(json::parse(again.out)["prompts"].size(), 2U);
  const ProgramResult drawn = run({"study", "--out", out, "--chart-format", "png"});
  if (drawn.err.find("rsvg-convert") == std::string::npos) {
    ASSERT_EQ(drawn.code, 0) << drawn.err;
    std::ifstream picture(out + "/scatter.png", std::ios::binary), page(out + "/study.md");
    EXPECT_EQ(picture.get(), 0x89);
    const std::string text{std::istreambuf_iterator<char>(page), {}};
    EXPECT_NE(text.find("(predicted.png)"), std::string::npos) << text;
  }
  // Another trace under a name that the folder knows would mix two studies.
  std::filesystem::rename(b, a);
  expect_refused(run({"study", a, "--model", kTiny, "--out", out, "--repeats", "0"}), 1, "prompt-a.json");
}

TEST_F(Evidence, AStudyRefusesWhatItCannotUse) {
  const std::string a = record("a.h5");
  expect_refused(run({"study", "--out", file("none")}), 1, "none");
  expect_refused(run({"study", a, a, "--out", file("s")}), 2, "names differ");
  expect_refused(run({"study", a, "--out", file("s"), "--policies", "telepathy"}), 2, "telepathy");
  expect_refused(run({"study", a, "--out", file("s"), "--estimates", "magic"}), 2, "magic");
  expect_refused(run({"study", a, "--out", a}), 1, "a.h5");
  std::filesystem::create_directory(file("bad"));
  std::ofstream(file("bad") + "/prompt-a.json") << "{\"name\": 3";
  expect_refused(run({"study", "--out", file("bad")}), 1, "prompt-a.json");
}

TEST_F(Evidence, VerifyPutsPredictedBesideMeasuredAndATunerTakesIt) {
  const std::string a = record("a.h5"), b = record("b.h5", "70"), found = file("verified.json"),
                    toml = file("tuned.toml");
  const ProgramResult verified = run({"verify", a, "--model", kTiny, "--policy", "recycled", "--stride", "4",
                                      "--budget", "16", "--repeats", "1", "--out", found});
  ASSERT_EQ(verified.code, 0) << verified.err;
  EXPECT_NE(verified.out.find("running free"), std::string::npos) << verified.out;
  EXPECT_NE(verified.out.find("Decisions: right"), std::string::npos) << verified.out;
  const ProgramResult tuned =
      run({"tune",           a,   "--model",    kTiny,       "--budgets",  "16,30", "--strides", "4",
           "--gate-strides", "2", "--policies", "tova:K=16", "--verified", found,   "--measure", "2",
           "--held-out",     b,   "--out",      toml,        "--json"});
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  const json result = json::parse(tuned.out);
  EXPECT_NE(result["estimate_evidence"].get<std::string>().find("1 verified setting"), std::string::npos);
  EXPECT_EQ(result["held_out"].size(), 1U);
  EXPECT_TRUE(result["held_out"][0]["measured"]["kl"].is_number());
  expect_refused(run({"tune", a, "--verified", a, "--out", file("x.toml")}), 1, "reattend verify");
  expect_refused(run({"tune", a, "--estimate", "magic", "--out", file("x.toml")}), 2, "magic");
  expect_refused(run({"tune", a, "--min-agreement", "0.9", "--out", file("x.toml")}), 2, "--min-agreement");
  expect_refused(run({"tune", a, "--max-ms", "-1", "--out", file("x.toml")}), 2, "--max-ms");
}

TEST_F(Evidence, VerifyRefusesWithoutASettingOrWithAnotherModel) {
  const std::string a = record("a.h5");
  expect_refused(run({"verify", a, "--model", kTiny}), 2, "--settings");
  expect_refused(run({"verify", a, "--model", kTiny, "--settings", file("none.toml")}), 1, "none.toml");
  std::filesystem::copy(kTiny, file("other.gguf"));
  std::ofstream(file("other.gguf"), std::ios::app) << "x";
  expect_refused(run({"verify", a, "--model", file("other.gguf"), "--policy", "tova", "--budget", "16"}), 1, "--model");
}

TEST_F(Evidence, ACalibrationIsWrittenComparedAndUsed) {
  const std::string a = record("a.h5"), here = file("here.json");
  const ProgramResult text = run({"calibrate", "--model", kTiny, "--tokens", "512", "--trace", a, "--out", here});
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("weights"), std::string::npos);
  json made = json::parse(std::ifstream(here));
  EXPECT_GT(made["calibration"]["weights_ms"], 0);
  made["calibration"]["weights_ms"] = 1000.0, made["calibration"]["stream_gbps"] = 10.0;
  std::ofstream(here) << made.dump();
  const ProgramResult tuned = run({"tune", a, "--calibration", here, "--budgets", "16", "--strides", "4",
                                   "--gate-strides", "2", "--out", file("t.toml"), "--json"});
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  EXPECT_GT(json::parse(tuned.out)["full_cost"], 999);
  expect_refused(run({"tune", a, "--calibration", a, "--out", file("x.toml")}), 1, "reattend calibrate");
}

}  // namespace
}  // namespace reattend::test
