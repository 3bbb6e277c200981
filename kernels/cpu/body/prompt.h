// Prompt attention: tiles of queries against pieces of keys as small matrix products. Included once per target.
namespace reattend::cpu::REATTEND_TARGET {
namespace {

/// Rows of queries whose weights over a piece are held at once: with a panel of keys they fit the first-level cache.
constexpr int kStripRows = 8 * kGemmRows;
/// Keys of one panel of the first product, and of one step of the second.
constexpr int kPanelKeys = 64;
static_assert(kPanelKeys % (16 * kGemmVecs) == 0 && kPiece % kPanelKeys == 0);

constexpr int64_t round_up(int64_t n, int64_t to) {
  return (n + to - 1) / to * to;
}

/// Parts of the scratch memory, in floats.
struct PromptParts {
  float* keys;     ///< [d_head][kPiece] the piece's keys, one column each
  float* values;   ///< [kPiece][width]
  float* queries;  ///< [rows][d_head]
  float* weights;  ///< [kStripRows][kPiece]
  float* o;        ///< [rows][width]
  float* m;        ///< [rows]
  float* d;        ///< [rows]
  int64_t rows, width, size;

  PromptParts(float* scratch, int n_row, int d_head) {
    rows = round_up(n_row, kGemmRows);
    width = round_up(d_head, 16);
    int64_t at = 0;
    const auto take = [&](int64_t n) {
      float* const part = scratch + at;
      at += round_up(n, 16);
      return part;
    };
    keys = take(round_up(d_head, 16) * kPiece), values = take(kPiece * width), queries = take(rows * d_head);
    weights = take(kStripRows * kPiece), o = take(rows * width), m = take(rows), d = take(rows);
    size = at;
  }
};

int64_t prompt_scratch(int n_row, int d_head) {
  float none = 0;
  return PromptParts(&none, n_row, d_head).size;
}

/// c [kGemmRows][16 kVecs] (+)= a [kGemmRows][n] b [n][16 kVecs], every element one chain of fma over n in order.
template <int kVecs>
REATTEND_INLINE void multiply(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t n, float* c,
                              int64_t c_stride, bool accumulate) {
  Vec acc[kGemmRows][kVecs];
  REATTEND_UNROLL
  for (int r = 0; r < kGemmRows; ++r) {
    REATTEND_UNROLL
    for (int v = 0; v < kVecs; ++v) acc[r][v] = accumulate ? load(c + r * c_stride + 16 * v) : zero();
  }
  for (int64_t i = 0; i < n; ++i, ++a, b += b_stride) {
    Vec x[kVecs];
    REATTEND_UNROLL
    for (int v = 0; v < kVecs; ++v) x[v] = load(b + 16 * v);
    REATTEND_UNROLL
    for (int r = 0; r < kGemmRows; ++r) {
      const Vec w = set(a[r * a_stride]);
      REATTEND_UNROLL
      for (int v = 0; v < kVecs; ++v) acc[r][v] = fma(w, x[v], acc[r][v]);
    }
  }
  REATTEND_UNROLL
  for (int r = 0; r < kGemmRows; ++r) {
    REATTEND_UNROLL
    for (int v = 0; v < kVecs; ++v) store(c + r * c_stride + 16 * v, acc[r][v]);
  }
}

/// The same for any number of vectors.
void multiply_columns(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t n, float* c,
                      int64_t c_stride, int64_t n_vec, bool accumulate) {
  int64_t v = 0;
  for (; v + kGemmVecs <= n_vec; v += kGemmVecs) {
    multiply<kGemmVecs>(a, a_stride, b + 16 * v, b_stride, n, c + 16 * v, c_stride, accumulate);
  }
  for (; v < n_vec; ++v) multiply<1>(a, a_stride, b + 16 * v, b_stride, n, c + 16 * v, c_stride, accumulate);
}

/// 16 columns of a row of a block from `column` on, or as many as the row has; zeros from row n on, so that whatever
/// lies in the cache there cannot reach a sum (0 times infinity).
template <class Row>
REATTEND_INLINE Vec columns_of(const void* block, int row, int n, int column, int d_head) {
  if (row >= n) return zero();
  const std::byte* const at = static_cast<const std::byte*>(block) + row * row_bytes(Row::kType, d_head);
  return d_head - column >= 16 ? Row::get(at, d_head, column) : Row::get_part(at, d_head, column, d_head - column);
}

/// Keys [n] of a block -> the columns [0, n) of out [d_head][kPiece], zeros up to n_key.
template <class Row>
void unpack_keys(const void* block, int n, int n_key, int d_head, float* out) {
  for (int row = 0; row < n_key; row += 16) {
    for (int column = 0; column < d_head; column += 16) {
      Vec square[16];
      for (int i = 0; i < 16; ++i) square[i] = columns_of<Row>(block, row + i, n, column, d_head);
      transpose(square);
      for (int i = 0; i < 16; ++i) store(out + static_cast<int64_t>(column + i) * kPiece + row, square[i]);
    }
  }
}

/// Values [n] of a block -> out [n_key][width], rows of whole vectors.
template <class Row>
void unpack_values(const void* block, int n, int n_key, int d_head, int64_t width, float* out) {
  for (int row = 0; row < n_key; ++row) {
    for (int column = 0; column < d_head; column += 16) {
      store(out + row * width + column, columns_of<Row>(block, row, n, column, d_head));
    }
  }
}

/// Scores [first, n) of one row -> weights relative to the running maximum, zeros before them and up to n_key; the
/// row's state so far is scaled to that maximum.
void weigh_row(float* row, int first, int n, int n_key, float* m, float* d, float* o, int64_t width) {
  if (first >= n) {  // a piece before its window
    for (int i = 0; i < n_key; ++i) row[i] = 0;
    return;
  }
  float top = highest(row + first, n - first);
  if (*m > top) top = *m;
  float shrink[16];
  store(shrink, exp(set(*m - top)));
  if (shrink[0] != 1.0F) {
    for (int64_t c = 0; c < width; c += 16) store(o + c, mul(load(o + c), set(shrink[0])));
  }
  for (int i = 0; i < first; ++i) row[i] = -__builtin_inff();
  for (int i = n; i < n_key; ++i) row[i] = -__builtin_inff();
  Vec total = zero();
  for (int i = 0; i < n_key; i += 16) {
    const Vec e = exp(sub(load(row + i), set(top)));
    store(row + i, e);
    total = add(total, e);
  }
  *d = *d * shrink[0] + sum(total);
  *m = top;
}

/// One piece for a strip of at most kStripRows rows from `first` on.
void prompt_strip(const PromptTile& tile, const PromptParts& parts, int piece, int n_key, int64_t first) {
  const int64_t n_row = tile.n_token * tile.group;
  const int64_t end = least(round_up(n_row, kGemmRows), first + kStripRows);
  for (int key = 0; key < n_key; key += kPanelKeys) {
    for (int64_t r = first; r < end; r += kGemmRows) {
      multiply_columns(parts.queries + r * tile.d_head, tile.d_head, parts.keys + key, kPiece, tile.d_head,
                       parts.weights + (r - first) * kPiece + key, kPiece, kPanelKeys / 16, false);
    }
  }
  for (int64_t r = first; r < least(end, n_row); ++r) {
    const int seen = tile.first + static_cast<int>(r / tile.group) + 1 - piece * kPiece;
    const int hidden = tile.window > 0 && seen > tile.window ? seen - tile.window : 0;
    float* const row = parts.weights + (r - first) * kPiece;
    if (tile.scale.cap > 0) cap_scores(row, least(seen, n_key), tile.scale.cap);
    weigh_row(row, hidden, static_cast<int>(least(seen, n_key)), n_key, parts.m + r, parts.d + r,
              parts.o + r * parts.width, parts.width);
  }
  for (int key = 0; key < n_key; key += kPanelKeys) {
    for (int64_t r = first; r < end; r += kGemmRows) {
      multiply_columns(parts.weights + (r - first) * kPiece + key, kPiece, parts.values + key * parts.width,
                       parts.width, kPanelKeys, parts.o + r * parts.width, parts.width, parts.width / 16, true);
    }
  }
}

void prompt(const PromptTile& tile) {
  const int n_row = tile.n_token * tile.group, d_head = tile.d_head;
  const PromptParts parts(tile.scratch, n_row, d_head);
  const auto row_at = [&](int64_t r) { return r / tile.group * tile.token_stride + r % tile.group * d_head; };
  for (int64_t r = 0; r < parts.rows; ++r) {
    parts.m[r] = -__builtin_inff(), parts.d[r] = 0;
    for (int c = 0; c < d_head; ++c) {
      parts.queries[r * d_head + c] = r < n_row ? tile.q[row_at(r) + c] * tile.scale.by : 0.0F;
    }
  }
  for (int64_t i = 0; i < parts.rows * parts.width; ++i) parts.o[i] = 0;
  for (int i = 0; i < kStripRows * kPiece; ++i) parts.weights[i] = 0;
  const int end = tile.first + tile.n_token;
  const int hidden = tile.window > 0 ? tile.first + 1 - tile.window : 0;  // positions that no query sees
  for (int piece = hidden > 0 ? hidden / kPiece : 0; piece * kPiece < end; ++piece) {
    const int begin = piece * kPiece;
    const int n_key = static_cast<int>(least(kPiece, round_up(tile.aligned_end - begin, kPanelKeys)));
    const int n = static_cast<int>(least(kPiece, end - begin));
    with_row(tile.type, [&]<class Row>() {
      unpack_keys<Row>(tile.keys[piece], n, n_key, d_head, parts.keys);
      unpack_values<Row>(tile.values[piece], n, n_key, d_head, parts.width, parts.values);
    });
    for (int64_t r = 0; r < n_row; r += kStripRows) prompt_strip(tile, parts, piece, n_key, r);
  }
  for (int64_t r = 0; r < n_row; ++r) {
    const float one_over = 1.0F / parts.d[r];
    for (int c = 0; c < d_head; ++c) tile.out[row_at(r) + c] = parts.o[r * parts.width + c] * one_over;
  }
}

}  // namespace
}  // namespace reattend::cpu::REATTEND_TARGET
