// What the kernel tests share: random data, caches of blocks, quantised matrices, and the loop over targets.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/half.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/table.h"
#include "kernels/layout.h"
#include "kernels/quant.h"
#include "kernels/reference/reference.h"

namespace reattend::test {

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  float normal(float sigma = 1) { return std::normal_distribution<float>(0, sigma)(engine_); }
  int below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(engine_); }
  std::vector<float> normals(int64_t n, float sigma = 1) {
    std::vector<float> out(static_cast<size_t>(n));
    for (float& x : out) x = normal(sigma);
    return out;
  }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

inline float scale_of(int32_t d_head) {
  return 1 / std::sqrt(static_cast<float>(d_head));
}

/// A kept set of k distinct positions below n, in an order that is not ascending.
inline std::vector<int32_t> shuffled(int32_t n, int32_t k, uint32_t seed) {
  std::vector<int32_t> all(static_cast<size_t>(n));
  for (int32_t i = 0; i < n; ++i) all[static_cast<size_t>(i)] = i;
  std::shuffle(all.begin(), all.end(), Random(seed).engine());
  all.resize(static_cast<size_t>(k));
  return all;
}

inline std::vector<double> widen(const std::vector<float>& x) {
  return {x.begin(), x.end()};
}

/// Keys and values of one KV head in blocks that are not neighbours in memory; every row is random.
class Cache {
 public:
  Cache(int32_t n, int32_t d_head, KvType type, uint32_t seed) : d_head_(d_head), type_(type) {
    Random random(seed);
    for (int32_t b = 0; b < n_piece(n); ++b) {
      for (auto* store : {&keys_, &values_}) {
        store->emplace_back(static_cast<size_t>(kPiece * row_bytes(type, d_head)));
        for (int32_t i = 0; i < kPiece; ++i) {
          const std::vector<double> row = widen(random.normals(d_head));
          Reference::store_kv(row.data(), d_head, type, store->back().data() + i * row_bytes(type, d_head));
        }
      }
    }
    for (auto& block : keys_) key_blocks_.push_back(block.data());
    for (auto& block : values_) value_blocks_.push_back(block.data());
  }
  /// The same values, which must fit, in another type.
  Cache in(KvType type) const {
    Cache other(static_cast<int32_t>(keys_.size()) * kPiece, d_head_, type, 0);
    std::vector<double> row(static_cast<size_t>(d_head_));
    for (int32_t p = 0; p < static_cast<int32_t>(keys_.size()) * kPiece; ++p) {
      for (const bool values : {false, true}) {
        Reference::load_kv(this->row(p, values), d_head_, type_, row.data());
        Reference::store_kv(row.data(), d_head_, type, other.row(p, values));
      }
    }
    return other;
  }
  KvBlocks blocks() const { return {key_blocks_.data(), value_blocks_.data(), type_, d_head_}; }
  /// Rows of the positions, copied one behind the other, as `type`.
  std::vector<std::byte> packed(const std::vector<int32_t>& positions, bool values, KvType type) const {
    const auto size = static_cast<size_t>(row_bytes(type, d_head_));
    std::vector<std::byte> out(positions.size() * size);
    std::vector<double> row(static_cast<size_t>(d_head_));
    for (size_t i = 0; i < positions.size(); ++i) {
      Reference::load_kv(this->row(positions[i], values), d_head_, type_, row.data());
      Reference::store_kv(row.data(), d_head_, type, out.data() + i * size);
    }
    return out;
  }
  std::byte* row(int32_t position, bool values) const {
    auto& block =
        const_cast<std::vector<std::byte>&>((values ? values_ : keys_)[static_cast<size_t>(position / kPiece)]);
    return block.data() + position % kPiece * row_bytes(type_, d_head_);
  }

 private:
  int32_t d_head_;
  KvType type_;
  std::vector<std::vector<std::byte>> keys_, values_;
  std::vector<const void*> key_blocks_, value_blocks_;
};

/// A matrix as it would lie in a file, with every quant and scale used.
class FileMatrix {
 public:
  FileMatrix(TensorType type, int64_t n_row, int64_t n_col, uint32_t seed)
      : bytes_(static_cast<size_t>(matrix_bytes(type, n_row, n_col))) {
    Random random(seed);
    const TensorFormat& format = format_of(type);
    const auto put = [&](size_t at, float x) {
      if (type == TensorType::f32) {
        std::memcpy(&bytes_[at], &x, 4);
      } else if (type == TensorType::bf16) {
        const auto bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16);
        std::memcpy(&bytes_[at], &bits, 2);
      } else {
        const Half half = to_half(x);
        std::memcpy(&bytes_[at], &half, 2);
      }
    };
    for (size_t at = 0; at < bytes_.size(); at += static_cast<size_t>(format.block_bytes)) {
      if (format.block_size == 1) {
        put(at, random.normal());
        continue;
      }
      for (size_t i = 0; i < static_cast<size_t>(format.block_bytes); ++i) {
        bytes_[at + i] = static_cast<std::byte>(random.below(256));
      }
      const size_t scale = at + scale_at(type);
      put(scale, random.normal(format.scale_cols > 0 ? 0.01F : 0.1F));
      if (format.has_minima) put(scale + 2, random.normal(format.scale_cols > 0 ? 0.03F : 0.3F));
    }
    view_ = {.name = "test", .type = type, .n_row = n_row, .n_col = n_col, .bytes = bytes_};
  }
  const TensorView& view() const { return view_; }

 private:
  /// Where a block has its f16 scale; a minimum follows it.
  static size_t scale_at(TensorType type) {
    return type == TensorType::q2_k ? 80 : type == TensorType::q3_k ? 108 : type == TensorType::q6_k ? 208 : 0;
  }

  std::vector<std::byte> bytes_;
  TensorView view_;
};

/// Every test of a fast kernel runs once per instruction set of this machine.
class OnTarget : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override { cpu::use_target(GetParam()); }
  void TearDown() override { cpu::use_target(cpu::available_targets().back()); }
};
inline std::string target_of(const testing::TestParamInfo<std::string_view>& info) {
  return std::string(info.param);
}
#define REATTEND_ON_EVERY_TARGET(Suite) \
  INSTANTIATE_TEST_SUITE_P(, Suite, testing::ValuesIn(cpu::available_targets()), target_of)

/// Bits, not values: NaN equals itself and 0 differs from -0.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Heads and cache of one layer.
struct Shape {
  int32_t d_head, group;
  KvType type;
};

/// Of attention's outputs. Scores carry d_head roundings of at most 2^-24 of |q||k|; a weight is then off by that plus
/// exp's few units, and the mean of values by twice a weight's relative error times the values' size (4.5 sigma of the
/// normals used here).
inline double output_bound(int32_t d_head) {
  return 4.5 * 2 * (16 + d_head) * 0x1p-24 * 4;
}

}  // namespace reattend::test
