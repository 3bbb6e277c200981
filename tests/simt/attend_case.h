// A case of decode attention: random caches in device layout, and the answer in double precision by plain loops.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/attend.h"

namespace reattend::simt {

struct Shape {
  int32_t d_head = 64, group = 3, n_kv_head = 2;
  int32_t p = 0;
};

/// Rows that the set does not name hold NaN, so a stray read shows; so do the rows behind p.
class AttendCase {
 public:
  /// kept [n_kv_head][any]: positions in rank order. Scratch and outputs start as NaN.
  AttendCase(const Shape& shape, const Attend& attend, std::vector<std::vector<int32_t>> kept, int32_t selected_at,
             uint32_t seed);

  cuda::AttendArgs args();
  void launch(cuda::Stream stream) { cuda::launch_attend(stream, args(), shape.n_kv_head, shape.group, shape.d_head); }

  /// Positions of one KV head's set in its order, by the words of layout.h and not by its code.
  std::vector<int32_t> positions(int32_t kv_head) const;
  /// Empty if `out` and `scores` agree with double precision within the rounding of float, else what differs.
  std::string difference() const;

  Shape shape;
  cuda::AttendStep step;
  std::vector<std::vector<int32_t>> kept_positions;  ///< [n_kv_head][any]
  std::vector<cuda::KeptSet> kept;                   ///< [n_kv_head]
  std::vector<int32_t> chosen;                       ///< empty (no gate), or [n_kv_head]
  int32_t branch = 0;
  std::vector<float> q, q_lead;  ///< [n_head][d_head]; q_lead may be empty
  float scale;
  std::vector<std::vector<Half>> keys, values;  ///< [n_kv_head * n_block][256 * d_head]
  std::vector<float> piece_m, piece_d, piece_o, out, scores;
  int32_t n_head, n_block, max_piece;

 private:
  std::vector<const Half*> key_table_, value_table_;  // [n_kv_head * n_block]
};

}  // namespace reattend::simt
