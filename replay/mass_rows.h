// Attention rows as whole numbers of 3 bytes: sums are exact in any order, and 90 heads' rows at 8K take 1.1 GB.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "replay/kept_array.h"

namespace reattend {

/// A weight's share of 2^24 - 1. Halves would take 2 bytes, but a weight of 0.5 would be off by 1e-4, and masses are
/// held against the engine's within 2e-6.
using MassUnits = uint32_t;
inline constexpr MassUnits kWholeMass = (1U << 24) - 1;
constexpr double mass_of(MassUnits units) {
  return static_cast<double>(units) / kWholeMass;
}

/// One row: entry i lies at byte 3 i, and a byte of no meaning behind the last one.
class MassRow {
 public:
  MassRow(const uint8_t* begin, const MassUnits* runs) : begin_(begin), runs_(runs) {}
  MassUnits operator[](int32_t i) const {
    MassUnits units;
    std::memcpy(&units, begin_ + 3 * static_cast<int64_t>(i), sizeof units);
    return units & kWholeMass;
  }
  /// Of entries [begin, end); 0 where there are none.
  MassUnits run(int32_t begin, int32_t end) const { return end > begin ? up_to(end) - up_to(begin) : 0; }
  /// Of entries at positions [n].
  template <class Position>
  MassUnits gather(const Position* positions, int32_t n) const {
    MassUnits sum[4] = {};
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) {
      for (int32_t j = 0; j < 4; ++j) sum[j] += (*this)[positions[i + j]];
    }
    for (; i < n; ++i) sum[0] += (*this)[positions[i]];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }

  static constexpr int32_t kRun = 64;  ///< entries between two sums that are known

 private:
  MassUnits up_to(int32_t end) const {
    MassUnits sum = runs_[end / kRun];
    for (int32_t i = end / kRun * kRun; i < end; ++i) sum += (*this)[i];
    return sum;
  }
  const uint8_t* begin_;
  const MassUnits* runs_;  ///< [n / kRun + 1] sums of what lies before every 64th entry
};

/// Rows t = 0 .. n_row - 1 of every KV head; row t has n_first + t entries.
class MassRows {
 public:
  void resize(int32_t n_kv_head, int32_t n_row, int32_t n_first);
  /// Rounds row [n_first + t]. What rounding takes from an entry the next ones get, so a run's sum is off by a unit.
  void set(int32_t kv_head, int32_t t, const float* row);
  MassRow row(int32_t kv_head, int32_t t) const {
    return {entries_.data() + start(kv_head, t), runs_.data() + (int64_t{kv_head} * n_row_ + t) * n_run_};
  }
  int64_t bytes() const { return entries_.bytes() + runs_.bytes(); }
  /// What bytes() will be of rows of these sizes.
  static int64_t bytes_of(int32_t n_kv_head, int32_t n_row, int32_t n_first) {
    return KeptArray<uint8_t>::bytes_of(n_kv_head * bytes_before(n_row, n_first)) +
           KeptArray<MassUnits>::bytes_of(int64_t{n_kv_head} * n_row * n_run_of(n_row, n_first));
  }
  bool is_borrowed() const { return entries_.is_borrowed(); }
  /// In the order in which they are kept.
  std::vector<std::span<const std::byte>> arrays() const { return {entries_.as_bytes(), runs_.as_bytes()}; }
  /// Rows of these sizes that lie elsewhere; false, and nothing is changed, where the sizes are others.
  bool borrow(int32_t n_kv_head, int32_t n_row, int32_t n_first, const KeptBytes& from);

 private:
  static int64_t bytes_before(int64_t row, int64_t n_first) { return 3 * (row * n_first + row * (row - 1) / 2) + row; }
  static int32_t n_run_of(int32_t n_row, int32_t n_first) { return (n_first + n_row - 1) / MassRow::kRun + 1; }
  int64_t start(int32_t kv_head, int32_t t) const {
    return kv_head * bytes_before(n_row_, n_first_) + bytes_before(t, n_first_);
  }
  int32_t n_row_ = 0, n_first_ = 0, n_run_ = 0;
  KeptArray<uint8_t> entries_;  ///< [n_kv_head] rows of 3 (n_first + t) + 1 bytes, one behind the other
  KeptArray<MassUnits> runs_;   ///< [n_kv_head][n_row][n_run]
};

/// Sums of the highest entries of rows, for any number of them up to a depth. The 257th highest is at most 1/257 of the
/// mass, which fits 16 bits: so from there on a line of memory holds 30 sums.
class BestMasses {
 public:
  void resize(int64_t n_list, int32_t depth);
  int32_t depth() const { return depth_; }
  /// positions [n], n <= depth, best first
  void set(int64_t list, const MassRow& row, const int32_t* positions, int32_t n);
  /// Of the best n <= depth.
  MassUnits sum(int64_t list, int32_t n) const;
  int64_t bytes() const { return first_.bytes() + lines_.bytes(); }
  /// What bytes() will be.
  static int64_t bytes_of(int64_t n_list, int32_t depth) {
    return KeptArray<MassUnits>::bytes_of(n_list * std::min(depth, kFirst)) +
           KeptArray<Line>::bytes_of(n_list * n_line_of(depth));
  }
  bool is_borrowed() const { return first_.is_borrowed(); }
  std::vector<std::span<const std::byte>> arrays() const { return {first_.as_bytes(), lines_.as_bytes()}; }
  bool borrow(int64_t n_list, int32_t depth, const KeptBytes& from);

 private:
  static constexpr int32_t kFirst = 256, kLine = 30;
  struct Line {
    MassUnits before;
    uint16_t more[kLine];
  };
  static_assert(sizeof(Line) == 64);
  static int32_t n_line_of(int32_t depth) { return (std::max(0, depth - kFirst) + kLine - 1) / kLine; }
  int32_t depth_ = 0, n_first_ = 0, n_line_ = 0;
  KeptArray<MassUnits> first_;  ///< [n_list][n_first] of the best i + 1
  KeptArray<Line> lines_;       ///< [n_list][n_line] what the others add
};

}  // namespace reattend
