// What a trace holds of one decode step, and which maps it may hold: the words that reader and writer share.
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

/// The strongest predictions after a step, strongest first.
struct TopTokens {
  std::vector<int32_t> ids;     ///< [20]
  std::vector<float> logprobs;  ///< [20]
  float rest = 0;
};

/// One finished decode step; n_layer are the layers that the trace stores. Measures of a step that was not measured are
/// nan, its map's positions -1.
struct StepRecord {
  int32_t token = 0;
  std::vector<std::byte> keys,
      values;                  ///< [n_layer][n_kv_head][d_head] of the stored type; values empty if not recorded
  std::vector<float> queries;  ///< [n_layer][n_head][d_head] post-RoPE
  float logprob = 0;           ///< of `token`
  TopTokens top;
  std::vector<int32_t> map_positions;              ///< [n_layer][n_kv_head][M] where maps are `top`
  std::vector<float> map_weights;                  ///< [n_layer][n_kv_head][M] where maps are `top`
  std::vector<float> map_rest;                     ///< [n_layer][n_kv_head] where maps are `top`
  std::vector<Half> map_dense;                     ///< [n_layer][n_kv_head][C] where maps are `dense`
  std::vector<float> map_binned;                   ///< [n_layer][n_kv_head][C] where maps are `binned`
  std::vector<float> overlap;                      ///< [n_layer][n_kv_head][3]
  std::vector<uint8_t> decision, reason;           ///< [n_layer][n_kv_head]
  std::vector<float> cos_last_full;                ///< [n_layer][n_kv_head]
  std::vector<float> cos_prev_pre, cos_prev_post;  ///< [n_layer]
  std::vector<float> recovered, oracle;            ///< [n_layer][n_kv_head]
  std::vector<int32_t> positions;                  ///< [n_layer][n_kv_head]
  double ms = 0;
  int64_t bytes_weights = 0, bytes_attend = 0, bytes_select = 0;
};

}  // namespace reattend
