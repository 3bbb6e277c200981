// What stands in a trace before its first step.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "traces/trace_info.h"

namespace reattend {

/// What a recording says of itself, with its prompt and the model's vocabulary.
struct TraceHeader : TraceInfo {
  std::vector<int32_t> prompt;      ///< [L] token ids
  std::vector<std::string> vocab;   ///< [n_vocab] raw bytes of each token
  int32_t expected_steps = 64;      ///< rows are made for so many steps at a time, but not above 32

  /// Columns of a map's row: of `dense` or `binned` maps for the prompt and so many steps, 0 for others.
  int32_t columns_for(int32_t steps) const;
  /// Fills in what follows from the rest: sizes of prompt and vocabulary, n_column (as expected_steps need) unless it
  /// was given, the time, the format's version; sizes of maps that are not stored become 0.
  void complete();
};

}  // namespace reattend
