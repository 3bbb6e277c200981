// TOVA, token omission via attention (arXiv 2401.06104, section 3.2): after each step the position that the step's own
// query attends to least leaves the cache, the mean over all query heads deciding for the whole layer:
//   attend to A and p;  A = top-K of (A and p) by mean_h a_h.  What left never returns; p itself may leave.
#include <vector>

#include "policies/builtin.h"

namespace reattend {
namespace {

class Tova final : public Policy {
 public:
  Tova(const Settings& settings, const RunShape& shape) : n_prompt_(shape.n_prompt) {
    for (int32_t l = 0; l < shape.n_layer; ++l) keep_.push_back(count_of(settings, "K", l, shape.n_prompt));
  }

  Select prompt(int32_t layer) const override {
    Select select = choice(layer);
    select.by = Rank::row;
    select.end = n_prompt_;
    return select;
  }

  Plan plan(int32_t layer, int32_t t) const override {
    const int32_t p = n_prompt_ - 1 + t;
    Select select = choice(layer);
    select.begin = p, select.end = p + 1;
    select.from_kept = true;
    return {.branch = {.attend = {.kept = true, .keep = select.keep, .tail = p}, .after = select}};
  }

 private:
  Select choice(int32_t layer) const {
    return {.by = Rank::attended,
            .reduce = Reduce::mean,
            .keep = keep_[static_cast<size_t>(layer)],
            .shared = true,
            .ascending = true};
  }

  int32_t n_prompt_;
  std::vector<int32_t> keep_;  ///< [n_layer]
};

}  // namespace

PolicyInfo tova_policy() {
  return {.name = "tova",
          .source = "arXiv 2401.06104",
          .keeps = "each step drops what its query attends to least, for the whole layer; what left never returns",
          .reads = "K positions",
          .memory = "K positions would do",
          .cost = "K, and ranking K weights",
          .parameters = {kBudget},
          .make = make<Tova>};
}

}  // namespace reattend
