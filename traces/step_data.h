// What a trace holds of decode steps, one column a field, and which attention maps it may hold.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/half.h"

namespace reattend {

/// Which attention maps are stored: nothing, the strongest positions of each row, whole rows, or sums over bins.
enum class Maps : uint8_t { none, top, dense, binned };
inline constexpr std::array<std::string_view, 4> kMapsNames = {"none", "top", "dense", "binned"};
constexpr std::string_view name_of(Maps maps) {
  return kMapsNames[static_cast<size_t>(maps)];
}

/// T decode steps, row after row: one as it is recorded and copied, or all of a trace. What each column means, its unit
/// and its range stand in the table of datasets (schema.h), which says where its rows are kept: here. n_layer are the
/// layers that the trace stores; where TraceReader::steps() fills in all layers of the model, floats of the others are
/// NaN, integers -1, decisions and reasons 0. A column that a trace does not hold, or that was not asked for, is empty.
struct StepData {
  std::vector<int32_t> token;             ///< [T] that each step fed
  std::vector<std::byte> keys, values;    ///< [T][n_layer][n_kv_head][d_head] of the stored type
  std::vector<float> queries;             ///< [T][n_layer][n_head][d_head] post-RoPE
  std::vector<int32_t> top_ids;           ///< [T][20] of one step; of a whole trace [T + 1][20], from step 0 on
  std::vector<float> top_logprobs;        ///< as top_ids
  std::vector<float> top_rest;            ///< [T] of one step; of a whole trace [T + 1]
  std::vector<int32_t> map_positions;     ///< [T][n_layer][n_kv_head][M] where maps are `top`
  std::vector<float> map_weights;         ///< [T][n_layer][n_kv_head][M] where maps are `top`
  std::vector<float> map_rest;            ///< [T][n_layer][n_kv_head] where maps are `top`
  std::vector<Half> map_dense;            ///< [T][n_layer][n_kv_head][C] where maps are `dense`
  std::vector<float> map_binned;          ///< [T][n_layer][n_kv_head][C] where maps are `binned`
  std::vector<uint8_t> reason;            ///< [T][n_layer][n_kv_head] see schema::Reason
  std::vector<float> logprob;             ///< [T] of `token`; of a whole trace [T + 1]: of the one predicted last, too
  std::vector<double> ms;                 ///< [T]
  std::vector<int64_t> bytes_weights;     ///< [T]
  std::vector<int64_t> bytes_attend;      ///< [T]
  std::vector<int64_t> bytes_select;      ///< [T]
  std::vector<uint8_t> full;              ///< [T][n_layer][n_kv_head] decision, 1 = full step
  std::vector<int32_t> positions;         ///< [T][n_layer][n_kv_head] attended to
  std::vector<float> recovered, oracle;   ///< [T][n_layer][n_kv_head]
  std::vector<float> cos_last_full;       ///< [T][n_layer][n_kv_head]
  std::vector<float> cos_prev_pre;        ///< [T][n_layer]
  std::vector<float> cos_prev_post;       ///< [T][n_layer]
  std::vector<float> overlap;             ///< [T][n_layer][n_kv_head][n_k] with the step before
  std::vector<float> entropy;             ///< [T][n_layer][n_kv_head]
};

}  // namespace reattend
