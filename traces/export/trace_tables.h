// A trace as two tables, one row a step and one row a KV head, for spreadsheets and scripts.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "traces/read/reader.h"

namespace reattend {

/// Means over the stored layers' KV heads; nan where nothing was measured.
struct StepRow {
  int32_t step = 0, position = 0, token = 0;
  std::string text;    ///< raw bytes of the token
  double logprob = 0;  ///< of it
  double ms = 0;
  int64_t bytes_weights = 0, bytes_attend = 0, bytes_select = 0;
  double full = 0;  ///< share of full decisions
  double positions = 0, recovered = 0, oracle = 0, cos_last_full = 0, cos_prev_pre = 0, cos_prev_post = 0;
  std::vector<double> overlap;  ///< [overlap_k.size()]
};

/// Means over the steps.
struct HeadRow {
  int32_t layer = 0, kv_head = 0;
  int64_t n_step = 0, n_full = 0, n_measured = 0;
  double effective_stride = 0;  ///< steps per full step; infinite without any
  double positions = 0, recovered = 0, least_recovered = 0, oracle = 0, cos_last_full = 0;
  std::vector<double> overlap;  ///< [overlap_k.size()]
};

struct TraceTables {
  std::vector<int64_t> overlap_k;
  std::vector<StepRow> steps;
  std::vector<HeadRow> heads;  ///< of the stored layers
};

TraceTables tables_of(TraceReader& trace);

/// Comma-separated, one line of names first; what was not measured is empty, text is quoted and cleaned to UTF-8.
std::string steps_to_csv(const TraceTables& tables);
std::string heads_to_csv(const TraceTables& tables);
/// The same numbers, null where they are not finite, beside what the trace is.
nlohmann::ordered_json to_json(const TraceTables& tables, const TraceInfo& info);

}  // namespace reattend
