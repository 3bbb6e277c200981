// Parts of traces and joined ones: nothing is lost between a cut and a join, and nothing half-made takes a name.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "base/error.h"
#include "tests/traces/expect_trace.h"
#include "tests/traces/synthetic.h"
#include "traces/write/edit.h"

namespace reattend {
namespace {

using namespace synthetic;

constexpr int32_t kSteps = 21;

class TraceEdit : public ::testing::Test {
 protected:
  void SetUp() override { write_trace(folder_ / "whole.h5", kSteps); }
  int32_t cut(const std::string& to, const TraceSlice& slice, const std::string& from = "whole.h5") {
    return slice_trace(folder_ / from, folder_ / to, slice, false, pool_, {}, cancel_);
  }
  int32_t join(const std::string& a, const std::string& b, const std::string& to) {
    return merge_traces(folder_ / a, folder_ / b, folder_ / to, false, pool_, {}, cancel_);
  }
  void expect_refused(const std::string& a, const std::string& b, const std::string& reason) {
    try {
      join(a, b, "joined.h5");
      FAIL() << "joined; expected a refusal with: " << reason;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << error.what();
    }
    EXPECT_FALSE(std::filesystem::exists(folder_ / "joined.h5"));
  }
  ptrdiff_t n_file() const { return std::distance(std::filesystem::directory_iterator(folder_ / ""), {}); }

  Folder folder_;
  ThreadPool pool_{2};
  Cancel cancel_;
};

TEST_F(TraceEdit, PartsJoinedAreTheWholeAgain) {
  EXPECT_EQ(cut("a.h5", {.last_step = 8}), 8);
  EXPECT_EQ(cut("b.h5", {.first_step = 9}), kSteps - 8);
  EXPECT_EQ(join("a.h5", "b.h5", "joined.h5"), kSteps);
  const auto joined = TraceReader::open(folder_ / "joined.h5");
  expect_trace(*joined, kSteps);
  auto expected = TraceReader::open(folder_ / "whole.h5")->info().attributes;
  for (const auto& [name, value] : joined->info().attributes) EXPECT_EQ(expected.at(name), value) << name;
  EXPECT_EQ(n_file(), 4) << "something was left behind";
}

TEST_F(TraceEdit, StepsBeforeTheCutBecomePrompt) {
  cut("b.h5", {.first_step = 9, .last_step = 14});
  const auto whole = TraceReader::open(folder_ / "whole.h5"), part = TraceReader::open(folder_ / "b.h5");
  EXPECT_EQ(part->info().n_prompt, kPrompt + 8);
  EXPECT_EQ(part->info().n_skipped, 8);
  EXPECT_EQ(part->info().n_step, 6);
  std::vector<int32_t> expected = whole->tokens();
  expected.resize(kPrompt + 14);
  expected.push_back(top(14).top_ids[0]);  // predicted, not fed
  EXPECT_EQ(part->tokens(), expected);
  const LayerData a = whole->layer(1), b = part->layer(1);
  const size_t row = kHead * 2;  // bytes
  for (size_t h = 0; h < kKvHeads; ++h) {
    const auto of = [&](const std::vector<std::byte>& all, int32_t n) {
      const auto from = all.begin() + static_cast<std::ptrdiff_t>(h * static_cast<size_t>(n) * row);
      return std::vector<std::byte>(from, from + static_cast<std::ptrdiff_t>((kPrompt + 14) * row));
    };
    EXPECT_EQ(of(a.keys, a.n_position), of(b.keys, b.n_position));
    EXPECT_EQ(of(a.values, a.n_position), of(b.values, b.n_position));
  }
  EXPECT_EQ(b.queries[0], query(1, 0, kPrompt + 7, 0)) << "step 0 is the step before the cut";
  EXPECT_EQ(part->prompt_queries(1)[0], query(1, 0, kPrompt + 8 - 64, 0));
  EXPECT_EQ(part->record(1).recovered, step(9).recovered);
  EXPECT_EQ(part->record(0).top_ids, top(8).top_ids);
  // Each step's row adds 1 to a head's sums over all positions.
  const auto before = whole->prompt_row_sums(0), after = part->prompt_row_sums(0);
  double added = 0;
  for (size_t i = 0; i < kPrompt + 8; ++i) added += after[i] - (i < kPrompt ? before[i] : 0);
  EXPECT_NEAR(added, 8, 0.05);
}

TEST_F(TraceEdit, LayersAndValuesCanBeLeftOut) {
  cut("thin.h5", {.layers = {1}, .values = false});
  const auto part = TraceReader::open(folder_ / "thin.h5");
  EXPECT_FALSE(part->info().has_values);
  EXPECT_EQ(part->info().layers, std::vector<int32_t>{1});
  EXPECT_EQ(part->layer(1).keys, TraceReader::open(folder_ / "whole.h5")->layer(1).keys);
  EXPECT_EQ(part->map(1, 0).positions, TraceReader::open(folder_ / "whole.h5")->map(1, 0).positions);
  try {
    part->layer(0);
    FAIL() << "read a layer that is not there";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("recorded (1)"), std::string::npos) << error.what();
  }
  // Measures keep the places of the model's layers.
  const StepData d = part->steps();
  ASSERT_EQ(d.positions.size(), static_cast<size_t>(kSteps * kLayers * kKvHeads));
  EXPECT_EQ(d.positions[0], -1);
  EXPECT_EQ(d.positions[kKvHeads], step(1).positions[kKvHeads]);
  EXPECT_THROW(cut("none.h5", {.layers = {0}}, "thin.h5"), Error);
}

TEST_F(TraceEdit, WholeAndBinnedMapsKeepTheirColumns) {
  for (const Maps maps : {Maps::dense, Maps::binned}) {
    TraceHeader all = header();
    all.maps = maps, all.map_bin = 16, all.expected_steps = 12;
    write_trace(folder_ / "wide.h5", all, 12);
    const std::string name(name_of(maps));
    cut("a" + name, {.last_step = 5}, "wide.h5");
    cut("b" + name, {.first_step = 6}, "wide.h5");
    join("a" + name, "b" + name, "c" + name);
    const auto whole = TraceReader::open(folder_ / "wide.h5"), joined = TraceReader::open(folder_ / ("c" + name));
    EXPECT_EQ(whole->info().n_column, maps == Maps::dense ? kPrompt + 12 : (kPrompt + 12 + 15) / 16);
    EXPECT_EQ(joined->info().n_column, whole->info().n_column);
    const MapData a = whole->map(1, 1, 6), b = joined->map(1, 1, 6);
    EXPECT_EQ(a.n_row, 7);
    ASSERT_EQ(a.weights.size(), b.weights.size());
    // Beyond the first part's columns its rows are 0: no step of it reached there.
    EXPECT_EQ(a.weights, b.weights);
  }
}

TEST_F(TraceEdit, WhatDoesNotFollowIsRefusedWithItsReason) {
  cut("a.h5", {.last_step = 8});
  cut("b.h5", {.first_step = 9});
  cut("late.h5", {.first_step = 12});
  cut("thin.h5", {.first_step = 9, .values = false});
  expect_refused("b.h5", "a.h5", "other order");
  expect_refused("a.h5", "late.h5", "ends");
  expect_refused("a.h5", "a.h5", "ends");
  expect_refused("a.h5", "thin.h5", "values");
  TraceHeader other = header();
  other.settings.set("K", int64_t{17});
  write_trace(folder_ / "other.h5", other, 3);
  expect_refused("other.h5", "b.h5", "settings");
  EXPECT_THROW(cut("x.h5", {.first_step = 5, .last_step = kSteps + 1}), Error);
  EXPECT_THROW(cut("x.h5", {.first_step = kSteps + 1}), Error);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "x.h5"));
}

TEST_F(TraceEdit, StoppedOrRefusedCopiesLeaveNothing) {
  cancel_.raise();
  EXPECT_THROW(cut("x.h5", {}), Cancelled);
  EXPECT_EQ(n_file(), 1);
  std::ofstream(folder_ / "kept.h5") << "precious";
  EXPECT_THROW(cut("kept.h5", {}), Error);
  EXPECT_EQ(std::filesystem::file_size(folder_ / "kept.h5"), 8U);
}

}  // namespace
}  // namespace reattend
