// Files of older minor versions open, with what they hold where it always was.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "tests/traces/synthetic.h"
#include "traces/export/perfetto.h"
#include "traces/hdf5.h"
#include "traces/read/check.h"
#include "traces/read/reader.h"
#include "traces/schema.h"
#include "traces/step_means.h"
#include "traces/write/edit.h"

namespace reattend {
namespace {

using namespace synthetic;

/// Makes a trace one of an older minor version, in which these datasets were not known.
void make_older(const std::filesystem::path& path, int minor) {
  hdf5::quiet();
  const hdf5::Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
  ASSERT_TRUE(file);
  for (const schema::Dataset& row : schema::kDatasets) {
    if (row.since <= minor) continue;
    ASSERT_GE(H5Ldelete(file, path_of(row).c_str(), H5P_DEFAULT), 0) << path_of(row);
  }
  H5Adelete(file, "format_version");
  hdf5::write_attribute(file, "format_version", "1." + std::to_string(minor));
}

TEST(TraceOldVersions, AMeasureThatAnOlderVersionDidNotKnowIsLeftOutEverywhere) {
  const Folder folder;
  write_trace(folder / "a.h5", 9);
  const StepData whole = TraceReader::open(folder / "a.h5")->steps();
  make_older(folder / "a.h5", 2);
  const auto trace = TraceReader::open(folder / "a.h5");
  EXPECT_EQ(trace->info().warning, "");
  EXPECT_EQ(trace->info().minor, 2);
  EXPECT_FALSE(trace->has(schema::dataset("steps/entropy")));
  const StepData steps = trace->steps();
  EXPECT_TRUE(steps.entropy.empty());
  EXPECT_EQ(steps.recovered, whole.recovered);
  EXPECT_TRUE(trace->record(3).entropy.empty());
  for (const Measure& each : measures_of(trace->info())) EXPECT_NE(each.key, "entropy");
  std::string timeline;
  write_perfetto(
      *trace, [&](std::string_view part) { timeline += part; }, Cancel());
  EXPECT_EQ(timeline.find("entropy"), std::string::npos);
}

TEST(TraceOldVersions, WithoutItsMeasureANewTraceIsRefused) {
  const Folder folder;
  write_trace(folder / "a.h5", 3);
  make_older(folder / "a.h5", 2);
  {
    const hdf5::Handle file(H5Fopen((folder / "a.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    H5Adelete(file, "format_version");
    hdf5::write_attribute(file, "format_version", std::string("1.3"));
  }
  try {
    TraceReader::open(folder / "a.h5");
    FAIL() << "opened a 1.3 trace without steps/entropy";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("steps/entropy"), std::string::npos) << error.what();
  }
}

TEST(TraceOldVersions, PartsOfAnOlderTraceHoldNanForWhatItDidNotKnow) {
  const Folder folder;
  write_trace(folder / "a.h5", 9);
  const StepData whole = TraceReader::open(folder / "a.h5")->steps();
  make_older(folder / "a.h5", 2);
  ThreadPool pool(1);
  slice_trace(folder / "a.h5", folder / "part.h5", {.first_step = 4}, false, pool, {}, Cancel());
  const auto part = TraceReader::open(folder / "part.h5");
  EXPECT_EQ(part->info().attributes.at("format_version"),
            std::to_string(schema::kMajor) + "." + std::to_string(schema::kMinor));
  const StepData steps = part->steps();
  ASSERT_EQ(steps.entropy.size(), steps.recovered.size());
  for (const float x : steps.entropy) EXPECT_TRUE(std::isnan(x));
  const size_t skipped = whole.recovered.size() - steps.recovered.size();
  EXPECT_EQ(steps.recovered,
            std::vector<float>(whole.recovered.begin() + static_cast<std::ptrdiff_t>(skipped), whole.recovered.end()));
}

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
