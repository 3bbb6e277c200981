// Full attention: softmax(q K^T / sqrt(d)) V over 0..p at every step (arXiv 1706.03762, equation 1).
#include "policies/builtin.h"

namespace reattend {
namespace {

class Full final : public Policy {
 public:
  Plan plan(int32_t, int32_t) const override { return {.branch = {.attend = {.everything = true}, .full = true}}; }
};

}  // namespace

std::unique_ptr<Policy> make_full(const Settings&, const RunShape&) {
  return std::make_unique<Full>();
}

}  // namespace reattend
