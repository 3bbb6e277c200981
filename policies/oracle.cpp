// The ceiling of every selection: each step scores the full row first and attends to its own top-K, then p. It reads
// all keys at every step and so saves nothing; with reduce = mean and pool = 1 no set of K positions recovers more.
#include <vector>

#include "policies/builtin.h"

namespace reattend {
namespace {

class Oracle final : public Policy {
 public:
  Oracle(const Settings& settings, const RunShape& shape) : n_prompt_(shape.n_prompt) {
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      layers_.push_back({.by = Rank::row,
                         .reduce = reduce_of(settings),
                         .pool = count_of(settings, "pool", l, shape.n_prompt),
                         .keep = count_of(settings, "K", l, shape.n_prompt),
                         .with_current = true});
    }
  }

  Plan plan(int32_t layer, int32_t t) const override {
    Select select = layers_[static_cast<size_t>(layer)];
    select.end = n_prompt_ + t;
    // p is an entry of the set, so there is no run.
    return {.branch = {.before = select, .attend = {.kept = true, .keep = select.keep + 1, .tail = select.end}}};
  }

 private:
  int32_t n_prompt_;
  std::vector<Select> layers_;
};

}  // namespace

PolicyInfo oracle_policy() {
  return {.name = "oracle",
          .source = "an upper bound, not a method",
          .keeps = "the K positions that this very step attends to most",
          .reads = "all keys to choose, K positions to attend",
          .memory = "the full cache",
          .cost = "L / 2 + K",
          .parameters = {kBudget, kReduce, kPool},
          .make = make<Oracle>};
}

}  // namespace reattend
