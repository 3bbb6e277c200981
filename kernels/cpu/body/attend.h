// Decode attention: scores of a piece, their exponentials, the weighted sum of values. Included once per target.
namespace reattend::cpu::REATTEND_TARGET {
namespace {

/// Scores of kGroup heads. Each dot product is a chain of fma over the vectors of a row, then sum4's tree: the same
/// bits whatever the row's neighbours are. kVecs is d_head / 16, or 0 for any d_head.
template <class Row, int kVecs, int kGroup>
void scores_of(const float* q, int any_d_head, const void* const* rows, int n, float scale, float* out,
               int64_t out_stride) {
  const int d_head = kVecs > 0 ? 16 * kVecs : any_d_head;
  const int n_whole = kVecs > 0 ? kVecs : d_head / 16, n_rest = kVecs > 0 ? 0 : d_head % 16;
  for (int i = 0; i < n; i += 4) {
    const void* row[4];
    for (int j = 0; j < 4; ++j) {
      row[j] = rows[i + j < n ? i + j : n - 1];
      Row::fetch(rows, i + j < n ? i + j + kRowsAhead : n - 1, d_head, 0, d_head);
    }
    Vec acc[kGroup][4];
    REATTEND_UNROLL
    for (int h = 0; h < kGroup; ++h) {
      REATTEND_UNROLL
      for (int j = 0; j < 4; ++j) acc[h][j] = zero();
    }
    const auto add_column = [&](const Vec(&k)[4], const auto& query) {
      REATTEND_UNROLL
      for (int h = 0; h < kGroup; ++h) {
        const Vec x = query(q + h * d_head);
        REATTEND_UNROLL
        for (int j = 0; j < 4; ++j) acc[h][j] = fma(x, k[j], acc[h][j]);
      }
    };
    REATTEND_UNROLL
    for (int c = 0; c < n_whole; ++c) {
      Vec k[4];
      REATTEND_UNROLL
      for (int j = 0; j < 4; ++j) k[j] = Row::get(row[j], d_head, 16 * c);
      add_column(k, [c](const float* head) { return load(head + 16 * c); });
    }
    if (n_rest > 0) {
      Vec k[4];
      for (int j = 0; j < 4; ++j) k[j] = Row::get_part(row[j], d_head, 16 * n_whole, n_rest);
      add_column(k, [=](const float* head) { return load_part(head + 16 * n_whole, n_rest); });
    }
    REATTEND_UNROLL
    for (int h = 0; h < kGroup; ++h) {
      float dots[4];
      sum4(acc[h][0], acc[h][1], acc[h][2], acc[h][3], dots);
      for (int j = 0; j < 4; ++j) out[h * out_stride + i + j] = dots[j] * scale;
    }
  }
}

/// o += weights times rows for kGroup heads and the columns [16 first, 16 first + 16 kVecs), the last of which may be
/// part of a vector (n_part < 16).
template <class Row, int kVecs, int kGroup>
void mix_of(const float* weights, int64_t weight_stride, int d_head, const void* const* rows, int n, int first,
            int n_part, float* o) {
  Vec acc[kGroup][kVecs];
  const auto each = [&](auto act) {
    REATTEND_UNROLL
    for (int h = 0; h < kGroup; ++h) {
      REATTEND_UNROLL
      for (int c = 0; c < kVecs; ++c) act(acc[h][c], o + h * d_head + 16 * (first + c), c + 1 < kVecs || n_part == 16);
    }
  };
  each([&](Vec& x, const float* p, bool whole) { x = whole ? load(p) : load_part(p, n_part); });
  for (int i = 0; i < n; ++i) {
    Row::fetch(rows, i + kRowsAhead, d_head, 16 * first, 16 * kVecs);
    Vec v[kVecs];
    REATTEND_UNROLL
    for (int c = 0; c < kVecs; ++c) {
      v[c] = c + 1 < kVecs || n_part == 16 ? Row::get(rows[i], d_head, 16 * (first + c))
                                           : Row::get_part(rows[i], d_head, 16 * (first + c), n_part);
    }
    REATTEND_UNROLL
    for (int h = 0; h < kGroup; ++h) {
      const Vec w = set(weights[h * weight_stride + i]);
      REATTEND_UNROLL
      for (int c = 0; c < kVecs; ++c) acc[h][c] = fma(w, v[c], acc[h][c]);
    }
  }
  each([&](Vec& x, float* p, bool whole) { whole ? store(p, x) : store_part(p, x, n_part); });
}

/// Calls body<g>(first head, g) for the group in passes of at most kHeads heads.
template <int kMost = kHeads, class Body>
REATTEND_INLINE void in_passes(int group, int first, Body body) {
  if constexpr (kMost >= 1) {
    for (; group - first >= kMost; first += kMost) body.template operator()<kMost>(first);
    in_passes<kMost - 1>(group, first, body);
  }
}

template <class Row>
void scores_in(const float* q, int group, int d_head, const void* const* rows, int n, float scale, float* out,
               int64_t out_stride) {
  if constexpr (std::is_same_v<Row, ScaledRow>) {
    if (group >= kUnpackFrom && UnpackedRows::fit(d_head)) {
      UnpackedRows wide(d_head);
      for (int i = 0; i < n; i += UnpackedRows::kRows) {
        const int count = static_cast<int>(least(UnpackedRows::kRows, n - i));
        scores_in<UnpackedRow>(q, group, d_head, wide.fill<Row>(rows + i, count), count, scale, out + i, out_stride);
      }
      return;
    }
  }
  in_passes(group, 0, [&]<int kGroup>(int h) {
    const auto run = d_head == 64    ? scores_of<Row, 4, kGroup>
                     : d_head == 128 ? scores_of<Row, 8, kGroup>
                                     : scores_of<Row, 0, kGroup>;
    run(q + h * d_head, d_head, rows, n, scale, out + h * out_stride, out_stride);
  });
}

void scores(const float* q, int group, int d_head, const void* const* rows, int n, KvType type, float scale, float* out,
            int64_t out_stride) {
  with_row(type, [&]<class Row>() { scores_in<Row>(q, group, d_head, rows, n, scale, out, out_stride); });
}

/// `top`: the highest of the scores.
REATTEND_INLINE void weigh_under(float* scores, int n, float top, float* m, float* d) {
  Vec total = zero();
  for_vectors(
      n,
      [&](int64_t i) {
        const Vec e = exp(sub(load(scores + i), set(top)));
        store(scores + i, e);
        total = add(total, e);
      },
      [&](int64_t i, int k) {
        store_part(scores + i, exp(sub(load_part(scores + i, k), set(top))), k);
        total = add(total, load_part(scores + i, k));
      });
  *m = top;
  *d = sum(total);
}

void weigh(float* scores, int n, float* m, float* d) {
  weigh_under(scores, n, highest(scores, n), m, d);
}

template <class Row>
void mix_in(const float* weights, int64_t weight_stride, int group, int d_head, const void* const* rows, int n,
            float* o) {
  if constexpr (std::is_same_v<Row, ScaledRow>) {
    if (group >= kUnpackFrom && UnpackedRows::fit(d_head)) {
      UnpackedRows wide(d_head);
      for (int i = 0; i < n; i += UnpackedRows::kRows) {
        const int count = static_cast<int>(least(UnpackedRows::kRows, n - i));
        mix_in<UnpackedRow>(weights + i, weight_stride, group, d_head, wide.fill<Row>(rows + i, count), count, o);
      }
      return;
    }
  }
  const int n_vec = (d_head + 15) / 16;
  in_passes(group, 0, [&]<int kGroup>(int h) {
    const float* w = weights + h * weight_stride;
    float* out = o + h * d_head;
    int c = 0;
    for (; 16 * (c + 4) <= d_head; c += 4) {
      mix_of<Row, 4, kGroup>(w, weight_stride, d_head, rows, n, c, 16, out);
    }
    for (; c < n_vec; ++c) {
      const int part = d_head - 16 * c;
      mix_of<Row, 1, kGroup>(w, weight_stride, d_head, rows, n, c, part < 16 ? part : 16, out);
    }
  });
}

void mix(const float* weights, int64_t weight_stride, int group, int d_head, const void* const* rows, int n,
         KvType type, float* o) {
  with_row(type, [&]<class Row>() { mix_in<Row>(weights, weight_stride, group, d_head, rows, n, o); });
}

/// Calls act(i, exp(m[i] - top)) for the maxima of n pieces, in order.
template <class Act>
REATTEND_INLINE void for_pieces(const float* m, int64_t n, int64_t stride, float top, Act act) {
  for (int64_t first = 0; first < n; first += 16) {
    const int count = static_cast<int>(least(16, n - first));
    float lanes[16] = {};
    for (int j = 0; j < count; ++j) lanes[j] = m[(first + j) * stride] - top;
    store(lanes, exp(load(lanes)));
    for (int j = 0; j < count; ++j) act(first + j, lanes[j]);
  }
}

float highest_of(const float* m, int64_t n, int64_t stride) {
  float top = m[0];
  for (int64_t i = 1; i < n; ++i) top = m[i * stride] > top ? m[i * stride] : top;
  return top;
}

void finish_row(float* row, int64_t n, const float* m, const float* d, int64_t stride) {
  const int64_t n_piece = (n + kPiece - 1) / kPiece;
  const float top = highest_of(m, n_piece, stride);
  float total = 0;
  for_pieces(m, n_piece, stride, top, [&](int64_t i, float e) { total += d[i * stride] * e; });
  for_pieces(m, n_piece, stride, top, [&](int64_t i, float e) {
    const Vec share = set(e / total);
    float* const piece = row + i * kPiece;
    for_vectors(
        least(kPiece, n - i * kPiece), [&](int64_t j) { store(piece + j, mul(load(piece + j), share)); },
        [&](int64_t j, int k) { store_part(piece + j, mul(load_part(piece + j, k), share), k); });
  });
}

/// finish_row() and reduce_heads(), bit for bit, in one pass.
void reduce_weights(const float* rows, int32_t group, int64_t stride, int64_t n, const float* m, const float* d,
                    int64_t state_stride, Reduce how, float* shares, float* out) {
  const int64_t n_piece = (n + kPiece - 1) / kPiece;
  if (how == Reduce::first) group = 1;
  for (int32_t h = 0; h < group; ++h, m += state_stride, d += state_stride) {
    const float top = highest_of(m, n_piece, 1);
    float total = 0;
    for_pieces(m, n_piece, 1, top, [&](int64_t i, float e) { total += d[i] * e; });
    for_pieces(m, n_piece, 1, top, [&](int64_t i, float e) { shares[h * n_piece + i] = e / total; });
  }
  const Vec of_mean = set(1.0F / static_cast<float>(group));
  for (int64_t piece = 0; piece < n_piece; ++piece) {
    const float* const from = rows + piece * kPiece;
    const auto reduce = [&](int64_t i, auto get) {
      Vec all = mul(get(from + i), set(shares[piece]));
      for (int32_t h = 1; h < group; ++h) {
        const Vec here = mul(get(from + h * stride + i), set(shares[h * n_piece + piece]));
        all = how == Reduce::max ? max(all, here) : add(all, here);
      }
      return how == Reduce::mean ? mul(all, of_mean) : all;
    };
    float* const to = out + piece * kPiece;
    for_vectors(
        least(kPiece, n - piece * kPiece), [&](int64_t i) { store(to + i, reduce(i, load)); },
        [&](int64_t i, int k) { store_part(to + i, reduce(i, [k](const float* x) { return load_part(x, k); }), k); });
  }
}

void merge_states(const float* m, const float* d, const float* o, int64_t n, int64_t stride, int d_head, float* out) {
  float total = 0;
  for (int c = 0; c < d_head; ++c) out[c] = 0;
  for_pieces(m, n, stride, highest_of(m, n, stride), [&](int64_t i, float weight) {
    total += d[i * stride] * weight;
    const float* state = o + i * stride * d_head;
    for_vectors(
        d_head, [&](int64_t c) { store(out + c, fma(load(state + c), set(weight), load(out + c))); },
        [&](int64_t c, int k) {
          store_part(out + c, fma(load_part(state + c, k), set(weight), load_part(out + c, k)), k);
        });
  });
  const Vec one_over = set(1.0F / total);
  for_vectors(
      d_head, [&](int64_t c) { store(out + c, mul(load(out + c), one_over)); },
      [&](int64_t c, int k) { store_part(out + c, mul(load_part(out + c, k), one_over), k); });
}

}  // namespace
}  // namespace reattend::cpu::REATTEND_TARGET
