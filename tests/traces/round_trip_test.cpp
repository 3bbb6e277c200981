// What was recorded is what is read: every dataset and attribute, while the file grows and after it was closed.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "base/error.h"
#include "base/half.h"
#include "tests/traces/synthetic.h"
#include "traces/hdf5.h"
#include "traces/read/reader.h"

namespace reattend {
namespace {

using namespace synthetic;

float at(const std::vector<std::byte>& bits, size_t i) {
  const auto low = static_cast<uint32_t>(bits[2 * i]), high = static_cast<uint32_t>(bits[2 * i + 1]);
  return to_float(static_cast<Half>(static_cast<uint16_t>(low | high << 8)));
}

/// One of StepData's arrays against the same field of the records of all steps.
template <class T, class Field>
void expect_rows(const std::vector<T>& read, int32_t n_step, Field field) {
  std::vector<T> expected;
  for (int32_t t = 1; t <= n_step; ++t) {
    const StepRecord record = step(t);
    const auto& part = field(record);
    expected.insert(expected.end(), part.begin(), part.end());
  }
  ASSERT_EQ(read.size(), expected.size());
  for (size_t i = 0; i < read.size(); ++i) {
    const bool both_nan = std::isnan(static_cast<double>(read[i])) && std::isnan(static_cast<double>(expected[i]));
    ASSERT_TRUE(both_nan || read[i] == expected[i]) << "element " << i;
  }
}

void expect_all(TraceReader& trace, int32_t n_step) {
  const TraceInfo& info = trace.info();
  ASSERT_EQ(info.n_step, n_step);
  const auto tokens = trace.tokens();
  ASSERT_EQ(tokens.size(), static_cast<size_t>(kPrompt + n_step + 1));
  for (int32_t p = 0; p < kPrompt; ++p) EXPECT_EQ(tokens[static_cast<size_t>(p)], p % kVocab);
  for (int32_t t = 1; t <= n_step; ++t) EXPECT_EQ(tokens[static_cast<size_t>(kPrompt + t - 1)], step(t).token);
  EXPECT_EQ(tokens.back(), top(n_step).ids[0]);
  const auto texts = trace.token_texts();
  EXPECT_EQ(texts[3], "\xf0\x9f");
  EXPECT_EQ(texts[4], "");
  EXPECT_EQ(texts[5], std::string("a\0b", 3));
  EXPECT_EQ(texts[41], "tok1");

  const StepData d = trace.steps();
  expect_rows(d.full, n_step, [](const StepRecord& s) { return s.decision; });
  expect_rows(d.reason, n_step, [](const StepRecord& s) { return s.reason; });
  expect_rows(d.cos_last_full, n_step, [](const StepRecord& s) { return s.cos_last_full; });
  expect_rows(d.cos_prev_pre, n_step, [](const StepRecord& s) { return s.cos_prev_pre; });
  expect_rows(d.cos_prev_post, n_step, [](const StepRecord& s) { return s.cos_prev_post; });
  expect_rows(d.recovered, n_step, [](const StepRecord& s) { return s.recovered; });
  expect_rows(d.oracle, n_step, [](const StepRecord& s) { return s.oracle; });
  expect_rows(d.positions, n_step, [](const StepRecord& s) { return s.positions; });
  expect_rows(d.overlap, n_step, [](const StepRecord& s) { return s.overlap; });
  expect_rows(d.ms, n_step, [](const StepRecord& s) { return std::vector<double>{s.ms}; });
  expect_rows(d.bytes_weights, n_step, [](const StepRecord& s) { return std::vector<int64_t>{s.bytes_weights}; });
  expect_rows(d.bytes_attend, n_step, [](const StepRecord& s) { return std::vector<int64_t>{s.bytes_attend}; });
  expect_rows(d.bytes_select, n_step, [](const StepRecord& s) { return std::vector<int64_t>{s.bytes_select}; });
  ASSERT_EQ(d.logprob.size(), static_cast<size_t>(n_step + 1));
  for (int32_t t = 1; t <= n_step; ++t) EXPECT_EQ(d.logprob[static_cast<size_t>(t - 1)], step(t).logprob);
  EXPECT_EQ(d.logprob.back(), top(n_step).logprobs[0]);
  ASSERT_EQ(d.top_rest.size(), static_cast<size_t>(n_step + 1));
  EXPECT_EQ(d.top_rest.back(), top(n_step).rest);
  EXPECT_EQ(d.top_ids[static_cast<size_t>(20 * n_step + 7)], top(n_step).ids[7]);

  for (int32_t l = 0; l < kLayers; ++l) {
    const LayerData layer = trace.layer(l);
    const int32_t n_position = kPrompt + n_step;
    ASSERT_EQ(layer.n_position, n_position);
    ASSERT_EQ(layer.keys.size(), static_cast<size_t>(kKvHeads * n_position * kHead * 2));
    ASSERT_EQ(layer.values.size(), layer.keys.size());
    for (int32_t h = 0; h < kKvHeads; ++h) {
      for (int32_t p = 0; p < n_position; ++p) {
        for (int32_t c = 0; c < kHead; ++c) {
          const auto i = static_cast<size_t>((h * n_position + p) * kHead + c);
          ASSERT_EQ(at(layer.keys, i), key(l, h, p, c)) << l << " " << h << " " << p << " " << c;
          ASSERT_EQ(at(layer.values, i), value(l, h, p, c)) << l << " " << h << " " << p << " " << c;
        }
      }
    }
    ASSERT_EQ(layer.queries.size(), static_cast<size_t>((n_step + 1) * kHeads * kHead));
    for (int32_t t = 0; t <= n_step; ++t) {
      for (int32_t h = 0; h < kHeads; ++h) {
        const float expected = query(l, h, kPrompt - 1 + t, 3);
        ASSERT_EQ(layer.queries[static_cast<size_t>((t * kHeads + h) * kHead + 3)], expected) << t;
      }
    }
    EXPECT_EQ(trace.prompt_queries(l)[0], query(l, 0, kPrompt - 64, 0));
    EXPECT_EQ(trace.prompt_row_sums(l)[5], static_cast<float>(l * 1000 + 5));
    for (int32_t h = 0; h < kKvHeads; ++h) {
      const MapData map = trace.map(l, h);
      ASSERT_EQ(map.n_kept, kMap);
      for (int32_t t = 1; t <= n_step; ++t) {
        const StepRecord record = step(t);
        const auto from = static_cast<size_t>((l * kKvHeads + h) * kMap + 2);
        ASSERT_EQ(map.positions[static_cast<size_t>((t - 1) * kMap + 2)], record.map_positions[from]);
        ASSERT_EQ(map.weights[static_cast<size_t>((t - 1) * kMap + 2)], record.map_weights[from]);
        ASSERT_EQ(map.rest[static_cast<size_t>(t - 1)], record.map_rest[static_cast<size_t>(l * kKvHeads + h)]);
      }
    }
  }
}

TEST(TraceRoundTrip, ClosedTraceHoldsWhatWasWritten) {
  const Folder folder;
  write_trace(folder / "a.h5", 37);
  const auto trace = TraceReader::open(folder / "a.h5");
  expect_all(*trace, 37);
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
  EXPECT_EQ(info.calibration.score_gbps, 10);
  EXPECT_EQ(info.overlap_k, (std::vector<int64_t>{64, 256, 1024}));
  EXPECT_EQ(info.end_tokens, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(info.attributes.at("command_line"), header().command_line);
  EXPECT_EQ(info.attributes.at("K"), "16");
  EXPECT_EQ(info.attributes.at("S"), "never");
  EXPECT_EQ(info.attributes.at("threads"), "2");
}

TEST(TraceRoundTrip, LiveTraceShowsEachCommittedStepAndNoOther) {
  const Folder folder;
  TraceWriter writer(folder / "a.h5", false);
  write_prompt(writer);
  const auto trace = TraceReader::open(folder / "a.h5");
  EXPECT_TRUE(trace->info().live);
  EXPECT_EQ(trace->info().warning, "");
  expect_all(*trace, 0);
  EXPECT_FALSE(trace->refresh());
  for (int32_t t = 1; t <= 20; ++t) {
    writer.append(step(t));
    if (t % 3 != 0) continue;
    EXPECT_FALSE(trace->refresh()) << "steps showed before they were committed";
    writer.commit();
    ASSERT_TRUE(trace->refresh());
    expect_all(*trace, t);
  }
}

TEST(TraceRoundTrip, FailedRunLeavesTheOlderTraceAndNoRubbish) {
  const Folder folder;
  write_trace(folder / "a.h5", 3);
  {
    TraceWriter writer(folder / "a.h5", true);
    writer.begin(header());  // the run ends before its prompt is done
  }
  expect_all(*TraceReader::open(folder / "a.h5"), 3);
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
  expect_all(*TraceReader::open(folder / "a.h5"), 1);
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
    expect_all(*trace, 2);
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

}  // namespace
}  // namespace reattend
