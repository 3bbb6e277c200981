// Rows of prompt attention, summed but never stored: a strip of queries against one piece of keys. Once per target.
namespace reattend::cpu::REATTEND_TARGET {
namespace {

/// Parts of the scratch memory, in floats.
struct RowParts {
  float* keys;     ///< [d_head][kPiece] the piece's keys, one column each
  float* queries;  ///< [kStripRows][d_head]
  float* scores;   ///< [kStripRows][kPiece]
  int64_t size;

  RowParts(float* scratch, int d_head)
      : keys(scratch),
        queries(keys + round_up(d_head, 16) * kPiece),
        scores(queries + kStripRows * round_up(d_head, 16)),
        size(round_up(d_head, 16) * (kPiece + kStripRows) + kStripRows * kPiece) {}
};

int64_t row_scratch(int d_head) {
  float none = 0;
  return RowParts(&none, d_head).size;
}

/// Calls act(row, scores, n) for each row in order; n of the piece's keys are seen by it. Every score is one chain of
/// fma, so what it is computed beside does not matter.
template <class Act>
REATTEND_INLINE void each_row(const RowTile& tile, Act act) {
  const RowParts parts(tile.scratch, tile.d_head);
  const int end = tile.first + tile.n_token, n_key = static_cast<int>(least(kPiece, end - tile.begin));
  const int n_column = static_cast<int>(round_up(n_key, kPanelKeys));
  const auto unpack = tile.type == KvType::f16 ? unpack_keys<HalfElement> : unpack_keys<FloatElement>;
  unpack(tile.keys, n_key, n_column, tile.d_head, parts.keys);
  const int64_t n_row = int64_t{tile.n_token} * tile.group;
  const auto seen_by = [&](int64_t row) {
    return static_cast<int>(least(tile.first + row / tile.group + 1 - tile.begin, kPiece));
  };
  for (int64_t first = 0; first < n_row; first += kStripRows) {
    const int n = static_cast<int>(least(kStripRows, n_row - first));
    const int n_padded = static_cast<int>(round_up(n, kGemmRows)), seen = seen_by(first + n - 1);
    for (int r = 0; r < n_padded; ++r) {
      const int64_t row = first + r;
      const float* const q = tile.q + row / tile.group * tile.token_stride + row % tile.group * tile.d_head;
      for (int c = 0; c < tile.d_head; ++c) parts.queries[r * tile.d_head + c] = r < n ? q[c] * tile.scale : 0.0F;
    }
    for (int key = 0; key < seen; key += kPanelKeys) {
      for (int r = 0; r < n_padded; r += kGemmRows) {
        multiply_columns(parts.queries + r * tile.d_head, tile.d_head, parts.keys + key, kPiece, tile.d_head,
                         parts.scores + r * kPiece + key, kPiece, kPanelKeys / 16, false);
      }
    }
    for (int r = 0; r < n; ++r) act(first + r, parts.scores + r * kPiece, seen_by(first + r));
  }
}

void row_states(const RowTile& tile) {
  each_row(tile, [&](int64_t row, float* scores, int n) { weigh(scores, n, tile.m + row, tile.d + row); });
}

void merge_row_states(float* m, float* d, int64_t n_piece, int64_t stride) {
  for (int64_t row = 0; row < stride; row += 16) {
    Vec top = load(m + row), total = zero();
    for (int64_t i = 1; i < n_piece; ++i) top = max(top, load(m + i * stride + row));
    for (int64_t i = 0; i < n_piece; ++i) {
      const int64_t at = i * stride + row;
      total = fma(load(d + at), exp(sub(load(m + at), top)), total);
    }
    store(m + row, top), store(d + row, div(set(1.0F), total));
  }
}

void add_rows(const RowTile& tile) {
  each_row(tile, [&](int64_t row, const float* scores, int n) {
    const Vec top = set(tile.m[row]), share = set(tile.d[row]);
    float* const sums = tile.sums + row % tile.group * tile.sum_stride;
    for_vectors(
        n, [&](int64_t i) { store(sums + i, fma(exp(sub(load(scores + i), top)), share, load(sums + i))); },
        [&](int64_t i, int k) {
          store_part(sums + i, fma(exp(sub(load_part(scores + i, k), top)), share, load_part(sums + i, k)), k);
        });
  });
}

}  // namespace
}  // namespace reattend::cpu::REATTEND_TARGET
