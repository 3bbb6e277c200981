// Plans of layers with a window of their own: the last positions, whatever the policy.
#include "policies/windows.h"

#include <algorithm>
#include <utility>

namespace reattend {
namespace {

class WithWindows final : public Policy {
 public:
  WithWindows(std::unique_ptr<Policy> policy, RunShape shape) : policy_(std::move(policy)), shape_(std::move(shape)) {}

  Select prompt(int32_t layer) const override { return shape_.acts(layer) ? policy_->prompt(layer) : Select{}; }
  PromptNeeds needs() const override { return policy_->needs(); }
  Plan plan(int32_t layer, int32_t t) const override {
    if (shape_.acts(layer)) return policy_->plan(layer, t);
    return {.branch = {.attend = {.tail = std::max(0, shape_.n_prompt + t - shape_.window(layer))}}};
  }

 private:
  std::unique_ptr<Policy> policy_;
  RunShape shape_;
};

}  // namespace

std::unique_ptr<Policy> leave_windows_alone(std::unique_ptr<Policy> policy, const RunShape& shape) {
  if (shape.n_acting() == shape.n_layer) return policy;
  return std::make_unique<WithWindows>(std::move(policy), shape);
}

}  // namespace reattend
