// Predicted times against sums worked out by hand, for calibrations new and old, and for GPUs that nobody measured.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <string>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "replay/cost/calibration_file.h"
#include "replay/cost/known_gpus.h"
#include "replay/summary.h"
#include "tests/replay/hand_made.h"
#include "tests/support/scratch_folder.h"

namespace reattend {
namespace {

/// Keys of 8 floats: 32 bytes a row.
TraceInfo info_with(const Calibration& calibration) {
  TraceInfo info;
  info.n_layer = 2, info.n_head = 4, info.n_kv_head = 2, info.d_head = 8;
  info.kv_type = KvType::f32;
  info.n_prompt = 100, info.n_step = 9;
  info.calibration = calibration;
  return info;
}

constexpr CountedWork kWork = {.run = 1000,
                               .kept = 500,
                               .in_place = 200,
                               .ranked = 4000,
                               .chosen = 300,
                               .summed = 600,
                               .rescored = 2000,
                               .packed = 250,
                               .bounds = 50,
                               .estimated = 800,
                               .looked_up = 3200,
                               .blocks = 60};

constexpr Calibration kAll = {.weights_ms = 2,
                              .attend_ms = 0.5,
                              .stream_gbps = 100,
                              .attend_stream_gbps = 0.032,
                              .attend_gather_gbps = 0.016,
                              .attend_place_gbps = 0.008,
                              .rescore_gbps = 0.064,
                              .score_gbps = 1e-3,
                              .rank_ns = 100,
                              .keep_ns = 1000,
                              .sum_ns = 500,
                              .pack_ns = 2000,
                              .page_ns = 3000,
                              .estimate_ns = 50,
                              .channel_ns = 10};

TEST(Cost, EachPartHasItsOwnRate) {
  // A row of 32 bytes takes 1 us in a run, 2 in a copied set, 4 in place, 0.5 to be rescored; attention reads two.
  const double attention = 2 * 1000 * 1e-3 + 2 * 300 * 2e-3 + 2 * 200 * 4e-3, rescoring = 2000 * 0.5e-3;
  const double choosing = 4000 * 100e-6 + 300 * 1e-3 + 600 * 500e-6 + 250 * 2e-3 + 50 * 3e-3 + 800 * 50e-6 +
                          3200 * 10e-6 + (60 - 800.0 / kPiece) * 3e-3;  // blocks beyond those of 256 positions
  EXPECT_NEAR(predict_ms(info_with(kAll), kWork), 2 + 0.5 + attention + rescoring + choosing, 1e-9);
  // Full attention: L + t positions, mean over 9 steps 105, of 4 heads.
  EXPECT_NEAR(predict_ms(info_with(kAll), full_work(info_with(kAll))), 2.5 + 105 * 4 * 2e-3, 1e-9);
}

/// What a setting does more of must never come for nothing.
TEST(Cost, NoPartOfTheWorkIsForgotten) {
  const double all = predict_ms(info_with(kAll), kWork);
  for (const CountedWorkPart& part : kCountedWork) {
    if (part.value == &CountedWork::sketch_bytes) continue;  // of the positions estimated, whose time they are in
    CountedWork more = kWork;
    more.*part.value += 100;
    EXPECT_GT(predict_ms(info_with(kAll), more), all) << part.name;
  }
}

/// Blocks of 16 positions have sixteen times the ranges of blocks of 256: the window and a tuner would call them free.
TEST(Cost, SmallBlocksOfASketchCostTheirRanges) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(HandMadeShape{.n_layer = 1}, 3);  // 2 KV heads, 24 steps after 40 tokens
  Replayer replayer(run, pool);
  const auto work = [&](int64_t budget, int64_t block) {
    Settings settings("sketch");
    settings.set("K", budget), settings.set("block", block);
    return work_of(run->info(), replayer.run({.settings = settings}, {}, Cancel()).layers);
  };
  const CountedWork usual = work(24, 256), small = work(24, 8);
  EXPECT_EQ(usual.blocks, 2);
  EXPECT_GT(small.blocks, 2 * 40 / 8.0);
  EXPECT_EQ(small.estimated, usual.estimated);
  EXPECT_NEAR(predict_ms(info_with(kAll), small) - predict_ms(info_with(kAll), usual),
              (small.blocks - usual.blocks) * kAll.page_ns * 1e-6, 1e-9);
  const CountedWork nothing = work(20, 8);  // the first 4 and the last 16
  EXPECT_EQ(nothing.blocks + nothing.estimated + nothing.looked_up + nothing.sketch_bytes, 0);
}

TEST(Cost, ACalibrationOfFormat10PredictsAsItDid) {
  const Calibration old = {
      .weights_ms = 2, .stream_gbps = 1, .attend_stream_gbps = 0.032, .attend_gather_gbps = 0.016, .score_gbps = 0.064};
  const double bounds = 50 * 2 * 8 * 4;  // bytes
  EXPECT_NEAR(predict_ms(info_with(old), kWork),
              2 + 2 * 1000 * 1e-3 + 2000 * 1e-3 + 2 * 500 * 2e-3 + (4600 * 32 + bounds) / 0.064 * 1e-6, 1e-9);
  EXPECT_EQ(predict_ms(info_with({}), kWork), 0);
  EXPECT_FALSE(is_calibrated({}));
}

TEST(Cost, WhatWasNotMeasuredCountsAsTheStreamAndNeverAsInfinity) {
  const Calibration little = {.weights_ms = 1, .stream_gbps = 0.032};
  EXPECT_NEAR(predict_ms(info_with(little), {.run = 10, .kept = 20, .in_place = 5, .ranked = 8, .rescored = 7}),
              1 + (2 * 10 + 2 * 20 + 8 + 7) * 1e-3, 1e-9);
}

TEST(Cost, WhatWasNotMeasuredIsNamedWhereThePredictionNeedsIt) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(assumed_rates(info_with(kAll), kWork), Names{});
  const Calibration little = {.weights_ms = 1, .stream_gbps = 0.032};
  EXPECT_EQ(assumed_rates(info_with(little), {.run = 10}), Names{"attend_stream_gbps"});
  EXPECT_EQ(assumed_rates(info_with(little), {.kept = 20, .in_place = 5, .ranked = 8, .rescored = 7}),
            (Names{"attend_gather_gbps", "attend_place_gbps", "rescore_gbps", "score_gbps"}));
  Calibration without_pages = kAll;
  without_pages.page_ns = -1;
  EXPECT_EQ(assumed_rates(info_with(without_pages), {.run = 10, .ranked = 5}), Names{}) << "no page is read here";
  EXPECT_EQ(assumed_rates(info_with(without_pages), {.run = 10, .bounds = 5}), Names{"page_ns"});
  EXPECT_EQ(assumed_rates(info_with({}), kWork), Names{}) << "nothing is predicted at all";
}

TEST(Cost, TheReplayTellsCopiedSetsFromThoseReadInPlace) {
  ThreadPool pool(1);
  const auto run = std::make_shared<HandMade>(HandMadeShape{.n_layer = 1}, 3);  // 2 KV heads, 24 steps after 40 tokens
  Replayer replayer(run, pool);
  const auto work = [&](const char* policy, std::initializer_list<std::pair<const char*, int64_t>> values) {
    Settings settings(policy);
    for (const auto& [key, value] : values) settings.set(key, value);
    return work_of(run->info(), replayer.run({.settings = settings}, {}, Cancel()).layers);
  };
  const CountedWork recycled = work("recycled", {{"K", 10}, {"S", 4}});
  EXPECT_EQ(recycled.in_place, 0);
  EXPECT_EQ(recycled.chosen, 2 * 10 / 4.0);
  EXPECT_EQ(recycled.summed, 0);
  const CountedWork oracle = work("oracle", {{"K", 10}});
  EXPECT_GT(oracle.kept, 0);
  EXPECT_EQ(oracle.in_place, oracle.kept);
  EXPECT_EQ(oracle.packed, 0);
  EXPECT_EQ(oracle.chosen, 2 * 10);
  const CountedWork tova = work("tova", {{"K", 10}});
  EXPECT_EQ(tova.in_place, tova.kept);
  EXPECT_EQ(tova.summed, 2 * 11);  // ten that are kept and the newest
  EXPECT_EQ(tova.ranked, 0);
  const CountedWork h2o = work("h2o", {{"K", 10}});
  EXPECT_GT(h2o.summed, 2 * 10);
  EXPECT_EQ(h2o.chosen, 0);
}

TEST(CalibrationFile, KeepsEveryFigureAndReadsOlderOnes) {
  const test::ScratchFolder folder;
  const std::filesystem::path path = folder / "here.json";
  const auto write = [&](const nlohmann::json& json) { std::ofstream(path) << json.dump(); };
  write({{"calibration", to_json(kAll)}});
  const Calibration again = read_calibration(path).calibration;
  for (const CalibrationField& field : kCalibrationFields)
    EXPECT_EQ(again.*field.value, kAll.*field.value) << field.name;

  nlohmann::json old = to_json(kAll);
  for (const CalibrationField& field : kCalibrationFields) {
    if (!field.since_1_0) old.erase(field.name);
  }
  write({{"calibration", old}});
  EXPECT_EQ(read_calibration(path).calibration.rank_ns, Calibration::kNone);
  EXPECT_EQ(read_calibration(path).calibration.score_gbps, kAll.score_gbps);

  nlohmann::json bad = to_json(kAll);
  bad["pack_ns"] = -3;
  for (const nlohmann::json& each : {nlohmann::json{{"calibration", bad}}, nlohmann::json{{"calibration", 3}},
                                     nlohmann::json::array({1}), nlohmann::json{{"other", 1}}}) {
    write(each);
    EXPECT_THROW(read_calibration(path), Error) << each;
  }
}

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing";
}

/// Finite, yet no machine's: a prediction from them is infinite or nothing at all.
TEST(CalibrationFile, FiguresThatNoMachineHasAreRefusedWithTheirRange) {
  const auto line_of = [](const char* name, const nlohmann::json& value) {
    nlohmann::json json = to_json(kAll);
    value.is_null() ? void(json.erase(name)) : void(json[name] = value);
    return refusal([&] { calibration_from_json(json, "here.json"); });
  };
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, nlohmann::json>>{{"weights_ms", 1e300},
                                                                     {"weights_ms", 1e-300},
                                                                     {"stream_gbps", 1e-300},
                                                                     {"attend_gather_gbps", 1e9},
                                                                     {"rank_ns", 1e12},
                                                                     {"attend_ms", 1e7},
                                                                     {"page_ns", "many"},
                                                                     {"stream_gbps", nullptr}}) {
    const std::string line = line_of(name, value);
    EXPECT_EQ(line.find(std::string("here.json: expected ") + name + " from "), 0U) << line;
    EXPECT_NE(line.find("; run `reattend calibrate --out`"), std::string::npos) << line;
    EXPECT_EQ(line.find("json.exception"), std::string::npos) << line;
  }
  EXPECT_EQ(line_of("attend_ms", 0.0), "nothing");
  EXPECT_EQ(line_of("pack_ns", 0.0), "nothing");
  EXPECT_EQ(line_of("rescore_gbps", 0.0), "nothing") << "not measured";
  // Whatever passes predicts something finite.
  Calibration slowest = kAll;
  for (const CalibrationField& field : kCalibrationFields) {
    const auto [least, most] = range_of(field);
    slowest.*field.value = std::string_view(field.unit) == "GB/s" ? least : most;
  }
  CountedWork all;
  for (const CountedWorkPart& part : kCountedWork) all.*part.value = 1e12;
  EXPECT_TRUE(std::isfinite(predict_ms(info_with(slowest), all)));
}

TEST(CalibrationFile, AnotherModelsOrCachesFiguresAreRefused) {
  TraceInfo info = info_with({});
  info.path = "a.h5";
  info.attributes = {{"model", "small.gguf"}, {"model_sha256", "0123456789abcdef"}};
  const auto line_of = [&](const CalibrationFile& file) {
    return refusal([&] { check_fits(file, info, "--calibration here.json"); });
  };
  const CalibrationFile same = {.model = "renamed.gguf", .model_sha256 = "0123456789abcdef", .kv = "f32"};
  EXPECT_EQ(line_of(same), "nothing");
  EXPECT_EQ(line_of({}), "nothing") << "a file that names no model";
  CalibrationFile other = same;
  other.model_sha256 = "fedcba9876543210";
  EXPECT_EQ(line_of(other),
            "--calibration here.json: expected a calibration of the model small.gguf (SHA-256 0123456789ab...), as "
            "a.h5 has, got one of the model renamed.gguf (SHA-256 fedcba987654...); run `reattend calibrate --model "
            "small.gguf --kv f32 --out` for this trace");
  other = same, other.kv = "q8";
  EXPECT_NE(line_of(other).find("expected a calibration of a cache of f32, as a.h5 has, got one of q8"),
            std::string::npos)
      << line_of(other);
  info.attributes.clear();
  EXPECT_EQ(line_of(same), "nothing") << "a trace that names no model";
}

TEST(KnownGpus, AreFoundAsPeopleCallThem) {
  EXPECT_EQ(known_gpu("RTX 4090", "x").gbps, 1008);
  EXPECT_EQ(known_gpu("4090", "x").name, "RTX 4090");
  EXPECT_EQ(known_gpu("nvidia geforce rtx-4090", "x").name, "RTX 4090");
  EXPECT_EQ(known_gpu("rtx3060", "x").name, "RTX 3060 12GB");
  EXPECT_EQ(known_gpu("mi300x", "x").name, "MI300X");
  double before = 0;
  for (const KnownGpu& gpu : known_gpus()) {
    EXPECT_EQ(known_gpu(gpu.name, "x").name, gpu.name);
    EXPECT_GE(gpu.gbps, before) << gpu.name;
    EXPECT_GE(gpu.memory_gb, 8) << gpu.name;
    before = gpu.gbps;
  }
}

TEST(KnownGpus, AnUnknownNameIsAnsweredWithThoseMostLikeIt) {
  const auto message = [](const char* name) -> std::string {
    try {
      known_gpu(name, "--datasheet");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    return {};
  };
  EXPECT_NE(message("RTX 4099").find("RTX 4090"), std::string::npos);
  EXPECT_NE(message("a100").find("A100 80GB SXM"), std::string::npos);  // three begin like this
  EXPECT_NE(message("").find("--list"), std::string::npos);
}

TEST(KnownGpus, OnPaperATimeIsBytesOverAShareOfTheDataSheet) {
  const KnownGpu gpu = {"none", 1000, 24};
  TraceInfo info = info_with({});
  info.calibration = from_datasheet(gpu, info, 9e8);
  CountedWork work = kWork;
  work.blocks = work.estimated / kPiece;
  work.sketch_bytes = 800 * 2 * 32.0 / kPiece + 3200 * 0.25;  // ranges of usual blocks, and 2 bits a channel read
  const double bytes = 9e8 + attend_bytes(info, work) + select_bytes(info, work) + 2 * 250 * 32;  // copies are written
  EXPECT_NEAR(predict_ms(info, work), bytes / (1000e9 * kDatasheetShare) * 1e3, 1e-9);
}

}  // namespace
}  // namespace reattend
