// Rows of prompt attention and their sums: a tile of queries against one piece of keys. Included once per target.
namespace reattend::cpu::REATTEND_TARGET {
namespace {

static_assert(kRowPad % kGemmRows == 0 && kRowPad % 16 == 0);

/// How many of the piece's keys a row sees.
REATTEND_INLINE int seen_keys(const RowTile& tile, int64_t row) {
  return static_cast<int>(least(tile.first + row / tile.group + 1 - tile.begin, kPiece));
}

int64_t row_scratch(int d_head) {
  return round_up(d_head, 16) * (kPiece + kStripRows);
}

/// Every score is one chain of fma, so what it is computed beside does not matter.
void row_states(const RowTile& tile) {
  const int d_head = tile.d_head, end = tile.first + tile.n_token;
  float* const keys = tile.scratch;                             // [d_head][kPiece], one column each
  float* const queries = keys + round_up(d_head, 16) * kPiece;  // [kStripRows][d_head]
  const int n_key = static_cast<int>(least(kPiece, end - tile.begin));
  with_row(tile.type, [&]<class Row>() {
    unpack_keys<FloatUnits, Row>(tile.keys, n_key, static_cast<int>(round_up(n_key, kPanelKeys)), d_head, keys);
  });
  const int64_t n_row = int64_t{tile.n_token} * tile.group;
  for (int64_t first = 0; first < n_row; first += kStripRows) {
    const int n = static_cast<int>(least(kStripRows, n_row - first));
    const int n_padded = static_cast<int>(round_up(n, kGemmRows));
    for (int r = 0; r < n_padded; ++r) {
      const int64_t row = first + r;
      const float* const q = tile.q + row / tile.group * tile.token_stride + row % tile.group * d_head;
      for (int c = 0; c < d_head; ++c) queries[r * d_head + c] = r < n ? q[c] * tile.scale.by : 0.0F;
    }
    for (int key = 0; key < seen_keys(tile, first + n - 1); key += kPanelKeys) {
      for (int r = 0; r < n_padded; r += kGemmRows) {
        multiply_columns<FloatUnits>(queries + r * d_head, d_head, keys + key, kPiece, d_head,
                                     tile.weights + (first + r) * kPiece + key, kPiece, kPanelKeys / 16, false);
      }
    }
    for (int64_t row = first; row < first + n; ++row) {
      const int n_seen = seen_keys(tile, row);
      if (tile.scale.cap > 0) cap_scores(tile.weights + row * kPiece, n_seen, tile.scale.cap);
      weigh(tile.weights + row * kPiece, n_seen, tile.m + row, tile.d + row);
    }
  }
}

void merge_row_states(const float* m, float* d, int64_t n_piece, int64_t stride) {
  for (int64_t row = 0; row < stride; row += 16) {
    Vec top = load(m + row), total = zero();
    for (int64_t at = row; at < n_piece * stride; at += stride) top = max(top, load(m + at));
    for (int64_t at = row; at < n_piece * stride; at += stride) {
      total = fma(load(d + at), exp(sub(load(m + at), top)), total);
    }
    for (int64_t at = row; at < n_piece * stride; at += stride) store(d + at, div(exp(sub(load(m + at), top)), total));
  }
}

void add_rows(const RowTile& tile) {
  for (int64_t row = 0; row < int64_t{tile.n_token} * tile.group; ++row) {
    const Vec share = set(tile.d[row]);
    const float* const weights = tile.weights + row * kPiece;
    float* const sums = tile.sums + row % tile.group * tile.sum_stride;
    for_vectors(
        seen_keys(tile, row), [&](int64_t i) { store(sums + i, fma(load(weights + i), share, load(sums + i))); },
        [&](int64_t i, int k) {
          store_part(sums + i, fma(load_part(weights + i, k), share, load_part(sums + i, k)), k);
        });
  }
}

}  // namespace
}  // namespace reattend::cpu::REATTEND_TARGET
