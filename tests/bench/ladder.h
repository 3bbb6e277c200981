// What the ladders share: a rung, and the reference's judgement of it.
#pragma once
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

#include "tests/kernels/support.h"

#define REATTEND_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))

namespace reattend::ladder {

using namespace test;

/// One attempt: `run` does the whole work once and leaves its result in the ladder's output.
struct Rung {
  const char* what;
  std::function<void()> run;
};

/// Largest difference relative to the largest value.
inline double error_of(const std::vector<float>& got, const std::vector<double>& want) {
  double error = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error = std::max(error, std::isfinite(got[i]) ? std::fabs(got[i] - want[i]) : INFINITY);
    size = std::max(size, std::fabs(want[i]));
  }
  return error / size;
}

/// Runs every rung into `out` and says which are further from `want` than `most`.
inline bool check_rungs(const std::vector<Rung>& rungs, std::vector<float>& out, const std::vector<double>& want,
                        double most) {
  bool good = true;
  for (const Rung& rung : rungs) {
    std::fill(out.begin(), out.end(), NAN);
    rung.run();
    if (const double error = error_of(out, want); !(error < most)) {
      std::fprintf(stderr, "ladder: %s: error %g\n", rung.what, error);
      good = false;
    }
  }
  return good;
}

}  // namespace reattend::ladder
