// What the file of a policy needs: the interface, the shared parameters, and the end of its row.
#pragma once
#include <memory>

#include "policies/policy.h"
#include "policies/settings_enums.h"
#include "policies/shared_parameters.h"

namespace reattend {

/// PolicyInfo::make of a policy that is made from settings and shape.
template <class P>
std::unique_ptr<Policy> make(const Settings& settings, const RunShape& shape) {
  return std::make_unique<P>(settings, shape);
}

}  // namespace reattend
