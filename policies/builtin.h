// The constructors of the policies, one per file of this folder; the registry lists them.
#pragma once
#include <memory>

#include "policies/policy.h"

namespace reattend {

std::unique_ptr<Policy> make_full(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_oracle(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_recycled(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_streaming(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_streaming_refresh(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_h2o(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_snapkv(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_pyramidkv(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_tova(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_quest(const Settings& settings, const RunShape& shape);
std::unique_ptr<Policy> make_tokenselect(const Settings& settings, const RunShape& shape);

}  // namespace reattend
