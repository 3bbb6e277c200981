// Holds everything a reader gives against the made-up recording.
#include "tests/traces/expect_trace.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/half.h"
#include "tests/traces/synthetic.h"
#include "traces/schema.h"

namespace reattend::synthetic {
namespace {

float at(const std::vector<std::byte>& bits, size_t i) {
  const auto low = static_cast<uint32_t>(bits[2 * i]), high = static_cast<uint32_t>(bits[2 * i + 1]);
  return to_float(static_cast<Half>(static_cast<uint16_t>(low | high << 8)));
}

/// A column as it was read against the same one of all steps as they were made.
template <class T>
void expect_rows(const std::string& name, const std::vector<T>& read, const std::vector<T>& made) {
  ASSERT_EQ(read.size(), made.size()) << name;
  for (size_t i = 0; i < read.size(); ++i) {
    const bool both_nan = std::isnan(static_cast<double>(read[i])) && std::isnan(static_cast<double>(made[i]));
    ASSERT_TRUE(both_nan || read[i] == made[i]) << name << " element " << i;
  }
}

/// Every column that is read of all steps at once, whichever there are.
void expect_columns(const StepData& read, int32_t n_step) {
  schema::for_each_column([&](const schema::Dataset& row, auto column) {
    using T = schema::ElementOf<decltype(column)>;
    if constexpr (std::is_arithmetic_v<T>) {
      if (row.is_bulk()) return;
      const bool from_0 = row.shape[0] == schema::steps_and_0;
      std::vector<T> made;
      for (int32_t t = from_0 ? 0 : 1; t <= n_step; ++t) {
        const StepData one = t == 0 ? top(0) : step(t);
        made.insert(made.end(), (one.*column).begin(), (one.*column).end());
      }
      if (&row == &schema::dataset("steps/logprob")) made.push_back(static_cast<T>(top(n_step).top_logprobs[0]));
      expect_rows(path_of(row), read.*column, made);
    }
  });
}

}  // namespace

void expect_trace(TraceReader& trace, int32_t n_step) {
  const TraceInfo& info = trace.info();
  ASSERT_EQ(info.n_step, n_step);
  const auto tokens = trace.tokens();
  ASSERT_EQ(tokens.size(), static_cast<size_t>(kPrompt + n_step + 1));
  for (int32_t p = 0; p < kPrompt; ++p) EXPECT_EQ(tokens[static_cast<size_t>(p)], p % kVocab);
  for (int32_t t = 1; t <= n_step; ++t) EXPECT_EQ(tokens[static_cast<size_t>(kPrompt + t - 1)], step(t).token[0]);
  EXPECT_EQ(tokens.back(), top(n_step).top_ids[0]);
  const auto texts = trace.token_texts();
  EXPECT_EQ(texts[3], "\xf0\x9f");
  EXPECT_EQ(texts[4], "");
  EXPECT_EQ(texts[5], std::string("a\0b", 3));
  EXPECT_EQ(texts[41], "tok1");

  expect_columns(trace.steps(), n_step);

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
        const StepData record = step(t);
        const auto from = static_cast<size_t>((l * kKvHeads + h) * kMap + 2);
        ASSERT_EQ(map.positions[static_cast<size_t>((t - 1) * kMap + 2)], record.map_positions[from]);
        ASSERT_EQ(map.weights[static_cast<size_t>((t - 1) * kMap + 2)], record.map_weights[from]);
        ASSERT_EQ(map.rest[static_cast<size_t>(t - 1)], record.map_rest[static_cast<size_t>(l * kKvHeads + h)]);
      }
    }
  }
}

}  // namespace reattend::synthetic
