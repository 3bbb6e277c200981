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

/// What the products are made of: units of 32 bits, here a float each (kPair = 1). BFloatPairs (simd/bf16_pairs.h) has
/// the same members with two neighbours of a sum in a unit.
struct FloatUnits {
  static constexpr int kPair = 1;
  static REATTEND_INLINE Vec multiply_add(const Vec& a, const Vec& b, const Vec& sum) { return fma(a, b, sum); }
  /// 16 kPair numbers that follow each other.
  static REATTEND_INLINE Vec in_order(const Vec (&x)[1]) { return x[0]; }
  /// Lane i: number i of each of kPair vectors.
  static REATTEND_INLINE Vec side_by_side(const Vec (&x)[1]) { return x[0]; }
  /// e^(x - top)
  static REATTEND_INLINE Vec weight(const Vec& x, float top) { return exp(sub(x, set(top))); }
  /// total + the numbers in the units
  static REATTEND_INLINE Vec add_to(const Vec& total, const Vec& units) { return add(total, units); }
};

/// Parts of the scratch memory, in floats or units.
struct PromptParts {
  float* keys;     ///< [d_head / kPair][kPiece] the piece's keys, one column each
  float* values;   ///< [kPiece / kPair][width]
  float* queries;  ///< [rows][depth]
  float* weights;  ///< [kStripRows][kPiece] scores; then units, which take the first kPiece / kPair
  float* o;        ///< [rows][width]
  float* m;        ///< [rows]
  float* d;        ///< [rows]
  int64_t rows, width, size;
  int64_t n_unit, depth;  ///< units of a key, and what a query has room for

  PromptParts(float* scratch, int n_row, int d_head, int pair) {
    rows = round_up(n_row, kGemmRows);
    width = round_up(d_head, 16);
    n_unit = (d_head + pair - 1) / pair, depth = round_up(n_unit, 16);
    int64_t at = 0;
    const auto take = [&](int64_t n) {
      float* const part = scratch + at;
      at += round_up(n, 16);
      return part;
    };
    keys = take(depth * kPiece), values = take(kPiece / pair * width), queries = take(rows * depth);
    weights = take(kStripRows * kPiece), o = take(rows * width), m = take(rows), d = take(rows);
    size = at;
  }
};

template <class Units>
int64_t prompt_scratch(int n_row, int d_head) {
  float none = 0;
  return PromptParts(&none, n_row, d_head, Units::kPair).size;
}

/// c [kGemmRows][16 kVecs] (+)= a [kGemmRows][n] b [n][16 kVecs], every element one chain over n units in order.
template <class Units, int kVecs>
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
      for (int v = 0; v < kVecs; ++v) acc[r][v] = Units::multiply_add(w, x[v], acc[r][v]);
    }
  }
  REATTEND_UNROLL
  for (int r = 0; r < kGemmRows; ++r) {
    REATTEND_UNROLL
    for (int v = 0; v < kVecs; ++v) store(c + r * c_stride + 16 * v, acc[r][v]);
  }
}

/// The same for any number of vectors.
template <class Units>
void multiply_columns(const float* a, int64_t a_stride, const float* b, int64_t b_stride, int64_t n, float* c,
                      int64_t c_stride, int64_t n_vec, bool accumulate) {
  int64_t v = 0;
  for (; v + kGemmVecs <= n_vec; v += kGemmVecs) {
    multiply<Units, kGemmVecs>(a, a_stride, b + 16 * v, b_stride, n, c + 16 * v, c_stride, accumulate);
  }
  for (; v < n_vec; ++v) multiply<Units, 1>(a, a_stride, b + 16 * v, b_stride, n, c + 16 * v, c_stride, accumulate);
}

/// 16 columns of a row of a block from `column` on, or as many as the row has; zeros from row n on, so that whatever
/// lies in the cache there cannot reach a sum (0 times infinity).
template <class Row>
REATTEND_INLINE Vec columns_of(const void* block, int row, int n, int column, int d_head) {
  if (row >= n || column >= d_head) return zero();
  const std::byte* const at = static_cast<const std::byte*>(block) + row * row_bytes(Row::kType, d_head);
  return d_head - column >= 16 ? Row::get(at, d_head, column) : Row::get_part(at, d_head, column, d_head - column);
}

/// Keys [n] of a block -> the columns [0, n) of out [d_head / kPair][kPiece], zeros up to n_key.
template <class Units, class Row>
void unpack_keys(const void* block, int n, int n_key, int d_head, float* out) {
  for (int row = 0; row < n_key; row += 16) {
    for (int column = 0; column < d_head; column += 16 * Units::kPair) {
      Vec square[16];
      for (int i = 0; i < 16; ++i) {
        Vec x[Units::kPair];
        for (int k = 0; k < Units::kPair; ++k) x[k] = columns_of<Row>(block, row + i, n, column + 16 * k, d_head);
        square[i] = Units::in_order(x);
      }
      transpose(square);
      const int64_t unit = column / Units::kPair;
      for (int i = 0; i < 16; ++i) store(out + (unit + i) * kPiece + row, square[i]);
    }
  }
}

/// Values [n] of a block -> out [n_key / kPair][width], rows of whole vectors.
template <class Units, class Row>
void unpack_values(const void* block, int n, int n_key, int d_head, int64_t width, float* out) {
  for (int row = 0; row < n_key; row += Units::kPair) {
    for (int column = 0; column < d_head; column += 16) {
      Vec x[Units::kPair];
      for (int k = 0; k < Units::kPair; ++k) x[k] = columns_of<Row>(block, row + k, n, column, d_head);
      store(out + row / Units::kPair * width + column, Units::side_by_side(x));
    }
  }
}

/// A query times the scale -> units, out [depth].
template <class Units>
void unpack_query(const float* q, float scale, int d_head, float* out) {
  for (int column = 0; column < d_head; column += 16 * Units::kPair) {
    Vec x[Units::kPair];
    for (int k = 0; k < Units::kPair; ++k) {
      const int at = column + 16 * k, left = d_head - at;
      x[k] = left >= 16 ? load(q + at) : left > 0 ? load_part(q + at, left) : zero();
      x[k] = mul(x[k], set(scale));
    }
    store(out + column / Units::kPair, Units::in_order(x));
  }
}

/// How many of a piece's first n_key keys lie before the window of query row r.
REATTEND_INLINE int keys_before_window(const PromptTile& tile, int piece, int64_t r, int n_key) {
  if (tile.window <= 0) return 0;
  const int64_t n = tile.first + r / tile.group + 1 - piece * kPiece - tile.window;
  return n > 0 ? static_cast<int>(least(n, n_key)) : 0;
}

/// Scores [first, n) of one row -> units of weights relative to the running maximum `top`, zeros from key `begin`,
/// which is the panel's of `first` or an earlier one's, up to n_key. Returns their sum.
template <class Units>
REATTEND_INLINE float weigh_row(float* row, int begin, int first, int n, int n_key, float top) {
  for (int i = begin; i < first; ++i) row[i] = -__builtin_inff();
  for (int i = n; i < n_key; ++i) row[i] = -__builtin_inff();
  Vec total = zero();
  for (int i = begin; i < n_key; i += 16 * Units::kPair) {
    Vec x[Units::kPair];
    for (int k = 0; k < Units::kPair; ++k) x[k] = Units::weight(load(row + i + 16 * k), top);
    const Vec units = Units::in_order(x);
    store(row + i / Units::kPair, units);
    total = Units::add_to(total, units);
  }
  return sum(total);
}

/// Scores of the rows [first, end) for the keys [begin, n_key) -> units of weights; the rows' states so far are scaled
/// to the new maxima. Step by step over all rows: what one step waits for, it does not wait for row by row.
template <class Units>
void weigh_strip(const PromptTile& tile, const PromptParts& parts, int piece, int begin, int n_key, int64_t first,
                 int64_t end) {
  const auto scores = [&](int64_t r) { return parts.weights + (r - first) * kPiece; };
  const auto seen = [&](int64_t r) {
    return static_cast<int>(least(tile.first + r / tile.group + 1 - piece * kPiece, n_key));
  };
  const auto hidden = [&](int64_t r) { return keys_before_window(tile, piece, r, seen(r)); };
  float shrink[kStripRows + 16] = {};
  for (int64_t r = first; r < end; ++r) {
    const int from = hidden(r), n = seen(r);
    if (from == n) continue;
    if (tile.scale.cap > 0) cap_scores(scores(r) + from, n - from, tile.scale.cap);
    const float here = highest(scores(r) + from, n - from), before = parts.m[r];
    parts.m[r] = before > here ? before : here;
    shrink[r - first] = before - parts.m[r];
  }
  for (int64_t i = 0; i < end - first; i += 16) store(shrink + i, exp(load(shrink + i)));
  for (int64_t r = first; r < end; ++r) {
    const float by = shrink[r - first];
    const float top =
        parts.m[r] > -__builtin_inff() ? parts.m[r] : 0;  // a row that has seen nothing yet weighs nothing
    parts.d[r] = parts.d[r] * by + weigh_row<Units>(scores(r), begin, hidden(r), seen(r), n_key, top);
    float* const o = parts.o + r * parts.width;
    if (by == 1.0F) continue;
    for (int64_t c = 0; c < parts.width; c += 16) store(o + c, mul(load(o + c), set(by)));
  }
}

/// One piece for a strip of at most kStripRows rows from `first` on.
template <class Units>
void prompt_strip(const PromptTile& tile, const PromptParts& parts, int piece, int n_key, int64_t first) {
  const int64_t n_row = tile.n_token * tile.group;
  const int64_t end = least(round_up(n_row, kGemmRows), first + kStripRows);
  const int begin = keys_before_window(tile, piece, first, n_key) / kPanelKeys * kPanelKeys;  // no row sees those
  for (int key = begin; key < n_key; key += kPanelKeys) {
    for (int64_t r = first; r < end; r += kGemmRows) {
      multiply_columns<Units>(parts.queries + r * parts.depth, parts.depth, parts.keys + key, kPiece, parts.n_unit,
                              parts.weights + (r - first) * kPiece + key, kPiece, kPanelKeys / 16, false);
    }
  }
  weigh_strip<Units>(tile, parts, piece, begin, n_key, first, least(end, n_row));
  for (int key = begin; key < n_key; key += kPanelKeys) {
    const int unit = key / Units::kPair;
    for (int64_t r = first; r < end; r += kGemmRows) {
      multiply_columns<Units>(parts.weights + (r - first) * kPiece + unit, kPiece, parts.values + unit * parts.width,
                              parts.width, kPanelKeys / Units::kPair, parts.o + r * parts.width, parts.width,
                              parts.width / 16, true);
    }
  }
}

template <class Units>
void prompt(const PromptTile& tile) {
  const int n_row = tile.n_token * tile.group, d_head = tile.d_head;
  const PromptParts parts(tile.scratch, n_row, d_head, Units::kPair);
  const auto row_at = [&](int64_t r) { return r / tile.group * tile.token_stride + r % tile.group * d_head; };
  for (int64_t r = 0; r < parts.rows; ++r) {
    parts.m[r] = -__builtin_inff(), parts.d[r] = 0;
    float* const query = parts.queries + r * parts.depth;
    if (r < n_row) {
      unpack_query<Units>(tile.q + row_at(r), tile.scale.by, d_head, query);
    } else {
      for (int64_t c = 0; c < parts.depth; ++c) query[c] = 0;
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
      unpack_keys<Units, Row>(tile.keys[piece], n, n_key, d_head, parts.keys);
      unpack_values<Units, Row>(tile.values[piece], n, n_key, d_head, parts.width, parts.values);
    });
    for (int64_t r = 0; r < n_row; r += kStripRows) prompt_strip<Units>(tile, parts, piece, n_key, r);
  }
  for (int64_t r = 0; r < n_row; ++r) {
    const float one_over = 1.0F / parts.d[r];
    for (int c = 0; c < d_head; ++c) tile.out[row_at(r) + c] = parts.o[r * parts.width + c] * one_over;
  }
}

template <class Units>
constexpr PromptKernel kPrompt = {.scratch = prompt_scratch<Units>, .run = prompt<Units>};

}  // namespace
}  // namespace reattend::cpu::REATTEND_TARGET
