// Sums of an attention row's entries in double, in several chains so that additions need not wait for each other.
#pragma once
#include <cstdint>

namespace reattend {

/// Of row[begin ... end - 1]; 0 where there are none.
inline double run_sum(const float* row, int32_t begin, int32_t end) {
  double sum[8] = {};
  int32_t i = begin;
  for (; i + 8 <= end; i += 8) {
    for (int32_t j = 0; j < 8; ++j) sum[j] += row[i + j];
  }
  for (; i < end; ++i) sum[0] += row[i];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/// Of row at positions [n].
inline double gather_sum(const float* row, const int32_t* positions, int32_t n) {
  double sum[4] = {};
  int32_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int32_t j = 0; j < 4; ++j) sum[j] += row[positions[i + j]];
  }
  for (; i < n; ++i) sum[0] += row[positions[i]];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

}  // namespace reattend
