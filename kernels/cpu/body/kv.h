// Rows of a cache in each of its types: sixteen columns as floats, and rounded when stored. Included once per target.
namespace reattend::cpu::REATTEND_TARGET {
namespace {

constexpr int kLine = 64;

/// What is read soon is fetched whole.
REATTEND_INLINE void prefetch_bytes(const std::byte* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += kLine) prefetch(from + at);
}

/// A row of elements. Columns are counted from c, a multiple of 16.
template <KvType type, class Element>
struct PlainRow {
  static constexpr KvType kType = type;
  using Raw = typename Element::Raw;
  static REATTEND_INLINE const Raw* at(const void* row, int c) { return static_cast<const Raw*>(row) + c; }
  static REATTEND_INLINE Vec get(const void* row, int, int c) { return Element::get(at(row, c)); }
  static REATTEND_INLINE Vec get_part(const void* row, int, int c, int n) { return Element::get_part(at(row, c), n); }
  /// Of row i the columns [c, c + n).
  static REATTEND_INLINE void fetch(const void* const* rows, int i, int, int c, int n) {
    prefetch_bytes(reinterpret_cast<const std::byte*>(at(rows[i], c)), n * static_cast<int64_t>(sizeof(Raw)));
  }
};

/// int8 and, behind all of them, the f16 scales of 32 columns each. The products are exact: every result is the same
/// bits as from a row of floats that holds them.
struct ScaledRow {
  static constexpr KvType kType = KvType::q8;
  static REATTEND_INLINE const std::byte* at(const void* row, int c) { return static_cast<const std::byte*>(row) + c; }
  static REATTEND_INLINE const std::byte* scale_at(const void* row, int d_head, int c) {
    return at(row, d_head) + c / kKvScaleCols * 2;
  }
  static REATTEND_INLINE Vec get(const void* row, int d_head, int c) {
    return mul(load_int8(at(row, c)), set_half(scale_at(row, d_head, c)));
  }
  static REATTEND_INLINE Vec get_part(const void* row, int d_head, int c, int n) {
    return mul(load_int8_part(at(row, c), n), set_half(scale_at(row, d_head, c)));
  }
  static REATTEND_INLINE void fetch(const void* const* rows, int i, int d_head, int c, int n) {
    prefetch_bytes(at(rows[i], c), n);
    prefetch(scale_at(rows[i], d_head, c));
  }
};

using FloatRow = PlainRow<KvType::f32, FloatElement>;
using HalfRow = PlainRow<KvType::f16, HalfElement>;
using BFloatRow = PlainRow<KvType::bf16, BFloatElement>;

/// Rows of floats that have just been written.
struct UnpackedRow : FloatRow {
  static REATTEND_INLINE void fetch(const void* const*, int, int, int, int) {}
};

/// Some rows as floats, for where several passes over a group's heads would unpack each of them again (AVX2, group 3:
/// 22 ns a position of q8, 15 of f16).
class UnpackedRows {
 public:
  static constexpr int kRows = 16, kMostCols = 256;
  static bool fit(int d_head) { return d_head <= kMostCols; }
  explicit UnpackedRows(int d_head) : d_head_(d_head) {
    for (int i = 0; i < kRows; ++i) rows_[i] = floats_ + i * kMostCols;
  }
  /// Rows [n] of at most kRows; those kRowsAhead of them are fetched.
  template <class Row>
  REATTEND_INLINE const void* const* fill(const void* const* rows, int n) {
    for (int i = 0; i < n; ++i) {
      Row::fetch(rows, i + kRowsAhead, d_head_, 0, d_head_);
      float* const out = floats_ + i * kMostCols;
      for_vectors(
          d_head_, [&](int64_t c) { store(out + c, Row::get(rows[i], d_head_, static_cast<int>(c))); },
          [&](int64_t c, int k) { store(out + c, Row::get_part(rows[i], d_head_, static_cast<int>(c), k)); });
    }
    return rows_;
  }

 private:
  int d_head_;
  alignas(64) float floats_[kRows * kMostCols];
  const void* rows_[kRows];
};

/// body<Row>() of the type.
template <class Body>
REATTEND_INLINE auto with_row(KvType type, Body body) {
  switch (type) {
    case KvType::f32:
      return body.template operator()<FloatRow>();
    case KvType::f16:
      return body.template operator()<HalfRow>();
    case KvType::bf16:
      return body.template operator()<BFloatRow>();
    case KvType::q8:
      break;
  }
  return body.template operator()<ScaledRow>();
}

template <auto kStore>
void store_16_bit(const float* x, int n, void* row) {
  auto* const out = static_cast<uint16_t*>(row);
  for_vectors(
      n, [&](int64_t i) { kStore(out + i, load(x + i)); },
      [&](int64_t i, int k) {
        uint16_t whole[16];
        kStore(whole, load_part(x + i, k));
        for (int j = 0; j < k; ++j) out[i + j] = whole[j];
      });
}

/// The scale is rounded first and the int8 made with what it then is, so the scale's rounding costs nothing.
void store_scaled(const float* x, int n, void* row) {
  auto* const quants = static_cast<int8_t*>(row);
  auto* scale_at = static_cast<std::byte*>(row) + n;
  for (int c = 0; c < n; c += kKvScaleCols, scale_at += 2) {
    const int count = static_cast<int>(least(kKvScaleCols, n - c));
    float block[kKvScaleCols] = {};
    for (int i = 0; i < count; ++i) block[i] = x[c + i];
    const Vec low = load(block), high = load(block + 16);
    uint16_t halves[16];
    store_half(halves, set(max_lane(max(abs(low), abs(high))) / 127.0F));
    std::memcpy(scale_at, halves, 2);
    float scale[16];
    store(scale, load_half(halves));
    const Vec inverse = set(scale[0] > 0 ? 1.0F / scale[0] : 0.0F);
    const auto within = [&](const Vec& v) { return min(max(mul(v, inverse), set(-127.0F)), set(127.0F)); };
    int8_t rounded[kKvScaleCols];
    store_int8(rounded, within(low));
    store_int8(rounded + 16, within(high));
    for (int i = 0; i < count; ++i) quants[c + i] = rounded[i];
  }
}

void store_row(const float* x, int n, KvType type, void* row) {
  switch (type) {
    case KvType::f32:
      std::memcpy(row, x, static_cast<size_t>(n) * sizeof(float));
      return;
    case KvType::f16:
      return store_16_bit<store_half>(x, n, row);
    case KvType::bf16:
      return store_16_bit<store_bf16>(x, n, row);
    case KvType::q8:
      return store_scaled(x, n, row);
  }
}

void load_row(const void* row, int n, KvType type, float* out) {
  with_row(type, [&]<class Row>() {
    for_vectors(
        n, [&](int64_t c) { store(out + c, Row::get(row, n, static_cast<int>(c))); },
        [&](int64_t c, int k) { store_part(out + c, Row::get_part(row, n, static_cast<int>(c), k), k); });
  });
}

}  // namespace
}  // namespace reattend::cpu::REATTEND_TARGET
