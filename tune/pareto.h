// The Pareto front of candidates in cost, estimate and lost mass.
#pragma once
#include <cstddef>
#include <vector>

#include "tune/candidate.h"

namespace reattend {

/// a is at least as good as b in cost, estimate and lost mass, and better in one.
bool dominates(const Metrics& a, const Metrics& b);

/// Front after front of the screened candidates, until there are at least `n`. In the grid's order: largest budgets
/// first, so that rankings are prepared at their greatest depth at once.
std::vector<Settings> most_promising(const std::vector<Candidate>& candidates, size_t n);

/// Sorts candidates by cost, fastest first, numbers schedules by layer, and says which are within the bounds and on the
/// front.
void finish_candidates(TuneResult& result);

}  // namespace reattend
