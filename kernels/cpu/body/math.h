// Vector exp and the loops over whole vectors with a tail. Included once per target.
namespace reattend::cpu::REATTEND_TARGET {
namespace {

// Loops over accumulators, which must end up in registers.
#if defined(REATTEND_NO_UNROLL)
#define REATTEND_UNROLL
#elif defined(__clang__)
#define REATTEND_UNROLL _Pragma("unroll")
#else
#define REATTEND_UNROLL _Pragma("GCC unroll 16")
#endif

/// Of a lambda whose body works on its caller's accumulators: called, it would find them in memory.
#define REATTEND_INLINED __attribute__((always_inline))

REATTEND_INLINE int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

REATTEND_INLINE float sum(const Vec& x) {
  float out[4];
  sum4(x, x, x, x, out);
  return out[0];
}

/// e^x within 2 units in the last place; 0 below -87.3 (where it would be subnormal), as for -infinity. x <= 88.
REATTEND_INLINE Vec exp(const Vec& x) {
  const Vec n = round(mul(x, set(1.44269504F)));
  // ln 2 in two parts, of which the first has 9 bits: n times it is exact.
  const Vec r = fma(n, set(2.12194440e-4F), fma(n, set(-0.693359375F), x));
  // 1 + r + r^2 p(r); p is the minimax polynomial of degree 4, relative error 3.1e-9 for |r| <= ln 2 / 2.
  Vec p = fma(set(0.001381453825F), r, set(0.008368745446F));
  p = fma(p, r, set(0.04166838899F));
  p = fma(p, r, set(0.1666652113F));
  p = fma(p, r, set(0.4999999404F));
  p = fma(mul(p, r), r, r);
  return where_at_least(x, -87.3F, scale_by_power(add(p, set(1.0F)), max(n, set(-126.0F))));
}

/// Calls whole(i) for every full vector of [0, n) and part(i, count) for the rest.
template <class Whole, class Part>
REATTEND_INLINE void for_vectors(int64_t n, Whole whole, Part part) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) whole(i);
  if (i < n) part(i, static_cast<int>(n - i));
}

/// Elements of a cache's rows, or of weights.
struct FloatElement {
  using Raw = float;
  static REATTEND_INLINE Vec get(const Raw* p) { return load(p); }
  static REATTEND_INLINE Vec get_part(const Raw* p, int n) { return load_part(p, n); }
};
struct HalfElement {
  using Raw = uint16_t;
  static REATTEND_INLINE Vec get(const Raw* p) { return load_half(p); }
  static REATTEND_INLINE Vec get_part(const Raw* p, int n) { return load_half_part(p, n); }
};
struct BFloatElement {
  using Raw = uint16_t;
  static REATTEND_INLINE Vec get(const Raw* p) { return load_bf16(p); }
  static REATTEND_INLINE Vec get_part(const Raw* p, int n) { return load_bf16_part(p, n); }
};

}  // namespace
}  // namespace reattend::cpu::REATTEND_TARGET
