// The constructors of the policies, one per file of this folder; the registry lists them.
#pragma once
#include <memory>

#include "policies/policy.h"

namespace reattend {

std::unique_ptr<Policy> make_full(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_recycled(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_streaming(const Settings& settings, const RunShape& shape);

}  // namespace reattend
