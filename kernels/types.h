// The number types that caches and products are given: how a cache holds keys and values, what weights meet.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace reattend {

/// How a cache holds keys and values. A row is the vector of one position, d_head elements one behind the other; of q8,
/// d_head int8 and behind them an f16 scale for each 32 of them or what is left: value = scale * int8, which is exact
/// in float. A row is rounded when it is stored and by itself, so no bit of it depends on its neighbours, and what lies
/// in one place is read with one pointer (68 bytes at d_head 64: two lines of memory, as with scales elsewhere).
enum class KvType : uint8_t { f32, f16, bf16, q8 };
inline constexpr KvType kKvTypes[] = {KvType::f32, KvType::f16, KvType::bf16, KvType::q8};
constexpr std::string_view name_of(KvType type) {
  constexpr std::string_view kNames[] = {"f32", "f16", "bf16", "q8"};
  return kNames[static_cast<size_t>(type)];
}
/// Columns that share a scale in q8.
inline constexpr int32_t kKvScaleCols = 32;
/// Bytes of a key, or of a value, of one position of one KV head. Always inlined, for every instruction set compiles
/// it.
[[gnu::always_inline]] constexpr int64_t row_bytes(KvType type, int32_t d_head) {
  switch (type) {
    case KvType::f32:
      return int64_t{4} * d_head;
    case KvType::f16:
    case KvType::bf16:
      return int64_t{2} * d_head;
    case KvType::q8:
      break;
  }
  return d_head + 2 * int64_t{(d_head + kKvScaleCols - 1) / kKvScaleCols};
}
static_assert(row_bytes(KvType::f16, 64) == 128 && row_bytes(KvType::q8, 64) == 68 && row_bytes(KvType::q8, 8) == 10);

/// How the right-hand side of a weight product is represented: as it is, or quantised to 8 bits per block of 32
/// (scale in float). q8 applies to the quantised weight types only; f32, f16 and bf16 weights always take f32.
enum class Activations : uint8_t { f32, q8 };
constexpr std::string_view name_of(Activations activations) {
  return activations == Activations::q8 ? "q8" : "f32";
}

/// How the product of a query and a key becomes a score: `by` times it and then, where `cap` is above 0,
/// cap * tanh(that / cap) (Gemma 2, arXiv 2408.00118, section 2, "logit soft-capping").
template <class Real>
struct ScoreScale {
  Real by, cap;
  // Implicit: most models' scores have no cap.
  constexpr ScoreScale(Real factor, Real most = 0) : by(factor), cap(most) {}  // NOLINT(google-explicit-constructor)
  /// The score of a product.
  Real operator()(Real product) const {
    const Real score = product * by;
    return cap > 0 ? cap * std::tanh(score / cap) : score;
  }
  /// As an executor of other numbers takes it.
  template <class Other>
  constexpr ScoreScale<Other> as() const {
    return {static_cast<Other>(by), static_cast<Other>(cap)};
  }
};

/// What the products of a prompt's attention are made of, queries with keys and weights with values: floats, or numbers
/// rounded to bfloat16. Sums and the softmax are in float either way.
enum class PromptProducts : uint8_t { f32, bf16 };
constexpr std::string_view name_of(PromptProducts products) {
  return products == PromptProducts::bf16 ? "bf16" : "f32";
}

/// Caps beyond it bend no score of a model, and the vectorised tanh has too few digits for them.
inline constexpr double kLargestCap = 1000;
/// Of a model or a trace: `by` 0 stands for 1 / sqrt(d_head).
inline ScoreScale<double> score_scale(double by, double cap, int32_t d_head) {
  return {by > 0 ? by : 1 / std::sqrt(static_cast<double>(d_head)), cap};
}

/// Gigabytes (10^9) a second that a device reads from its memory, pass after pass over a buffer far larger than its
/// caches. On a shared machine the best pass is what the memory can do, the median what it did.
struct ReadRate {
  double best = 0, median = 0;
};

}  // namespace reattend
