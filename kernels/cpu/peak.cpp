// Measures peak arithmetic by chains of multiply-adds that stay in registers, a loop per instruction set and kind.
#include "kernels/cpu/peak.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "kernels/cpu/table.h"

namespace reattend::cpu {
namespace {

/// Independent chains: more than latency times throughput of any such instruction.
constexpr int64_t kChains = 12;
constexpr int64_t kRounds = 200'000;

/// One loop: what it returns is used, so that it can't be left out; `macs` are those of a round.
struct Loop {
  int64_t (*run)(int64_t n_round);
  int64_t macs;
};

int64_t scalar_f32(int64_t n_round) {
  std::array<float, kChains * 4> acc{};
  for (int64_t i = 0; i < n_round; ++i) {
    for (float& each : acc) each = each * 0.5F + 1.0F;
  }
  float total = 0;
  for (const float each : acc) total += each;
  return static_cast<int64_t>(total);
}

int64_t scalar_int8(int64_t n_round) {
  std::array<int32_t, kChains * 4> acc{};
  for (int64_t i = 0; i < n_round; ++i) {
    for (int32_t& each : acc) each += static_cast<int8_t>(each) * 3;
  }
  int64_t total = 0;
  for (const int32_t each : acc) total += each;
  return total;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) int64_t avx2_f32(int64_t n_round) {
  __m256 acc[kChains];
  for (__m256& each : acc) each = _mm256_setzero_ps();
  const __m256 half = _mm256_set1_ps(0.5F), one = _mm256_set1_ps(1.0F);
  for (int64_t i = 0; i < n_round; ++i) {
    for (__m256& each : acc) each = _mm256_fmadd_ps(each, half, one);
  }
  float total = 0;
  for (const __m256& each : acc) total += _mm256_cvtss_f32(each);
  return static_cast<int64_t>(total);
}

__attribute__((target("avx2,fma"))) int64_t avx2_int8(int64_t n_round) {
  __m256i acc[kChains];
  for (__m256i& each : acc) each = _mm256_setzero_si256();
  const __m256i x = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < n_round; ++i) {
    for (__m256i& each : acc) {
      each = _mm256_add_epi32(each, _mm256_madd_epi16(_mm256_maddubs_epi16(x, each), ones));
    }
  }
  int64_t total = 0;
  for (const __m256i& each : acc) total += _mm256_extract_epi32(each, 0);
  return total;
}

__attribute__((target("avx512f"))) int64_t avx512_f32(int64_t n_round) {
  __m512 acc[kChains];
  for (__m512& each : acc) each = _mm512_set1_ps(0);
  const __m512 half = _mm512_set1_ps(0.5F), one = _mm512_set1_ps(1.0F);
  for (int64_t i = 0; i < n_round; ++i) {
    for (__m512& each : acc) each = _mm512_fmadd_ps(each, half, one);
  }
  float total = 0;
  for (const __m512& each : acc) {
    alignas(64) float lanes[16];
    _mm512_store_ps(lanes, each);
    total += lanes[0];
  }
  return static_cast<int64_t>(total);
}

__attribute__((target("avx512f,avx512vnni"))) int64_t avx512_int8(int64_t n_round) {
  __m512i acc[kChains];
  for (__m512i& each : acc) each = _mm512_set1_epi32(0);
  const __m512i w = _mm512_set1_epi32(0x03030303), x = _mm512_set1_epi32(0x01020102);
  for (int64_t i = 0; i < n_round; ++i) {
    for (__m512i& each : acc) each = _mm512_dpbusd_epi32(each, w, x);
  }
  int64_t total = 0;
  for (const __m512i& each : acc) {
    alignas(64) int32_t lanes[16];
    _mm512_store_si512(lanes, each);
    total += lanes[0];
  }
  return total;
}
#endif

std::array<Loop, 2> loops() {
#if defined(__x86_64__)
  if (table().name == "avx512") return {{{avx512_f32, kChains * 16}, {avx512_int8, kChains * 64}}};
  if (table().name == "avx2") return {{{avx2_f32, kChains * 8}, {avx2_int8, kChains * 32}}};
#endif
  return {{{scalar_f32, kChains * 4}, {scalar_int8, kChains * 4}}};
}

double rate(ThreadPool& pool, const Loop& loop, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  std::atomic<int64_t> used{0};
  double best = 0;
  const Clock::time_point start = Clock::now();
  for (int pass = 0; pass < 2 || since(start) < seconds; ++pass) {
    const Clock::time_point begin = Clock::now();
    pool.run(pool.n_thread(), [&](int64_t, int) { used.fetch_add(loop.run(kRounds), std::memory_order_relaxed); });
    best = std::max(best, static_cast<double>(kRounds * loop.macs * pool.n_thread()) / since(begin) * 1e-9);
  }
  return used.load() != INT64_MIN ? best : 0;
}

}  // namespace

Peak peak_gmacs(ThreadPool& pool, double seconds) {
  const std::array<Loop, 2> all = loops();
  return {.f32_gmacs = rate(pool, all[0], seconds), .int8_gmacs = rate(pool, all[1], seconds)};
}

}  // namespace reattend::cpu
