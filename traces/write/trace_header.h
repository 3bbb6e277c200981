// What stands in a trace before its first step.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "traces/read/reader.h"
#include "traces/schema.h"

namespace reattend {

struct TraceHeader {
  std::string created_utc;  ///< empty: now
  std::string engine_version, command_line, model, model_sha256, architecture;
  std::string device, cpu_target, activations;
  int32_t threads = 0;
  int32_t n_layer = 0, n_head = 0, n_kv_head = 0, d_head = 0, d_model = 0;
  Rope rope;
  KvType kv_type = KvType::f16;  ///< of the cache; what is written has its schema::stored_type()
  Settings settings;
  bool shadow = false;
  bool values = true, row_sums = false;  ///< which optional datasets exist
  Maps maps = Maps::top;                 ///< which maps
  int32_t n_map = 64;                    ///< M where maps are `top`
  int32_t map_bin = 64;                  ///< where they are `binned`
  int32_t n_column = 0;                  ///< where they are `dense` or `binned`; 0: as expected_steps need
  int32_t measure_every = 1;             ///< see TraceInfo
  std::vector<int32_t> layers;           ///< those that are stored, ascending; empty: all
  int32_t n_skipped = 0;                 ///< decode steps whose tokens are the prompt's last
  int32_t expected_steps = 64;           ///< rows are made for so many steps at a time, but not above 32
  std::string overlap_reduce = "max";
  int32_t overlap_pool = 7;
  std::vector<int32_t> prompt;     ///< [L] token ids
  std::vector<std::string> vocab;  ///< [n_vocab] raw bytes of each token
  std::vector<int64_t> end_tokens;
  Calibration calibration;

  int32_t n_stored() const { return layers.empty() ? n_layer : static_cast<int32_t>(layers.size()); }
  /// Columns of a map's row: of `dense` or `binned` maps for a prompt and n_step steps, 0 for others.
  int32_t columns_for(int32_t n_step) const {
    const auto n = static_cast<int32_t>(prompt.size()) + n_step;
    return maps == Maps::dense ? n : maps == Maps::binned ? (n + map_bin - 1) / map_bin : 0;
  }
};

schema::Sizes sizes_of(const TraceHeader& header);

}  // namespace reattend
