// Attention of a decoded token, rung by rung: f16 cache, width 64, groups of three query heads.
#pragma once
#include "tests/bench/ladder.h"

namespace reattend::ladder {

inline constexpr int32_t kWidth = 64, kGroup = 3, kKvHeads = 3, kHeads = kGroup * kKvHeads;
inline constexpr float kScale = 0.125F;

REATTEND_AVX512 inline void load_row(const std::byte* row, __m512 (&out)[4]) {
  for (int c = 0; c < 4; ++c) {
    out[c] = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row) + c));
  }
}
REATTEND_AVX512 inline float dot_row(const float* q, const __m512 (&row)[4]) {
  __m512 sum = _mm512_mul_ps(_mm512_loadu_ps(q), row[0]);
  for (int c = 1; c < 4; ++c) sum = _mm512_fmadd_ps(_mm512_loadu_ps(q + 16 * c), row[c], sum);
  return _mm512_reduce_add_ps(sum);
}
REATTEND_AVX512 inline void add_row(float weight, const __m512 (&row)[4], float* o) {
  for (int c = 0; c < 4; ++c) {
    _mm512_storeu_ps(o + 16 * c, _mm512_fmadd_ps(_mm512_set1_ps(weight), row[c], _mm512_loadu_ps(o + 16 * c)));
  }
}

/// A softmax that is corrected at every new maximum.
struct Running {
  float m = -INFINITY, d = 0, o[kWidth] = {};
  float enter(float score) {
    if (score > m) {
      const float shrink = std::exp(m - score);
      for (float& each : o) each *= shrink;
      d *= shrink, m = score;
    }
    const float weight = std::exp(score - m);
    d += weight;
    return weight;
  }
  void finish(float* out) const {
    for (int c = 0; c < kWidth; ++c) out[c] = o[c] / d;
  }
};

/// Keys and values of the entries of a set, found one by one.
struct Rows {
  const KvBlocks& kv;
  const PositionSet& set;
  const std::byte* key(int32_t i) const { return row(kv.keys, set[i]); }
  const std::byte* value(int32_t i) const { return row(kv.values, set[i]); }
  static const std::byte* row(const void* const* blocks, int32_t p) {
    return static_cast<const std::byte*>(blocks[p / kPiece]) + p % kPiece * kWidth * 2;
  }
};

/// As engines without a group do it: every query head walks the cache for itself.
REATTEND_AVX512 inline void attend_head(const float* q, const Rows& rows, float* out) {
  Running state;
  for (int32_t i = 0; i < rows.set.size(); ++i) {
    __m512 row[4];
    load_row(rows.key(i), row);
    const float weight = state.enter(dot_row(q, row) * kScale);
    load_row(rows.value(i), row);
    add_row(weight, row, state.o);
  }
  state.finish(out);
}

/// Rows are read once for the group that shares them.
REATTEND_AVX512 inline void attend_group(const float* q, const Rows& rows, float* out) {
  Running states[kGroup];
  for (int32_t i = 0; i < rows.set.size(); ++i) {
    __m512 row[4];
    float weights[kGroup];
    load_row(rows.key(i), row);
    for (int h = 0; h < kGroup; ++h) weights[h] = states[h].enter(dot_row(q + h * kWidth, row) * kScale);
    load_row(rows.value(i), row);
    for (int h = 0; h < kGroup; ++h) add_row(weights[h], row, states[h].o);
  }
  for (int h = 0; h < kGroup; ++h) states[h].finish(out + h * kWidth);
}

/// Of a piece: m, d [kGroup], o [kGroup][kWidth].
struct PieceState {
  float *m, *d, *o;
};

/// A piece in two passes, with one maximum: scores, exponentials, values.
template <bool kVectorExp, bool kAhead>
REATTEND_AVX512 inline void attend_piece(const float* q, const Rows& rows, int32_t begin, const PieceState& out) {
  constexpr int kDistance = 16;
  const int32_t end = std::min(begin + kPiece, rows.set.size());
  const auto ahead = [&](const std::byte* row) {
    _mm_prefetch(reinterpret_cast<const char*>(row), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(row) + 64, _MM_HINT_T0);
  };
  float scores[kGroup][cpu::kPieceStride];
  __m512 row[4];
  for (int32_t i = begin; i < end; ++i) {
    if constexpr (kAhead)
      ahead(i + kDistance < end ? rows.key(i + kDistance) : rows.value(std::min(begin + i + kDistance - end, end - 1)));
    load_row(rows.key(i), row);
    for (int h = 0; h < kGroup; ++h) scores[h][i - begin] = dot_row(q + h * kWidth, row) * kScale;
  }
  for (int h = 0; h < kGroup; ++h) {
    if constexpr (kVectorExp) {
      cpu::table().weigh(scores[h], end - begin, &out.m[h], &out.d[h]);
    } else {
      out.m[h] = *std::max_element(scores[h], scores[h] + (end - begin)), out.d[h] = 0;
      for (int32_t i = 0; i < end - begin; ++i) out.d[h] += scores[h][i] = std::exp(scores[h][i] - out.m[h]);
    }
  }
  __m512 o[kGroup][4];
  for (auto& head : o) {
    for (__m512& each : head) each = _mm512_setzero_ps();
  }
  for (int32_t i = begin; i < end; ++i) {
    if constexpr (kAhead) {
      if (i + kDistance < rows.set.size())
        ahead(i + kDistance < end ? rows.value(i + kDistance) : rows.key(i + kDistance));
    }
    load_row(rows.value(i), row);
    for (int h = 0; h < kGroup; ++h) {
      const __m512 weight = _mm512_set1_ps(scores[h][i - begin]);
      for (int c = 0; c < 4; ++c) o[h][c] = _mm512_fmadd_ps(weight, row[c], o[h][c]);
    }
  }
  for (int h = 0; h < kGroup; ++h) {
    for (int c = 0; c < 4; ++c) _mm512_storeu_ps(out.o + h * kWidth + 16 * c, o[h][c]);
  }
}

/// All query heads of all layers, by one rung or another.
class Attention {
 public:
  Attention(ThreadPool& pool, int32_t n_layer, int32_t depth, int32_t n_kept) : pool_(pool) {
    for (int32_t i = 0; i < n_layer * kKvHeads; ++i) caches_.emplace_back(depth, kWidth, KvType::f16, 1 + i % 7);
    kept_ = shuffled(depth, n_kept, 4);
    for (const Cache& cache : caches_) {
      kv_.push_back(cache.blocks());
      packed_.push_back({cache.packed(kept_, false, KvType::f16), cache.packed(kept_, true, KvType::f16)});
    }
    run_ = everything_up_to(depth);
    kept_set_ = {.kept = kept_.data(), .n_kept = n_kept, .tail = depth, .end = depth};
    q_ = Random(3).normals(kHeads * kWidth);
    out_.resize(static_cast<size_t>(n_layer) * kHeads * kWidth);
    const auto n_state = static_cast<size_t>(kKvHeads * n_piece(depth) * kGroup);
    m_.resize(n_state), d_.resize(n_state), o_.resize(n_state * kWidth);
  }

  std::vector<Rung> whole() {
    return {{"each query head walks the cache, softmax as it goes", [this] { heads(); }},
            {"rows read once for the group", [this] { groups(); }},
            {"pieces of 256 shared out, two passes, one maximum each", [this] { pieces<false, false>(run_); }},
            {"vector exponential", [this] { pieces<true, false>(run_); }},
            {"rows prefetched 16 ahead", [this] { pieces<true, true>(run_); }},
            {"now: four rows' sums at once, shares of 128 KB", [this] { present(run_, false); }}};
  }
  std::vector<Rung> kept() {
    return {{"lone rows where they lie", [this] { pieces<true, false>(kept_set_); }},
            {"prefetched 16 ahead", [this] { pieces<true, true>(kept_set_); }},
            {"now, gathered", [this] { present(kept_set_, false); }},
            {"now, packed in rank order at the first use", [this] { present(kept_set_, true); }}};
  }
  /// Whether every rung gives what the reference gives.
  bool check(const std::vector<Rung>& rungs, bool kept) {
    const PositionSet& set = kept ? kept_set_ : run_;
    const std::vector<PositionSet> sets(kKvHeads, set);
    std::vector<double> want(out_.size());
    for (size_t at = 0; at < kv_.size(); at += kKvHeads) {
      Reference::attend(pool_, {}, widen(q_).data(), kGroup, std::span(kv_).subspan(at, kKvHeads), sets, kScale,
                        &want[at * kGroup * kWidth], nullptr, 0);
    }
    return check_rungs(rungs, out_, want, 1e-5);
  }
  double positions(bool kept) const { return static_cast<double>(kv_.size()) * (kept ? kept_set_ : run_).size(); }

 private:
  size_t n_layer() const { return kv_.size() / kKvHeads; }
  float* out(size_t layer, size_t g) { return &out_[(layer * kKvHeads + g) * kGroup * kWidth]; }
  const float* q(size_t g) const { return &q_[g * kGroup * kWidth]; }

  void heads() {
    for (size_t layer = 0; layer < n_layer(); ++layer) {
      pool_.run(kHeads, [&](int64_t head, int) {
        const auto g = static_cast<size_t>(head / kGroup), h = static_cast<size_t>(head % kGroup) * kWidth;
        attend_head(q(g) + h, {kv_[layer * kKvHeads + g], run_}, out(layer, g) + h);
      });
    }
  }
  void groups() {
    for (size_t layer = 0; layer < n_layer(); ++layer) {
      pool_.run(kKvHeads, [&](int64_t task, int) {
        const auto g = static_cast<size_t>(task);
        attend_group(q(g), {kv_[layer * kKvHeads + g], run_}, out(layer, g));
      });
    }
  }
  template <bool kVectorExp, bool kAhead>
  void pieces(const PositionSet& set) {
    const int32_t n = n_piece(set.size());
    for (size_t layer = 0; layer < n_layer(); ++layer) {
      pool_.run(int64_t{kKvHeads} * n, [&](int64_t task, int) {
        const auto g = static_cast<size_t>(task / n), at = static_cast<size_t>(task) * kGroup;
        attend_piece<kVectorExp, kAhead>(q(g), {kv_[layer * kKvHeads + g], set},
                                         static_cast<int32_t>(task % n) * kPiece, {&m_[at], &d_[at], &o_[at * kWidth]});
      });
      for (size_t g = 0; g < kKvHeads; ++g) {
        for (size_t h = 0; h < kGroup; ++h) {
          const size_t at = g * static_cast<size_t>(n) * kGroup + h;
          cpu::table().merge_states(&m_[at], &d_[at], &o_[at * kWidth], n, kGroup, kWidth, out(layer, g) + h * kWidth);
        }
      }
    }
  }
  void present(const PositionSet& set, bool packed) {
    for (size_t layer = 0; layer < n_layer(); ++layer) {
      std::vector<PositionSet> sets(kKvHeads, set);
      for (size_t g = 0; packed && g < kKvHeads; ++g) {
        sets[g].packed_keys = packed_[layer * kKvHeads + g][0].data();
        sets[g].packed_values = packed_[layer * kKvHeads + g][1].data();
      }
      Cpu::attend(pool_, scratch_, q_.data(), kGroup, std::span(kv_).subspan(layer * kKvHeads, kKvHeads), sets, kScale,
                  out(layer, 0), nullptr, 0);
    }
  }

  ThreadPool& pool_;
  Cpu::Scratch scratch_;
  std::vector<Cache> caches_;
  std::vector<KvBlocks> kv_;                                   ///< [n_layer][kKvHeads]
  std::vector<std::array<std::vector<std::byte>, 2>> packed_;  ///< keys and values of the kept set, as kv_
  std::vector<int32_t> kept_;
  PositionSet run_, kept_set_;
  std::vector<float> q_, out_;    ///< [kHeads][kWidth]; [n_layer][kHeads][kWidth]
  std::vector<float> m_, d_, o_;  ///< [kKvHeads][n_piece][kGroup], and [kWidth]
};

}  // namespace reattend::ladder
