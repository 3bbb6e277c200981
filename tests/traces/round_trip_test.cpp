// What was recorded is what is read: every dataset and attribute, while the file grows and after it was closed.
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "base/error.h"
#include "tests/traces/expect_trace.h"
#include "tests/traces/synthetic.h"
#include "traces/attributes.h"
#include "traces/hdf5.h"
#include "traces/read/reader.h"
#include "traces/schema.h"
#include "traces/write/edit.h"

namespace reattend {
namespace {

using namespace synthetic;

TEST(TraceRoundTrip, ClosedTraceHoldsWhatWasWritten) {
  const Folder folder;
  write_trace(folder / "a.h5", 37);
  const auto trace = TraceReader::open(folder / "a.h5");
  expect_trace(*trace, 37);
  const TraceInfo& info = trace->info();
  EXPECT_EQ(info.warning, "");
  EXPECT_FALSE(info.live);
  EXPECT_TRUE(info.has_values);
  EXPECT_TRUE(info.has_prompt_row_sums);
  EXPECT_TRUE(info.shadow);
  EXPECT_EQ(info.settings, header().settings);
  EXPECT_EQ(info.rope.base, 12345.5);
  EXPECT_EQ(info.rope.layout, RopeLayout::halves);
  EXPECT_EQ(info.rope.factors, header().rope.factors);
  EXPECT_EQ(info.calibration.pack_ns, 0);  // measured, and too short to be seen
  for (const CalibrationField& field : kCalibrationFields) {
    EXPECT_EQ(info.calibration.*field.value, header().calibration.*field.value) << field.name;
  }
  EXPECT_EQ(info.overlap_k, (std::vector<int64_t>{64, 256, 1024}));
  EXPECT_EQ(info.end_tokens, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(info.attributes.at("command_line"), header().command_line);
  EXPECT_EQ(info.attributes.at("K"), "16");
  EXPECT_EQ(info.attributes.at("S"), "never");
  EXPECT_EQ(info.attributes.at("threads"), "2");
}

TEST(TraceRoundTrip, AttributesAreThoseOfTheTableAndTheParameters) {
  const Folder folder;
  write_trace(folder / "a.h5", 1);
  auto attributes = TraceReader::open(folder / "a.h5")->info().attributes;
  // Those that most models have no use for are left out.
  const std::set<std::string_view> absent = {"attention_scale", "attention_cap", "windows"};
  for (const auto& row : schema::kAttributes) {
    EXPECT_EQ(attributes.erase(std::string(row.name)), absent.contains(row.name) ? 0u : 1u) << row.name;
  }
  for (const auto& [name, value] : attributes) {
    ASSERT_TRUE(header().settings.takes(name)) << name << " is described nowhere";
    EXPECT_EQ(value, to_text(header().settings.get(name)));
  }
  EXPECT_TRUE(attributes.contains("threshold"));
}

TEST(TraceRoundTrip, WindowsAndScoresOfAModelComeBack) {
  const Folder folder;
  TraceHeader written = header();
  written.windows = {0, 0};
  written.attention_scale = 0.25, written.attention_cap = 50;
  write_trace(folder / "a.h5", written, 1);
  const TraceInfo info = TraceReader::open(folder / "a.h5")->info();
  EXPECT_EQ(info.windows, written.windows);
  EXPECT_EQ(info.n_acting(), 2);
  EXPECT_EQ(info.score_scale().by, 0.25);
  EXPECT_EQ(info.score_scale().cap, 50);
}

TEST(TraceRoundTrip, LiveTraceShowsEachCommittedStepAndNoOther) {
  const Folder folder;
  TraceWriter writer(folder / "a.h5", false);
  write_prompt(writer);
  const auto trace = TraceReader::open(folder / "a.h5");
  EXPECT_TRUE(trace->info().live);
  EXPECT_EQ(trace->info().warning, "");
  expect_trace(*trace, 0);
  EXPECT_FALSE(trace->refresh());
  for (int32_t t = 1; t <= 20; ++t) {
    writer.append(step(t));
    if (t % 3 != 0) continue;
    EXPECT_FALSE(trace->refresh()) << "steps showed before they were committed";
    writer.commit();
    ASSERT_TRUE(trace->refresh());
    expect_trace(*trace, t);
  }
}

TEST(TraceRoundTrip, FailedRunLeavesTheOlderTraceAndNoRubbish) {
  const Folder folder;
  write_trace(folder / "a.h5", 3);
  {
    TraceWriter writer(folder / "a.h5", true);
    writer.begin(header());  // the run ends before its prompt is done
  }
  expect_trace(*TraceReader::open(folder / "a.h5"), 3);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / ""), {}), 1);
}

TEST(TraceRoundTrip, ExistingFileIsKeptUnlessForced) {
  const Folder folder;
  std::ofstream(folder / "a.h5") << "precious";
  try {
    TraceWriter writer(folder / "a.h5", false);
    FAIL() << "overwrote a file";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("--force"), std::string::npos);
  }
  write_trace(folder / "a.h5", 1);
  expect_trace(*TraceReader::open(folder / "a.h5"), 1);
}

TEST(TraceRoundTrip, UnwritablePathNamesItAndTheReason) {
  try {
    TraceWriter writer("/nowhere/at/all.h5", false);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/at/all.h5"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("No such file"), std::string::npos) << error.what();
  }
}

/// Opens the file read-write and changes one root attribute, as another program could.
void set_attribute(const std::filesystem::path& path, const std::string& name, const std::string& text) {
  hdf5::quiet();
  const hdf5::Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
  ASSERT_TRUE(file);
  H5Adelete(file, name.c_str());
  hdf5::write_attribute(file, name, text);
}

TEST(TraceRoundTrip, NewerMinorOpensWithAWarningNewerMajorIsRefusedInWords) {
  const Folder folder;
  write_trace(folder / "a.h5", 2);
  set_attribute(folder / "a.h5", "format_version", "1.7");
  set_attribute(folder / "a.h5", "settings", R"({"name": "a policy of the future", "horizon": 3})");
  {
    const auto trace = TraceReader::open(folder / "a.h5");
    EXPECT_NE(trace->info().warning.find("1.7"), std::string::npos);
    expect_trace(*trace, 2);
  }

  set_attribute(folder / "a.h5", "format_version", "2.0");
  try {
    TraceReader::open(folder / "a.h5");
    FAIL() << "opened a trace of another major version";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("2.0"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("newer"), std::string::npos) << error.what();
  }
}

/// Policies and their parameters are added without a new format: what a newer program recorded under one of them can
/// be looked at, and the user is told why its setting is not shown. Values that no program writes stay errors.
TEST(TraceRoundTrip, APolicyOfANewerProgramIsNamedAndTheRecordingRead) {
  const Folder folder;
  write_trace(folder / "a.h5", 2);
  const auto warning_with = [&](const char* settings) {
    set_attribute(folder / "a.h5", "settings", settings);
    const auto trace = TraceReader::open(folder / "a.h5");
    expect_trace(*trace, 2);
    EXPECT_TRUE(trace->info().settings.is_full());
    return trace->info().warning;
  };
  const std::string policy = warning_with(R"({"name": "horizon", "far": 3})");
  EXPECT_NE(policy.find("made by a newer reattend (format 1."), std::string::npos) << policy;
  EXPECT_NE(policy.find("got policy \"horizon\""), std::string::npos) << policy;
  const std::string parameter = warning_with(R"({"name": "sketch", "K": 64, "far": 3})");
  EXPECT_NE(parameter.find("\"far\" of policy sketch"), std::string::npos) << parameter;
  ThreadPool pool(1);
  EXPECT_THROW(slice_trace(folder / "a.h5", folder / "part.h5", {.last_step = 1}, false, pool, {}, Cancel()), Error)
      << "a part would be told to be full attention's";
  EXPECT_THROW(warning_with(R"({"name": "sketch", "K": "many"})"), Error) << "a known name with a wrong value";
}

}  // namespace
}  // namespace reattend
