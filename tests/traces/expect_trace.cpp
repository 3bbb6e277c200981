// Holds everything a reader gives against the made-up recording.
#include "tests/traces/expect_trace.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/half.h"
#include "tests/traces/synthetic.h"

namespace reattend::synthetic {
namespace {

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

}  // namespace

void expect_trace(TraceReader& trace, int32_t n_step) {
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

}  // namespace reattend::synthetic
