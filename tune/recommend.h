// Recommends one of the finished candidates, by prediction or by measuring, and says in data why.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/progress.h"
#include "tune/bounds.h"
#include "tune/measure.h"

namespace reattend {

struct TuneOptions;

/// What decided for the recommended candidate. Words for it are made elsewhere.
struct Reason {
  enum class Rule : uint8_t {
    full_attention,   ///< no candidate is faster than full attention, which stays
    first_tried,      ///< nothing was measured: the fastest within the bounds, or the nearest to them
    fastest,          ///< of those measured that keep the bounds
    lowest_kl_alike,  ///< of several that keep the bounds and are as fast as the fastest of these
    lowest_kl,        ///< of all that were measured, for none keeps the bounds
  };
  Rule rule = Rule::first_tried;
  bool beyond_bounds = false;  ///< as predicted no candidate that is faster than full attention keeps the bounds
  Hardest nearest;             ///< then: how far the nearest, which was tried first, is from them, and on which trace
  size_t n_measured = 0;       ///< candidates
  size_t n_alike = 0;          ///< of those, that keep the bounds and are as fast as the fastest
};

/// Sets `chosen` and `reason`, and what was measured on the way. Candidates must be finished (finish_candidates).
void recommend(TuneResult& result, const TuneOptions& options, const MeasureFn& measure, const ProgressFn& progress,
               const Cancel& cancel);

}  // namespace reattend
