// Means of what a trace's steps hold: the numbers of tables, time lines and maps.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "traces/schema.h"
#include "traces/trace_info.h"

namespace reattend {

/// A field that is shown, or one of several of it: overlaps have one for each k.
struct Measure {
  const schema::Dataset* row = nullptr;
  size_t part = 0, n_part = 1;
  std::string key;    ///< "overlap_64": in CSV and JSON
  std::string title;  ///< "overlap 64": for people

  bool by_layer() const { return row->shape[1] == schema::n_layer; }
  bool by_kv_head() const { return row->shape[2] == schema::n_kv_head; }
};

/// The measures that a trace of this kind holds, in the order of the schema.
std::vector<Measure> measures_of(const TraceInfo& info);

/// What a mean is over.
struct Over {
  int32_t first_step = 1, last_step = 1;
  int32_t layer = -1;    ///< -1: all that are stored
  int32_t kv_head = -1;  ///< -1: all
};

/// Numbers that are NaN do not count; NaN where there are no others, or the layer is not
/// stored. `steps`: TraceReader::steps().
double mean_of(const Measure& measure, const TraceInfo& info, const StepData& steps, const Over& over);

}  // namespace reattend
