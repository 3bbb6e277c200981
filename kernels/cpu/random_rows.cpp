// Draws from a table of normal values: what counts with gigabytes is the generator's speed.
#include "kernels/cpu/random_rows.h"

#include <array>
#include <random>
#include <vector>

#include "kernels/cpu/ops.h"

namespace reattend {
namespace {

constexpr size_t kTable = size_t{1} << 14;

/// Quantiles' places are drawn uniformly, so the values are normal.
const std::array<float, kTable>& normals() {
  static const std::array<float, kTable> table = [] {
    std::array<float, kTable> values{};
    std::mt19937 engine(1);
    std::normal_distribution<float> normal;
    for (float& each : values) each = normal(engine);
    return values;
  }();
  return table;
}

/// splitmix64: any seed is a good one.
class Bits {
 public:
  explicit Bits(uint64_t seed) : state_(seed) {}
  uint64_t operator()() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15ULL;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
  }

 private:
  uint64_t state_;
};

void draw(Bits& bits, std::span<float> out) {
  const auto& table = normals();
  uint64_t word = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    word = i % 4 == 0 ? bits() : word >> 16;
    out[i] = table[word % kTable];
  }
}

}  // namespace

void random_rows(KvType type, int32_t d_head, int64_t n, uint64_t seed, std::span<std::byte> out) {
  Bits bits(seed);
  std::vector<float> row(static_cast<size_t>(d_head));
  for (int64_t i = 0; i < n; ++i) {
    draw(bits, row);
    Cpu::store_kv(row.data(), d_head, type, out.data() + i * row_bytes(type, d_head));
  }
}

}  // namespace reattend
