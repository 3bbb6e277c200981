// How decode attention and weight products came to their present form: each attempt is checked, then timed in rounds.
#include <chrono>
#include <exception>
#include <string>

#include "base/rounds.h"
#include "base/statistics.h"
#include "kernels/cpu/stream.h"
#include "tests/bench/ladder_attention.h"
#include "tests/bench/ladder_weights.h"

namespace reattend::ladder {
namespace {

/// All rungs in rounds; medians. `bytes` must be read by any.
void climb(const char* title, const std::vector<Rung>& rungs, double bytes, double units, const char* unit,
           double stream, int n_round) {
  using Clock = std::chrono::steady_clock;
  std::vector<std::vector<double>> seconds(rungs.size());
  Rounds rounds;
  for (size_t i = 0; i < rungs.size(); ++i) {
    rounds.add(rungs[i].what, [&, i] {
      const auto begin = Clock::now();
      rungs[i].run();
      seconds[i].push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    });
  }
  rounds.run(n_round, {}, Cancel());
  std::printf("\n%s\n%-58s %9s %11s %7s %9s %7s\n", title, "", "ms", ("ns/" + std::string(unit)).c_str(), "GB/s",
              "% stream", "bought");
  double before = 0;
  for (size_t i = 0; i < rungs.size(); ++i) {
    const double s = median(seconds[i]), rate = bytes / s * 1e-9;
    std::printf("%zu %-56s %9.3f %11.3f %7.1f %9.0f", i + 1, rungs[i].what, s * 1e3, s * 1e9 / units, rate,
                100 * rate / stream);
    if (before > 0) {
      std::printf(" %6.2fx\n", before / s);
    } else {
      std::printf("\n");
    }
    before = s;
  }
}

int run(bool only_check) {
  if (cpu::available_targets().back() != "avx512") {
    std::printf("ladder: left out, its rungs are written for AVX-512 with VNNI\n");
    return 0;
  }
  ThreadPool pool(0);
  // Depth and budget no multiple of a piece: the last one is a part.
  Attention small(pool, 1, 1000, 300);
  Weights few(pool, 2);
  if (!small.check(small.whole(), false) || !small.check(small.kept(), true) || !few.check()) return 1;
  if (only_check) return 0;

  constexpr int32_t kLayers = 30, kDepth = 7680, kKept = 1024;
  constexpr int kMatrices = 120, kRounds = 15;
  const double stream = cpu::stream_gbps(pool, 1.0).best;
  std::printf("%d threads, stream %.1f GB/s, medians of %d interleaved rounds\n", pool.n_thread(), stream, kRounds);
  {
    Attention attention(pool, kLayers, kDepth, kKept);
    const double row = 4.0 * kWidth;
    climb("Attention over 7,680 positions, 30 layers, 3 KV heads of 3 query heads", attention.whole(),
          attention.positions(false) * row, attention.positions(false), "row", stream, kRounds);
    climb("Attention over 1,024 kept positions", attention.kept(), attention.positions(true) * row,
          attention.positions(true), "row", stream, kRounds);
  }
  Weights weights(pool, kMatrices);
  climb("Products with 120 matrices [1536][576] of Q4_1", weights.rungs(), weights.weights() / 32 * kBlockBytes,
        weights.weights(), "weight", stream, kRounds);
  return 0;
}

}  // namespace
}  // namespace reattend::ladder

/// ladder [--check]: with it, only whether every rung is right.
int main(int argc, char** argv) {
  try {
    return reattend::ladder::run(argc > 1 && std::string(argv[1]) == "--check");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ladder: %s\n", error.what());
    return 1;
  }
}
