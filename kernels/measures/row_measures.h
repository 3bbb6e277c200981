// The measures of docs/semantics.md ("What is measured") of one KV head at one step, from its full attention row.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/selection.h"

namespace reattend {

/// What a KV head's full rows say about the positions a policy attended to. Sums are in double.
struct Mass {
  double recovered = 0;  ///< of the group-mean row, over the attended positions
  double oracle = 0;     ///< of the same number of positions chosen by that row itself
};
/// rows [group][n] softmax rows over 0..n-1; set: attended positions, each below n, none twice.
Mass measure_mass(std::span<const float> rows, int32_t group, std::span<const int32_t> set);

/// A kept set against the step's own choice.
struct Overlap {
  double overlap = 0, jaccard = 0;
};
/// The scores a step gives: reduce over the group, then max-pool. rows [group][n] -> [n].
std::vector<double> scores_of(std::span<const float> rows, int32_t group, Reduce reduce, int32_t pool);
/// `kept` against the k best of `score`; k > score.size() takes all.
Overlap measure_overlap(std::span<const double> score, int32_t k, std::span<const int32_t> kept);
/// How safe the cut of a top-k is: relative distance of the lowest score kept to the nearest different score; where the
/// cut runs through equal scores, both neighbours of that plateau count. Infinity where nothing is cut.
double selection_margin(std::span<const double> score, int32_t k);
/// The same of a choice that leaves out what scores below its min_weight: the nearest of the best scores to that weight
/// counts too, relative to the weight.
double selection_margin(std::span<const double> score, const Select& what);

/// ‖a - b‖ / ‖b‖ over [d_head].
double relative_error(std::span<const float> a, std::span<const float> b);

/// Natural logarithm of the softmax of logits [n_vocab].
std::vector<double> log_softmax(std::span<const float> logits);
/// KL(full ‖ policy) of two rows of log-probabilities.
double kl_divergence(std::span<const double> log_full, std::span<const double> log_policy);
/// The id of the highest logit; the lower id on equal ones.
int32_t arg_max(std::span<const float> logits);

}  // namespace reattend
