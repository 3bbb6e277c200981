// The files beside a trace: whose they are, what they correct, and that damaged or foreign ones are said and count for
// nothing.
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/subprocess.h"
#include "policies/policy_list.h"
#include "session_rig.h"
#include "tiny_trace.h"
#include "viz/session/engine_command.h"
#include "viz/session/measured.h"
#include "viz/session/two_texts.h"

namespace reattend::viz::testing {
namespace {

namespace fs = std::filesystem;

/// What `reattend verify` would have written of a setting on this trace.
nlohmann::json verified_json(const std::string& fingerprint, const Settings& settings, double kl) {
  VerifiedSetting one = {.settings = settings, .estimates = {{"step_error_middle_rms", 0.5}}, .trace = fingerprint};
  one.measured.kl = kl, one.measured.agreement = 0.9;
  return {{"verified", to_json(one)}};
}

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST(TraceFiles, FilesOfThisTraceAreMeasurementsAndOthersCorrectAtMost) {
  const TinyTrace trace;
  const std::string own = read_trace_files(trace.path, {}).fingerprint;
  ASSERT_FALSE(own.empty());
  write(trace.beside(".verified.1.json"), verified_json(own, with_budget(8), 0.25).dump());
  write(trace.beside(".verified.3.json"), verified_json("another", with_budget(16), 0.125).dump());
  write(trace.beside(".verified.x.json"), "not one of ours");
  write(trace.beside(".verified.12.json.part-1"), "half written");
  const TraceFiles files = read_trace_files(trace.path, {});
  EXPECT_EQ(files.complaints, std::vector<std::string>());
  ASSERT_EQ(files.measured.size(), 1U);
  EXPECT_EQ(files.measured[0].settings, with_budget(8));
  EXPECT_EQ(files.measured[0].measured.kl, 0.25);
  EXPECT_EQ(files.verified.size(), 2U) << "the KL of another text of this model counts";
  EXPECT_EQ(verified_file_for(trace.path, with_budget(8), files), trace.beside(".verified.1.json"));
  EXPECT_EQ(verified_file_for(trace.path, with_budget(9), files), trace.beside(".verified.2.json"));
}

TEST(TraceFiles, DamagedAndForeignOnesAreSaidAndCountForNothing) {
  const TinyTrace trace;
  nlohmann::json foreign = verified_json("x", with_budget(8), 0.25);
  foreign["verified"]["model_sha256"] = std::string(64, 'a');
  write(trace.beside(".verified.1.json"), "{");
  write(trace.beside(".verified.2.json"), foreign.dump());
  write(trace.beside(".verified.4.json"), "{\"verified\": {\"kl\": \"much\"}}");
  write(trace.beside(".tune.json"), "[1, 2");
  write(trace.beside(".compare.json"), "{\"fingerprint\": \"another\", \"policies\": []}");
  const TraceFiles files = read_trace_files(trace.path, {});
  EXPECT_TRUE(files.measured.empty());
  EXPECT_TRUE(files.verified.empty());
  EXPECT_TRUE(files.tuned.points.empty());
  ASSERT_EQ(files.complaints.size(), 5U);
  for (const char* const name : {".verified.1.", ".verified.2.", ".verified.4.", ".tune.", ".compare."}) {
    const auto names = [&](const std::string& line) { return line.find(name) != std::string::npos; };
    EXPECT_EQ(std::ranges::count_if(files.complaints, names), 1) << name;
  }
}

/// Cut at every place, and with bytes turned over: none may do more than become a complaint.
TEST(TraceFiles, NoDamageDoesMoreThanBecomeAComplaint) {
  const TinyTrace trace;
  const std::string own = read_trace_files(trace.path, {}).fingerprint;
  ask_program({"tune", trace.path.string(), "--strides", "6", "--budgets", "8,12", "--schedules", "0", "--out",
               (trace.folder / "x.toml").string()});
  const nlohmann::json tuned =
      ask_program({"tune", trace.path.string(), "--strides", "6", "--budgets", "8", "--schedule", "fixed",
                   "--schedules", "0", "--out", (trace.folder / "y.toml").string()});
  const std::string whole = tuned.dump();
  uint32_t random = 1;
  for (int i = 0; i < 200; ++i) {
    std::string damaged = whole;
    random = random * 1664525 + 1013904223;
    const size_t place = random % whole.size();
    i % 2 == 0 ? damaged.resize(place) : void(damaged[place] = static_cast<char>(random >> 24));
    write(trace.beside(".tune.json"), damaged);
    const TraceFiles files = read_trace_files(trace.path, {});
    EXPECT_LE(files.complaints.size(), 1U);
    EXPECT_EQ(files.fingerprint, own);
  }
}

TEST(Measured, NothingIsFoundOfATraceThatIsNoFile) {
  Rig rig;
  rig.open();
  EXPECT_TRUE(rig.session.data<Measured>().files().measured.empty());
  EXPECT_EQ(rig.session.replay_error(), "");
}

/// The engine would measure another setting than the one under trial.
TEST(EngineCommand, GivesTheSettingBackWhateverThePolicy) {
  const TinyTrace trace;
  const std::shared_ptr<TraceReader> reader = TraceReader::open(trace.path);
  Settings by_layer(kDefaultPolicy);
  by_layer.set("K", std::vector<std::string>{"12", "L/4"}), by_layer.set("S", std::monostate());
  Settings gated = with_budget(9);
  gated.set("schedule", std::string("query")), gated.set("threshold", 0.85);
  for (const Settings& settings : {by_layer, gated, Settings("h2o"), Settings("sketch"), Settings("full")}) {
    EngineRequest request = {.job = EngineJob::verify,
                             .info = &reader->info(),
                             .settings = settings,
                             .bounds = {},
                             .model = "a model's.gguf",
                             .out = trace.folder / "out of this.json"};
    const auto commands = commands_of(request);
    ASSERT_EQ(commands.size(), 1U);
    EXPECT_EQ(commands_from(text_of(commands)), commands) << "through the text that is edited";
    if (!settings.is_full()) {
      EXPECT_EQ(parse_policies(policy_entry(settings), {}), std::vector<Settings>{settings}) << policy_entry(settings);
    }
    request.job = EngineJob::generate;
    EXPECT_EQ(commands_of(request).size(), 2U);
  }
  EXPECT_THROW(commands_from("\n \n"), Error);
}

TEST(TwoTexts, PartAtTheFirstTokenThatDiffers) {
  const Written full = read_written(R"({"text": "a bc", "tokens": [1, 2, 3], "token_ends": [1, 2, 4]})");
  const Written policy = read_written(R"({"text": "a bd", "tokens": [1, 2, 4], "token_ends": [1, 2, 4]})");
  const TwoTexts texts = hold_together(Settings("h2o"), full, policy);
  EXPECT_EQ(texts.n_common, 2U);
  EXPECT_EQ(texts.step(), 2) << "after two steps the third token is chosen";
  EXPECT_FALSE(hold_together(Settings("h2o"), full, full).part());
  const std::vector<int32_t> recorded = {9, 9, 1, 2, 7};
  EXPECT_EQ(n_recorded(full, recorded, 2), 2U);
  EXPECT_EQ(n_recorded(full, recorded, 7), 0U);
  for (const char* const bad : {"", "[]", "{}", R"({"text": "a", "tokens": [1], "token_ends": [5]})",
                                R"({"text": "ab", "tokens": [1, 2], "token_ends": [2, 1]})",
                                R"({"text": 1, "tokens": [1], "token_ends": [0]})"}) {
    EXPECT_THROW(read_written(bad), Error) << bad;
  }
}

}  // namespace
}  // namespace reattend::viz::testing
