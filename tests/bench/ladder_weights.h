// One token's products with Q4_1 weights, rung by rung.
#pragma once
#include "tests/bench/ladder.h"

namespace reattend::ladder {

/// Activations of a token as int8 with a scale and a sum for each 32.
struct Quantised {
  std::vector<int8_t> q;
  std::vector<float> scale, sum;  ///< [n_block]; sum of x, as it was rounded
  explicit Quantised(const std::vector<float>& x) : q(x.size()) {
    for (size_t b = 0; b < x.size(); b += 32) {
      float top = 0;
      for (size_t i = b; i < b + 32; ++i) top = std::max(top, std::fabs(x[i]));
      int total = 0;
      for (size_t i = b; i < b + 32; ++i) {
        q[i] = static_cast<int8_t>(std::nearbyint(x[i] * 127 / top));
        total += q[i];
      }
      scale.push_back(top / 127), sum.push_back(top / 127 * static_cast<float>(total));
    }
  }
};

inline constexpr int64_t kBlockBytes = 20;  // of Q4_1: f16 d, f16 m, 32 quants of 4 bits

inline float half_at(const std::byte* at) {
  Half half;
  std::memcpy(&half, at, sizeof half);
  return to_float(half);
}

inline float dot_dequantised(const std::byte* row, int64_t n_block, const float* x) {
  float sum = 0, w[32];
  for (int64_t b = 0; b < n_block; ++b) {
    format_of(TensorType::q4_1).dequantize(row + b * kBlockBytes, 32, w);
    for (int i = 0; i < 32; ++i) sum += w[i] * x[b * 32 + i];
  }
  return sum;
}

inline float dot_int8(const std::byte* row, int64_t n_block, const Quantised& x) {
  float sum = 0;
  for (int64_t b = 0; b < n_block; ++b) {
    const std::byte* const block = row + b * kBlockBytes;
    const int8_t* const q = &x.q[static_cast<size_t>(b) * 32];
    int total = 0;
    for (int i = 0; i < 16; ++i) {
      const int both = std::to_integer<int>(block[4 + i]);
      total += (both & 15) * q[i] + (both >> 4) * q[i + 16];
    }
    const auto at = static_cast<size_t>(b);
    sum += half_at(block) * x.scale[at] * static_cast<float>(total) + half_at(block + 2) * x.sum[at];
  }
  return sum;
}

REATTEND_AVX512 inline float dot_vnni(const std::byte* row, int64_t n_block, const Quantised& x) {
  __m256 sum = _mm256_setzero_ps();
  float minima = 0;
  for (int64_t b = 0; b < n_block; ++b) {
    const std::byte* const block = row + b * kBlockBytes;
    const auto at = static_cast<size_t>(b);
    const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 4)), low = _mm_set1_epi8(15);
    const __m256i w = _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(both, 4), low), _mm_and_si128(both, low));
    const __m256i q = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(&x.q[at * 32]));
    const __m256 total = _mm256_cvtepi32_ps(_mm256_dpbusd_epi32(_mm256_setzero_si256(), w, q));
    uint16_t d = 0, m = 0;
    std::memcpy(&d, block, 2), std::memcpy(&m, block + 2, 2);
    sum = _mm256_fmadd_ps(_mm256_set1_ps(_cvtsh_ss(d) * x.scale[at]), total, sum);
    minima += _cvtsh_ss(m) * x.sum[at];
  }
  float lanes[8];
  _mm256_storeu_ps(lanes, sum);
  for (const float lane : lanes) minima += lane;
  return minima;
}

class Weights {
 public:
  Weights(ThreadPool& pool, int n_matrix) : pool_(pool), x_(Random(5).normals(kCols)), quantised_(x_) {
    for (int i = 0; i < n_matrix; ++i) {
      files_.emplace_back(TensorType::q4_1, kRows, kCols, static_cast<uint32_t>(i));
      packed_.push_back(Cpu::pack(files_.back().view()));
    }
    y_.resize(static_cast<size_t>(n_matrix) * kRows);
  }
  std::vector<Rung> rungs() {
    constexpr int64_t kBlocks = kCols / 32;
    return {{"weights dequantised to f32, dot in f32",
             [this] { rows([this](const std::byte* row) { return dot_dequantised(row, kBlocks, x_.data()); }); }},
            {"activations to int8 once, integer dot",
             [this] { rows([this](const std::byte* row) { return dot_int8(row, kBlocks, quantised_); }); }},
            {"VNNI, a row at a time",
             [this] { rows([this](const std::byte* row) { return dot_vnni(row, kBlocks, quantised_); }); }},
            {"now: 16 rows interleaved, the next tile prefetched", [this] { present(); }}};
  }
  /// int8 activations are within a percent of the reference's in double.
  bool check() {
    std::vector<double> want(y_.size());
    for (size_t i = 0; i < files_.size(); ++i) {
      const Reference::Matrix matrix = Reference::pack(files_[i].view());
      const Reference::Product one[] = {{&matrix, &want[i * kRows], kRows}};
      Reference::matmul(pool_, {}, Activations::f32, widen(x_).data(), 1, one);
    }
    return check_rungs(rungs(), y_, want, 1e-2);
  }
  double weights() const { return static_cast<double>(files_.size()) * kRows * kCols; }

 private:
  static constexpr int64_t kRows = 1536, kCols = 576;

  template <class Dot>
  void rows(const Dot& dot) {
    constexpr int64_t kShare = 64;
    for (size_t i = 0; i < files_.size(); ++i) {
      pool_.run(kRows / kShare, [&](int64_t task, int) {
        for (int64_t r = task * kShare; r < (task + 1) * kShare; ++r) {
          y_[i * kRows + static_cast<size_t>(r)] = dot(files_[i].view().bytes.data() + r * (kCols / 32) * kBlockBytes);
        }
      });
    }
  }
  void present() {
    for (size_t i = 0; i < files_.size(); ++i) {
      const Cpu::Product one[] = {{&packed_[i], &y_[i * kRows], kRows}};
      Cpu::matmul(pool_, scratch_, Activations::q8, x_.data(), 1, one);
    }
  }

  ThreadPool& pool_;
  Cpu::Scratch scratch_;
  std::vector<float> x_, y_;  ///< [kCols]; [n_matrix][kRows]
  Quantised quantised_;
  std::vector<FileMatrix> files_;
  std::vector<Cpu::Matrix> packed_;
};

}  // namespace reattend::ladder
