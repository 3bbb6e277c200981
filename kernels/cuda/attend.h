// Decode attention on a device: carries out what a plan says to attend to, without the host knowing how a gate chose.
#pragma once
#include <cstdint>

#include "base/half.h"
#include "kernels/cuda/stream.h"
#include "kernels/layout.h"

namespace reattend::cuda {

/// What changes from step to step. It lies in device memory, so a captured graph sees what was last copied there.
struct AttendStep {
  Attend attend;
  int32_t p = 0;  ///< position of the query; its key and value are in the cache
};

/// A KV head's kept set as the device knows it.
struct KeptSet {
  const int32_t* positions = nullptr;  ///< [count] in rank order
  int32_t count = 0;
  int32_t selected_at = 0;  ///< position of the step that made it
};

/// One layer at one decode step. Every pointer is device memory; n_head = n_kv_head * group.
struct AttendArgs {
  const float* q;             ///< [n_head][d_head] after RoPE
  const float* q_lead;        ///< null, or [n_head][d_head]: what the run [0, lead) is compared with instead (below)
  const Half* const* keys;    ///< [n_kv_head][n_block] pointers to blocks [256][d_head], 16-byte aligned
  const Half* const* values;  ///< [n_kv_head][n_block] pointers to blocks [256][d_head], 16-byte aligned
  int32_t n_block;            ///< row length of the two tables
  const AttendStep* step;     ///< [1]
  const KeptSet* kept;        ///< [n_kv_head]; null if attend.kept and attend.from_selected are false
  const int32_t* chosen;      ///< null, or [n_kv_head]: the branch that each KV head's gate chose
  int32_t branch;             ///< this launch's branch: KV heads that chose another one are left alone
  float scale;                ///< of the scores, usually 1 / sqrt(d_head)
  int32_t max_piece;          ///< pieces there is room for; at least n_piece(p + 1) of every step to come
  float* piece_m;             ///< [n_head][max_piece] scratch: a piece's AttnState
  float* piece_d;             ///< [n_head][max_piece]
  float* piece_o;             ///< [n_head][max_piece][d_head]
  float* out;                 ///< [n_head][d_head]
  float* scores;              ///< null, or [n_head][score_stride]: q k scale of entry i of the set
  int64_t score_stride;       ///< at least p + 1
};

/// Queues the attention of a layer's query heads over resolve(attend, kept set, p): pieces of 256 entries, each read
/// once for all query heads of a group, then merged in piece order. Where a plan is gated, launch both branches: the
/// blocks of the one that was not chosen return at their first instruction.
///
/// Plans with rank_rotation compare the query at its rank with keys at theirs, but the cache holds keys at their
/// positions. Only differences count: in the run [tail, p] they are the same, and the keys of [0, lead) have their
/// position as rank. So `q_lead` holds the queries rotated to the rank lead + p - tail, `q` as ever those at p. A kept
/// set cannot be combined with it (its ranks are those of the sorted set).
///
/// d_head is 8, 64 or 128, group 1 to 8; throws Error otherwise, or when the device refuses the launch.
void launch_attend(Stream stream, const AttendArgs& args, int32_t n_kv_head, int32_t group, int32_t d_head);

}  // namespace reattend::cuda
