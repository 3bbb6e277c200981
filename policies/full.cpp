// Full attention: softmax(q K^T / sqrt(d)) V over 0..p at every step (arXiv 1706.03762, equation 1).
#include "policies/builtin.h"

namespace reattend {
namespace {

class Full final : public Policy {
 public:
  Full(const Settings&, const RunShape&) {}

  Plan plan(int32_t, int32_t) const override { return {.branch = {.attend = {.everything = true}, .full = true}}; }
};

}  // namespace

PolicyInfo full_policy() {
  return {.name = "full",
          .source = "arXiv 1706.03762",
          .keeps = "everything",
          .reads = "every cached position at every step",
          .memory = "the full cache",
          .cost = "L",
          .make = make<Full>};
}

}  // namespace reattend
