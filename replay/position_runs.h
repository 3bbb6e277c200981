// A sorted set of positions as the runs that it consists of: a full step is one run however long the context is, and a
// partial step two and what was kept between them.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/layout.h"

namespace reattend {

class PositionRuns {
 public:
  /// Positions begin ... end - 1.
  struct Run {
    int32_t begin = 0, end = 0;
    bool operator==(const Run&) const = default;
  };

  PositionRuns() = default;
  /// kept [set.n_kept]: the set's kept entries in ascending order.
  PositionRuns(const PositionSet& set, std::span<const int32_t> kept);

  int32_t size() const { return size_; }
  bool holds(int32_t position) const;
  /// Ascending; between two of them there is a position that is not in the set.
  std::span<const Run> runs() const { return runs_; }
  /// All positions, ascending.
  std::vector<int32_t> list() const;
  /// Beside the object itself.
  int64_t bytes() const { return static_cast<int64_t>(runs_.capacity() * sizeof(Run)); }
  /// What bytes() is at most of a set with n_kept kept entries among n positions.
  static int64_t most_bytes(int64_t n_kept, int64_t n) {
    return std::min(n_kept + 2, n / 2 + 1) * int64_t{sizeof(Run)};
  }
  bool operator==(const PositionRuns&) const = default;

 private:
  std::vector<Run> runs_;
  int32_t size_ = 0;
};

/// A bit a position for the sets of consecutive steps: a picture asks of every pixel.
class PositionMasks {
 public:
  /// sets [n] of steps first_step ...; none reaches beyond n_position.
  PositionMasks(int32_t first_step, std::span<const PositionRuns> sets, int32_t n_position);
  bool holds_step(int32_t step) const { return step >= first_step_ && step - first_step_ < n_step_; }
  /// Of a step that it holds.
  bool holds(int32_t step, int32_t position) const {
    const uint64_t word = words_[static_cast<size_t>((step - first_step_) * n_word_ + position / 64)];
    return (word >> position % 64 & 1) != 0;
  }

 private:
  int32_t first_step_ = 1, n_step_ = 0;
  int64_t n_word_ = 0;
  std::vector<uint64_t> words_;  ///< [n_step_][n_word_]
};

}  // namespace reattend
