// The engine held against a replay of the same tokens: what must agree does, and what differs is said.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/reports/tune_words.h"
#include "cli/reports/verify.h"
#include "engine/record/recorder.h"
#include "evals/verify.h"
#include "replay/cost/cost.h"
#include "tests/engine/tiny_engine.h"
#include "tests/support/scratch_folder.h"

namespace reattend::testing {
namespace {

struct NoLog final : Observer {
  explicit NoLog(const ModelShape&) {}
};

class Verify : public TinyEngine<NoLog> {
 protected:
  static int32_t token(int32_t t) { return (t * 17) % 64; }
  /// A trace recorded under `recorded`, replayed under `settings` and verified.
  Verification verified(const Settings& recorded, const Settings& settings) {
    const test::ScratchFolder folder;
    TraceWriter writer(folder / "trace.h5", true);
    TraceHeader header = header_for(model_.shape(), prompt_);
    header.kv_type = backend_.kv;
    header.settings = recorded;
    header.has_prompt_row_sums = true;
    header.vocab.resize(static_cast<size_t>(model_.shape().n_vocab), "x");
    Recorder recorder(writer, header, model_.shape(), pool_);
    Observer* observers[] = {&recorder};
    const auto next = [](int32_t t, StepLogits&) { return token(t); };
    const auto sequence = backend_.model->fork(*prefilled_.sequence);
    generate(backend_, model_, *sequence, prefilled_,
             {.settings = recorded, .n_step = kSteps, .next_token = next, .observers = observers});
    const ReplayResult replay = Replayer(TraceReader::open(folder / "trace.h5"), pool_)
                                    .run({.settings = settings, .keep_sets = true, .estimates = true}, {}, Cancel());
    const ReferenceRun full = run_reference(backend_, model_, prefilled_, kSteps, next, {}, Cancel());
    return verify(backend_, model_, prefilled_, full, replay, {.repeats = 1, .progress = {}, .cancel = {}});
  }
  static bool says(const Verification& v, const std::string& part) {
    const std::vector<std::string> lines = cli::findings(v);
    return std::any_of(lines.begin(), lines.end(),
                       [&](const std::string& line) { return line.find(part) != std::string::npos; });
  }
};

TEST_F(Verify, AReplayOfTheEnginesOwnRunIsRightInEverything) {
  const Settings settings = make("recycled", {{"K", int64_t{24}}, {"S", int64_t{5}}});
  const Verification v = verified(settings, settings);
  EXPECT_NEAR(v.decisions_equal, 1, 1e-12);
  EXPECT_NEAR(v.identical, 1, 1e-12);
  EXPECT_NEAR(v.jaccard, 1, 1e-12);
  EXPECT_NEAR(v.predicted.recovered, v.verified.measured.recovered, 1e-3);
  EXPECT_NEAR(v.verified.measured.full, 1.0 / 5, 1e-12);
  EXPECT_GT(v.verified.measured.kl, 0);
  EXPECT_GT(v.verified.measured.ms, 0);
  EXPECT_TRUE(says(v, "Decisions: right")) << cli::findings(v).front();
  EXPECT_TRUE(says(v, "Attended sets: right"));
  EXPECT_TRUE(says(v, "right within 0.001"));
}

TEST_F(Verify, AFullTracesReplayIsAnEstimateAndSaysWhereItErred) {
  const Verification v = verified(Settings("full"), make("recycled", {{"K", int64_t{24}}, {"S", int64_t{8}}}));
  EXPECT_NEAR(v.decisions_equal, 1, 1e-12) << "a fixed schedule knows no queries";
  EXPECT_LT(v.identical, 1);
  EXPECT_GT(v.jaccard, 0.3);
  ASSERT_EQ(v.jaccard_of_step.size(), static_cast<size_t>(kSteps));
  EXPECT_EQ(v.jaccard_of_step.front(), 1) << "the first step's set is the prompt's";
  EXPECT_TRUE(says(v, "mean Jaccard"));
  ASSERT_EQ(v.layers.size(), static_cast<size_t>(model_.shape().n_layer));
  double mass = 0;
  for (const LayerCheck& layer : v.layers) mass += layer.measured_mass / model_.shape().n_layer;
  EXPECT_NEAR(mass, v.verified.measured.recovered, 1e-9);
}

/// A policy without full steps: "decisions right" would be said whatever it chose.
TEST_F(Verify, WithoutFullStepsDecisionsAreNotCalledRight) {
  const Settings settings = make("sketch", {{"K", int64_t{24}}});
  const Verification v = verified(settings, settings);
  EXPECT_EQ(v.verified.measured.full, 0);
  EXPECT_TRUE(says(v, "Decisions: none to check, for no step of this policy is full")) << cli::findings(v).front();
  EXPECT_TRUE(says(v, "Attended sets: right, all of them. 25.0 positions a step and head predicted, 25.0 measured."))
      << cli::findings(v)[1];
}

TEST_F(Verify, FullAttentionHasNothingToCorrect) {
  const Verification v = verified(Settings("full"), Settings("full"));
  EXPECT_EQ(v.verified.measured.kl, 0);
  EXPECT_TRUE(says(v, "Decisions: none to check, for every step attends to everything"));
  EXPECT_EQ(v.free.n_common, kSteps) << "its own text";
  EXPECT_NEAR(v.verified.measured.recovered, 1, 1e-5);
}

TEST_F(Verify, WhatIsWrittenCorrectsATuner) {
  Verification v = verified(Settings("full"), make("recycled", {{"K", int64_t{24}}, {"S", int64_t{8}}}));
  v.verified.predicted_ms = 2, v.verified.measured.ms = 3, v.verified.predicted_full_ms = 4,
  v.verified.measured.full_ms = 4;
  const test::ScratchFolder folder;
  std::ofstream(folder / "v.json") << nlohmann::json({{"verified", to_json(v.verified)}}).dump();
  const VerifiedSetting read = read_verified(folder / "v.json");
  EXPECT_EQ(read.settings, v.settings);
  EXPECT_EQ(read.estimates.at("lost_mass"), v.verified.estimates.at("lost_mass"));
  const KlCurve curve = {.scale = 1, .power = 1, .n = 9};
  const Correction correction = correction_from({read}, "lost_mass", curve);
  EXPECT_NEAR(correction.ms, 1.5, 1e-12);
  EXPECT_NEAR(correction.full_ms, 1, 1e-12);
  EXPECT_NEAR(correction.kl * curve.at(read.estimates.at("lost_mass")), read.measured.kl, 1e-9)
      << "the setting itself is met";
  EXPECT_EQ(cli::correction_in_words(Correction{}), "");
  EXPECT_NE(cli::correction_in_words(correction).find("x 1.50"), std::string::npos);
  for (const char* text : {"", "[]", "{}", R"({"verified": 3})", "not json"}) {
    std::ofstream(folder / "bad.json") << text;
    EXPECT_THROW(read_verified(folder / "bad.json"), Error) << text;
  }
  EXPECT_THROW(read_verified(folder / "none.json"), Error);
}

/// Steps of a tiny model are noise: what must hold is that each part is a number, and that a prediction can be made.
TEST_F(Verify, ACalibrationHasANumberForEveryPart) {
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < Calibrator::kFewestTokens; ++i) prompt.push_back(token(i));
  const Prefilled prefilled =
      prefill(backend_, model_, prompt, {.n_ctx = Calibrator::kFewestTokens + Calibrator::kFewestSteps});
  Calibrator calibrator(backend_, model_, prefilled, pool_, Calibrator::kFewestSteps);
  calibrator.round(Cancel());
  calibrator.round(Cancel());
  const Calibration found = calibrator.result();
  for (const CalibrationField& field : kCalibrationFields) {
    EXPECT_TRUE(std::isfinite(found.*field.value)) << field.name;
    EXPECT_GE(found.*field.value, 0) << field.name;
  }
  EXPECT_GT(found.weights_ms, 0);
  EXPECT_TRUE(is_calibrated(found));
  Cancel cancel;
  cancel.raise();
  EXPECT_THROW(calibrator.round(cancel), Cancelled);
}

/// Quest reads whole pages: at 64 tokens its two budgets were one, and what "differed" between them was noise.
TEST_F(Verify, AShortPromptCalibratesWhatItCanAndNothingElse) {
  ASSERT_LT(prefilled_.prompt.size(), Calibrator::kFewestTokens);
  Calibrator calibrator(backend_, model_, prefilled_, pool_, Calibrator::kFewestSteps);
  calibrator.round(Cancel());
  const Calibration found = calibrator.result();
  for (const CalibrationField& field : kCalibrationFields) {
    const bool measured = field.value == &Calibration::weights_ms || field.value == &Calibration::stream_gbps;
    EXPECT_EQ(found.*field.value > 0, measured) << field.name;
    if (!measured) {
      EXPECT_EQ(found.*field.value, field.otherwise) << field.name;
    }
  }
  // All that is read counts at the rate of plain reading.
  TraceInfo info;
  info.n_layer = 1, info.n_kv_head = 1, info.d_head = 8, info.kv_type = KvType::f32, info.calibration = found;
  const double row_ms = 32 / found.stream_gbps * 1e-6;
  EXPECT_NEAR(predict_ms(info, {.run = 1e6, .kept = 1e6, .in_place = 1e5, .ranked = 1e6}),
              found.weights_ms + 5e6 * row_ms, 1e-6 * row_ms * 5e6);
}

}  // namespace
}  // namespace reattend::testing
