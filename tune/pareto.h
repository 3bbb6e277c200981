// The Pareto front of candidates in cost, estimate and lost mass.
#pragma once
#include <cstddef>
#include <functional>
#include <vector>

#include "tune/candidate.h"

namespace reattend {

/// a is at least as good as b in cost, estimate and lost mass, and better in one.
bool dominates(const Metrics& a, const Metrics& b);

/// Which of the screened candidates are on the first fronts, front after front until they are at least `n`; of those
/// that `of` holds for, or of all.
std::vector<bool> most_promising(const std::vector<Candidate>& candidates, size_t n,
                                 const std::function<bool(const Candidate&)>& of = {});

/// Sorts candidates by cost, fastest first, numbers schedules by layer, and says which are within the bounds and on the
/// front.
void finish_candidates(TuneResult& result);

}  // namespace reattend
