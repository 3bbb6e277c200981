// Layers that the model itself confines to their last positions: no policy acts there.
#pragma once
#include <memory>

#include "policies/policy.h"

namespace reattend {

/// `policy` with the model's own plan in layers that have a window (docs/semantics.md, "Layers with a window"): they
/// attend to their last positions and choose nothing. The policy itself where no layer has one.
std::unique_ptr<Policy> leave_windows_alone(std::unique_ptr<Policy> policy, const RunShape& shape);

}  // namespace reattend
