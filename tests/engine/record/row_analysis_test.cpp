// What is measured of rows, against rows whose measures are known: an entropy that is off would rank layers wrongly.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "engine/record/row_analysis.h"
#include "kernels/measures/row_sums.h"

namespace reattend {
namespace {

/// One layer of two KV heads, each of two query heads.
TraceHeader header_of(int32_t measure_every = 1) {
  TraceHeader h;
  h.n_layer = 1, h.n_head = 4, h.n_kv_head = 2, h.d_head = 8;
  h.n_map = 4;
  h.measure_every = measure_every;
  h.prompt.assign(10, 0);
  h.complete();
  return h;
}

/// The step's measures of rows [2][2][n] under full attention.
StepData measured(const std::vector<float>& rows, int32_t t = 1, int32_t measure_every = 1) {
  ThreadPool pool(2);
  RowAnalysis analysis(header_of(measure_every), pool);
  const auto n = static_cast<int32_t>(rows.size() / 4);
  const std::vector<std::span<const int32_t>> everything(2);  // empty sets
  StepData out;
  analysis.start(t, out);
  if (analysis.wants(t)) analysis.layer(0, n, rows, everything, out);
  return out;
}

std::vector<float> one_hot(size_t n, size_t at) {
  std::vector<float> row(n);
  row[at] = 1;
  return row;
}

std::vector<float> joined(std::initializer_list<std::vector<float>> rows) {
  std::vector<float> out;
  for (const auto& row : rows) out.insert(out.end(), row.begin(), row.end());
  return out;
}

TEST(RowAnalysis, EntropyIsThatOfTheGroupsMeanRow) {
  constexpr size_t kN = 37;  // no multiple of what is added up at a time
  const std::vector<float> uniform(kN, 1.0F / kN);
  const StepData flat = measured(joined({uniform, uniform, one_hot(kN, 3), one_hot(kN, 3)}));
  ASSERT_EQ(flat.entropy.size(), 2U);
  EXPECT_NEAR(flat.entropy[0], std::log(37.0), 1e-6) << "all positions alike";
  EXPECT_EQ(flat.entropy[1], 0) << "one position has all";
  // Heads that look at different positions: half and half; three quarters and a quarter.
  std::vector<float> half = one_hot(kN, 5);
  half[5] = half[6] = 0.5F;
  const StepData mixed = measured(joined({one_hot(kN, 0), one_hot(kN, 36), one_hot(kN, 5), half}));
  EXPECT_NEAR(mixed.entropy[0], std::log(2.0), 1e-7);
  EXPECT_NEAR(mixed.entropy[1], -0.75 * std::log(0.75) - 0.25 * std::log(0.25), 1e-7);
}

TEST(RowAnalysis, EntropyIsNanWhereRowsAreNotLookedAt) {
  const std::vector<float> rows(4 * 11, 1.0F / 11);
  EXPECT_TRUE(std::isnan(measured(rows, 7, 5).entropy[1]));
  EXPECT_TRUE(std::isnan(measured(rows, 1, 0).entropy[0]));
  EXPECT_NEAR(measured(rows, 10, 5).entropy[1], std::log(11.0), 1e-6);
}

TEST(RowAnalysis, EntropyOfAnyRowIsWhatDoublesGive) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (const int32_t n : {1, 2, 7, 8, 9, 1000, 20000}) {
    std::vector<float> row(static_cast<size_t>(n));
    double sum = 0, expected = 0;
    for (float& x : row) sum += x = std::exp(5 * normal(random));
    for (float& x : row) x = static_cast<float>(x / sum);
    for (const double x : row) expected -= x > 0 ? x * std::log(x) : 0;
    EXPECT_NEAR(row_entropy(row.data(), n), expected, 2e-6) << n;
  }
}

}  // namespace
}  // namespace reattend
