// H2O, heavy hitters (arXiv 2306.14048, algorithm 1): every query's attention is added to a score per position; the
// half of the budget that is not the latest positions goes to those of the highest score. What left never returns:
//   at p:  A = top-(K - K/2) of (A and the position that leaves the window), by sum of a over all queries so far
//          attend to A and p - K/2 .. p;  sums += a over that set
#include <vector>

#include "policies/builtin.h"

namespace reattend {
namespace {

class H2O final : public Policy {
 public:
  H2O(const Settings& settings, const RunShape& shape) : n_prompt_(shape.n_prompt), reduce_(reduce_of(settings)) {
    for (int32_t l = 0; l < shape.n_layer; ++l) keep_.push_back(count_of(settings, "K", l, shape.n_prompt));
  }

  PromptNeeds needs() const override { return {.row_sums = true}; }

  Plan plan(int32_t layer, int32_t t) const override {
    const int32_t keep = keep_[static_cast<size_t>(layer)], p = n_prompt_ - 1 + t;
    if (p <= keep) return {.branch = {.attend = {.everything = true}, .accumulate = true}};
    const int32_t heavy = keep - keep / 2, window = p - keep / 2;
    const bool first = t == 1 || p == keep + 1;  // all positions compete once, then one more at each step
    const Select select = {.by = Rank::sums,
                           .reduce = reduce_,
                           .keep = heavy,
                           .begin = first ? 0 : window - 1,
                           .end = window,
                           .from_kept = !first,
                           .ascending = true};
    return {.branch = {.before = select, .attend = {.kept = true, .keep = heavy, .tail = window}, .accumulate = true}};
  }

 private:
  int32_t n_prompt_;
  Reduce reduce_;
  std::vector<int32_t> keep_;  ///< [n_layer]
};

}  // namespace

PolicyInfo h2o_policy() {
  return {.name = "h2o",
          .source = "arXiv 2306.14048",
          .keeps = "the latest K/2 and those that all queries so far attended to most; what left never returns",
          .reads = "K positions",
          .memory = "K positions would do, and a sum per query head and position",
          .cost = "K, and adding up K weights",
          .parameters = {kBudget, kReduce},
          .make = make<H2O>};
}

}  // namespace reattend
