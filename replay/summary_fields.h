// The fields of a summary, declared once for every table of them: key, heading and digits.
#pragma once
#include "replay/replay.h"

namespace reattend {

struct SummaryField {
  const char* key;    ///< in CSV and JSON
  const char* title;  ///< for people; empty: the key
  const char* group;  ///< of neighbouring columns
  int digits;
  bool hidden;  ///< for programs alone
  double ReplaySummary::*field;
};

/// In the order of `reattend replay`. docs/semantics.md, "What is measured".
inline constexpr SummaryField kSummaryFields[] = {
    {"recovered", "", "mass", 4, false, &ReplaySummary::recovered},
    {"recovered_upper", "at most", "mass", 4, true,
     &ReplaySummary::recovered_upper},  // shown where only maps are known
    {"oracle", "", "mass", 4, false, &ReplaySummary::oracle},
    {"normalised", "of oracle", "mass", 4, false, &ReplaySummary::normalised},
    {"lost", "", "", 4, true, &ReplaySummary::lost},
    {"overlap", "", "kept set", 3, false, &ReplaySummary::overlap},
    {"jaccard", "Jaccard", "kept set", 3, false, &ReplaySummary::jaccard},
    {"output_error_mean", "mean", "output error", 4, false, &ReplaySummary::output_error_mean},
    {"output_error_p95", "p95", "output error", 4, false, &ReplaySummary::output_error_p95},
    {"effective_stride", "stride", "", 2, false, &ReplaySummary::effective_stride},
    {"positions", "", "", 1, false, &ReplaySummary::positions},
    {"bytes_attend", "", "", 3, true, &ReplaySummary::bytes_attend},
    {"bytes_select", "", "", 3, true, &ReplaySummary::bytes_select}};

}  // namespace reattend
