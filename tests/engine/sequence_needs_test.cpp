// What is checked against free memory before a prompt is computed: all that the run will hold, what a policy's
// choices read in place of the keys included, so that nobody waits minutes for a prompt to lose it.
#include "engine/sequence_needs.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "base/error.h"
#include "kernels/sketch.h"

namespace reattend {
namespace {

constexpr int32_t kPrompt = 4000, kContext = 5000;

/// 4 layers of 6 query heads on 2 KV heads, of 64; `window` in the first, 0 for none.
ModelShape shape_of(int32_t window = 0) {
  ModelShape shape;
  shape.n_layer = 4, shape.n_head = 6, shape.n_kv_head = 2, shape.d_head = 64;
  shape.layers.resize(4);
  shape.layers[0].window = window;
  return shape;
}

Settings sketch(int64_t budget, std::vector<int64_t> dense = {}) {
  Settings settings("sketch");
  settings.set("K", budget), settings.set("dense_layers", std::move(dense));
  return settings;
}

SequenceNeeds needs(const std::vector<Settings>& settings, const ModelShape& shape, KvType kv = KvType::f16) {
  return needs_of(settings, shape, kv, kPrompt, kContext);
}

TEST(SequenceNeeds, BytesAreThoseOfKeysValuesAndSums) {
  const ModelShape shape = shape_of();
  EXPECT_EQ(position_bytes(shape, KvType::f16), 2 * 2 * 64 * 2);
  EXPECT_EQ(sequence_bytes(shape, KvType::f16, kContext, {}), int64_t{4} * kContext * 512);
  EXPECT_EQ(sequence_bytes(shape, KvType::f16, kContext, {.prompt = {.row_sums = true}}),
            int64_t{4} * kContext * (512 + 6 * 4));
  const int64_t windowed = sequence_bytes(shape_of(500), KvType::f16, kContext, {});
  EXPECT_EQ(windowed, int64_t{3 * kContext + 500 + 4 * kPiece} * 512) << "a window holds its positions alone";
}

TEST(SequenceNeeds, WhatChoicesReadCountsInEveryLayerThatHasThem) {
  const ModelShape shape = shape_of();
  const int64_t each =
      SketchLayout::of({.block = 256, .bits = 2, .channels = 16, .first = 4}, KvType::f16, 64, kContext)
          .bytes(kContext) *
      shape.n_kv_head;
  EXPECT_EQ(needs({sketch(512)}, shape).summaries, 4 * each);
  EXPECT_EQ(needs({sketch(512, {1, 2})}, shape).summaries, 2 * each) << "dense layers attend to everything";
  EXPECT_EQ(needs({sketch(512)}, shape_of(500)).summaries, 3 * each) << "a window is not sketched";
  EXPECT_EQ(needs({sketch(kContext)}, shape).summaries, 0) << "nothing is left to choose";
  EXPECT_EQ(needs({sketch(20)}, shape).summaries, 0) << "sinks and recent positions are all of the budget";
  EXPECT_EQ(needs({Settings("full"), Settings("recycled"), Settings("h2o")}, shape).summaries, 0);
  Settings fine = sketch(512);
  fine.set("bits", int64_t{4});
  const int64_t larger = needs({fine}, shape).summaries;
  EXPECT_GT(larger, 4 * each);
  EXPECT_EQ(needs({sketch(512), fine, Settings("full")}, shape).summaries, larger) << "one runs at a time";
  Settings quest("quest");
  quest.set("K", int64_t{512}), quest.set("dense_layers", std::vector<int64_t>{0});
  EXPECT_EQ(needs({quest}, shape).summaries, 3 * 2 * int64_t{kContext / 16} * 2 * 64 * 4) << "bounds of pages";
  const SequenceNeeds with = needs({sketch(512)}, shape);
  EXPECT_EQ(sequence_bytes(shape, KvType::f16, kContext, with) - sequence_bytes(shape, KvType::f16, kContext, {}),
            4 * each);
}

TEST(SequenceNeeds, TooLittleMemoryIsSaidWithWhatTakesIt) {
  constexpr int32_t kHuge = std::numeric_limits<int32_t>::max() / 2;
  const ModelShape shape = shape_of();
  const SequenceNeeds sketched = needs_of(std::vector{sketch(512)}, shape, KvType::f16, kPrompt, kHuge);
  const auto message = [&](const SequenceNeeds& needs) {
    try {
      check_memory(shape, KvType::f16, kHuge, needs);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message({}).find("GB for keys and values of 1073741823 positions (cache f16)"), std::string::npos)
      << message({});
  const std::string line = message(sketched);
  EXPECT_NE(line.find("positions, a summary of the keys (cache f16)"), std::string::npos) << line;
  EXPECT_NE(line.find("or another policy than sketch"), std::string::npos) << line;
  EXPECT_EQ(line.find("quest"), std::string::npos) << "not asked for: " << line;
  EXPECT_EQ(message({}).find("summary"), std::string::npos);
}

}  // namespace
}  // namespace reattend
