// Files of older minor versions open, with what they hold where it always was.
#include <gtest/gtest.h>

#include "traces/read/check.h"
#include "traces/read/reader.h"
#include "traces/schema.h"

namespace reattend {
namespace {

/// Written by the program when the format was 1.0: recycled S=3 K=8, 6 steps of the tiny model.
TEST(TraceOldVersions, Version10OpensAndReadsAsItDid) {
  const std::filesystem::path path = "tests/golden/traces/recycled_1_0.h5";
  const auto trace = TraceReader::open(path);
  const TraceInfo& info = trace->info();
  EXPECT_EQ(info.attributes.at("format_version"), "1.0");
  EXPECT_EQ(info.warning, "");
  EXPECT_EQ(info.maps, Maps::top);
  EXPECT_EQ(info.n_map, 64);
  EXPECT_EQ(info.measure_every, 1);
  EXPECT_TRUE(info.layers.empty());
  EXPECT_EQ(info.n_stored(), 3);
  EXPECT_EQ(info.n_skipped, 0);
  EXPECT_EQ(info.calibration.attend_ms, 0);
  EXPECT_EQ(info.calibration.attend_place_gbps, 0);
  EXPECT_EQ(info.calibration.rank_ns, Calibration::kNone);
  EXPECT_EQ(info.n_prompt, 17);
  EXPECT_EQ(info.n_step, 6);
  EXPECT_EQ(info.settings.summary(), "recycled S=3 K=8");
  const std::vector<int32_t> tokens = trace->tokens();
  EXPECT_EQ(std::vector<int32_t>(tokens.begin(), tokens.begin() + 6),
            (std::vector<int32_t>{259, 104, 274, 111, 114, 102}));
  const StepData d = trace->steps();
  EXPECT_EQ(d.recovered[0], 0.5982334F);
  EXPECT_EQ(d.positions[12], 20);
  EXPECT_EQ(d.full[12], 1);
  const MapData map = trace->map(0, 0);
  EXPECT_EQ(map.positions[1], 14);
  EXPECT_EQ(map.weights[1], 0.23364358F);
  EXPECT_EQ(map.positions[18], -1);
  EXPECT_EQ(trace->layer(2).keys.size(), 2U * 23 * 8 * 2);
  EXPECT_EQ(trace->prompt_row_sums(1).size(), 8U * 17);
  const TraceCheck check = check_trace(path, 20, {}, Cancel());
  EXPECT_TRUE(check.problems.empty()) << check.problems.front();
}

}  // namespace
}  // namespace reattend
