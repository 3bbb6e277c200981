// Split-KV decode attention for grouped queries: one block per KV head and piece of its set, then a merge in order.
//
// A row of keys or values is read with 16-byte loads by d_head / 8 neighbouring lanes, so a warp reads 2 (d_head 128)
// or 4 (64) whole rows at once, and every row serves all query heads of the group while it is in registers.
#include "kernels/cuda/attend.h"

#include <cmath>
#include <string>

#include "base/error.h"
#include "kernels/cuda/veneer.h"

namespace reattend::cuda {
namespace {

constexpr int kLane = 32, kWarp = 4, kThread = kLane * kWarp;
constexpr int kVector = 8;  // elements of a 16-byte load
constexpr uint32_t kAllLanes = ~0u;

/// x [8], 16-byte aligned -> out [8]
__device__ inline void load(const Half* x, float* out) {
  const uint4 bits = __ldg(reinterpret_cast<const uint4*>(x));
  const uint32_t pair[kVector / 2] = {bits.x, bits.y, bits.z, bits.w};
  for (int i = 0; i < kVector / 2; ++i) {
    out[2 * i] = value_of(static_cast<Half>(pair[i] & 0xffffu));
    out[2 * i + 1] = value_of(static_cast<Half>(pair[i] >> 16));
  }
}

__device__ inline bool chose_another(const AttendArgs& args, int32_t kv_head) {
  return args.chosen != nullptr && args.chosen[kv_head] != args.branch;
}

__device__ inline PositionSet set_of(const AttendArgs& args, int32_t kv_head) {
  const KeptSet kept = args.kept != nullptr ? args.kept[kv_head] : KeptSet{};
  return resolve(args.step->attend, kept.positions, kept.count, kept.selected_at, args.step->p);
}

/// Row `position` of one KV head's blocks; blocks [n_block].
template <int kDHead>
__device__ const Half* row_of(const Half* const* blocks, int32_t position) {
  return blocks[position / kPiece] + position % kPiece * kDHead;
}

template <int kDHead, int kGroup>
struct Shared {
  float score[kGroup][kPiece];       ///< scores, then their exponentials
  float sum[kWarp][kGroup][kDHead];  ///< each warp's share of o
  int32_t position[kPiece];
};

/// score[g][i] = q_g k_i scale for entries i in [from, to) of the piece; q [kGroup][kDHead], keys [n_block].
template <int kDHead, int kGroup>
__device__ void score_entries(Shared<kDHead, kGroup>& shared, const float* q, const Half* const* keys, int32_t from,
                              int32_t to, float scale) {
  constexpr int lanes = kDHead / kVector, rows = kLane / lanes;
  const int lane = static_cast<int>(threadIdx.x) % kLane, warp = static_cast<int>(threadIdx.x) / kLane;
  const int row = lane / lanes, column = lane % lanes * kVector;
  float query[kGroup][kVector];
  for (int g = 0; g < kGroup; ++g) {
    for (int e = 0; e < kVector; ++e) query[g][e] = q[g * kDHead + column + e] * scale;
  }
  for (int32_t base = from + warp * rows; base < to; base += kWarp * rows) {
    const int32_t i = base + row;
    float sum[kGroup] = {};
    if (i < to) {
      float key[kVector];
      load(row_of<kDHead>(keys, shared.position[i]) + column, key);
      for (int g = 0; g < kGroup; ++g) {
        for (int e = 0; e < kVector; ++e) sum[g] += query[g][e] * key[e];
      }
    }
    for (int g = 0; g < kGroup; ++g) {
      for (int m = lanes / 2; m > 0; m /= 2) sum[g] += __shfl_xor_sync(kAllLanes, sum[g], m);
      if (i < to && column == 0) shared.score[g][i] = sum[g];
    }
  }
}

/// Scores -> exponentials, m and d; a warp takes every fourth query head.
template <int kDHead, int kGroup>
__device__ void exponentiate(Shared<kDHead, kGroup>& shared, const AttendArgs& args, int32_t kv_head, int32_t piece,
                             int32_t n) {
  const int lane = static_cast<int>(threadIdx.x) % kLane, warp = static_cast<int>(threadIdx.x) / kLane;
  for (int g = warp; g < kGroup; g += kWarp) {
    const int64_t head = kv_head * kGroup + g;
    float m = -INFINITY;
    for (int32_t i = lane; i < n; i += kLane) {
      const float score = shared.score[g][i];
      if (args.scores != nullptr) args.scores[head * args.score_stride + piece * kPiece + i] = score;
      m = fmaxf(m, score);
    }
    for (int mask = kLane / 2; mask > 0; mask /= 2) m = fmaxf(m, __shfl_xor_sync(kAllLanes, m, mask));
    float d = 0;
    for (int32_t i = lane; i < n; i += kLane) {
      const float weight = expf(shared.score[g][i] - m);
      shared.score[g][i] = weight;
      d += weight;
    }
    for (int mask = kLane / 2; mask > 0; mask /= 2) d += __shfl_xor_sync(kAllLanes, d, mask);
    if (lane == 0) {
      args.piece_m[head * args.max_piece + piece] = m;
      args.piece_d[head * args.max_piece + piece] = d;
    }
  }
}

/// sum[warp][g] = the warp's share of sum_i weight[g][i] v_i; values [n_block].
template <int kDHead, int kGroup>
__device__ void weigh_values(Shared<kDHead, kGroup>& shared, const Half* const* values, int32_t n) {
  constexpr int lanes = kDHead / kVector, rows = kLane / lanes;
  const int lane = static_cast<int>(threadIdx.x) % kLane, warp = static_cast<int>(threadIdx.x) / kLane;
  const int row = lane / lanes, column = lane % lanes * kVector;
  float sum[kGroup][kVector] = {};
  for (int32_t i = warp * rows + row; i < n; i += kWarp * rows) {
    float value[kVector];
    load(row_of<kDHead>(values, shared.position[i]) + column, value);
    for (int g = 0; g < kGroup; ++g) {
      const float weight = shared.score[g][i];
      for (int e = 0; e < kVector; ++e) sum[g][e] += weight * value[e];
    }
  }
  for (int g = 0; g < kGroup; ++g) {
    for (int e = 0; e < kVector; ++e) {
      for (int m = lanes; m < kLane; m *= 2) sum[g][e] += __shfl_xor_sync(kAllLanes, sum[g][e], m);
      if (row == 0) shared.sum[warp][g][column + e] = sum[g][e];
    }
  }
}

/// Block (kv_head, piece): the AttnState of the group's query heads over one piece of the set.
template <int kDHead, int kGroup>
__global__ void __launch_bounds__(kThread) attend_piece(AttendArgs args) {
  const auto kv_head = static_cast<int32_t>(blockIdx.x), piece = static_cast<int32_t>(blockIdx.y);
  if (chose_another(args, kv_head)) return;
  const PositionSet set = set_of(args, kv_head);
  const int32_t first = piece * kPiece, left = set.size() - first, n = left < kPiece ? left : kPiece;
  if (n <= 0) return;

  auto& shared = *dynamic_shared<Shared<kDHead, kGroup>>();
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < n; i += kThread) shared.position[i] = set[first + i];
  __syncthreads();

  const int64_t queries = int64_t{kv_head} * kGroup * kDHead, table = int64_t{kv_head} * args.n_block;
  int32_t in_lead = 0;
  if (args.q_lead != nullptr) {
    in_lead = set.lead - first < 0 ? 0 : set.lead - first < n ? set.lead - first : n;
    score_entries(shared, args.q_lead + queries, args.keys + table, 0, in_lead, args.scale);
  }
  score_entries(shared, args.q + queries, args.keys + table, in_lead, n, args.scale);
  __syncthreads();
  exponentiate(shared, args, kv_head, piece, n);
  __syncthreads();
  weigh_values(shared, args.values + table, n);
  __syncthreads();
  for (int x = static_cast<int>(threadIdx.x); x < kGroup * kDHead; x += kThread) {
    const int g = x / kDHead, e = x % kDHead;
    float o = 0;
    for (int w = 0; w < kWarp; ++w) o += shared.sum[w][g][e];
    args.piece_o[((int64_t{kv_head} * kGroup + g) * args.max_piece + piece) * kDHead + e] = o;
  }
}

/// Block `head`: merges the states of the head's pieces in order (attn_state.h, merge) and divides by d.
__global__ void __launch_bounds__(kThread) merge_pieces(AttendArgs args, int32_t group, int32_t d_head) {
  const auto head = static_cast<int32_t>(blockIdx.x);
  const int32_t kv_head = kv_head_of(head, group);
  if (chose_another(args, kv_head)) return;
  const int64_t first = int64_t{head} * args.max_piece, end = first + n_piece(set_of(args, kv_head).size());
  for (int e = static_cast<int>(threadIdx.x); e < d_head; e += kThread) {
    float m = -INFINITY, d = 0, o = 0;
    for (int64_t i = first; i < end; ++i) {
      const float m2 = args.piece_m[i], top = fmaxf(m, m2), old = expf(m - top), fresh = expf(m2 - top);
      d = d * old + args.piece_d[i] * fresh;
      o = o * old + args.piece_o[i * d_head + e] * fresh;
      m = top;
    }
    args.out[int64_t{head} * d_head + e] = o / d;
  }
}

template <int kDHead, int kGroup>
void launch_with(Stream stream, const AttendArgs& args, int32_t n_kv_head) {
  using Memory = Shared<kDHead, kGroup>;
  static_assert(sizeof(Memory) <= 48 * 1024, "what a block may use without asking the driver for more");
  const dim3 pieces(static_cast<unsigned>(n_kv_head), static_cast<unsigned>(args.max_piece));
  launch(stream, attend_piece<kDHead, kGroup>, pieces, dim3(kThread), sizeof(Memory), args);
  launch(stream, merge_pieces, dim3(static_cast<unsigned>(n_kv_head * kGroup)), dim3(kThread), 0, args, kGroup, kDHead);
}

template <int kDHead>
void launch_for_group(Stream stream, const AttendArgs& args, int32_t n_kv_head, int32_t group) {
  switch (group) {
    case 1:
      return launch_with<kDHead, 1>(stream, args, n_kv_head);
    case 2:
      return launch_with<kDHead, 2>(stream, args, n_kv_head);
    case 3:
      return launch_with<kDHead, 3>(stream, args, n_kv_head);
    case 4:
      return launch_with<kDHead, 4>(stream, args, n_kv_head);
    case 5:
      return launch_with<kDHead, 5>(stream, args, n_kv_head);
    case 6:
      return launch_with<kDHead, 6>(stream, args, n_kv_head);
    case 7:
      return launch_with<kDHead, 7>(stream, args, n_kv_head);
    case 8:
      return launch_with<kDHead, 8>(stream, args, n_kv_head);
    default:
      fail({"decode attention on CUDA", "1 to 8 query heads per KV head", std::to_string(group), "use --device cpu"});
  }
}

}  // namespace

void launch_attend(Stream stream, const AttendArgs& args, int32_t n_kv_head, int32_t group, int32_t d_head) {
  switch (d_head) {
    case 8:
      return launch_for_group<8>(stream, args, n_kv_head, group);
    case 64:
      return launch_for_group<64>(stream, args, n_kv_head, group);
    case 128:
      return launch_for_group<128>(stream, args, n_kv_head, group);
    default:
      fail({"decode attention on CUDA", "a head width of 8, 64 or 128", std::to_string(d_head), "use --device cpu"});
  }
}

}  // namespace reattend::cuda
