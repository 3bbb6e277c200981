// The list of policies; adding one is a file and a row here (and its parameters in base/params.cpp).
#include <fmt/format.h>

#include "base/error.h"
#include "policies/builtin.h"

namespace reattend {
namespace {

constexpr PolicyInfo kPolicies[] = {
    {.name = "full",
     .source = "arXiv 1706.03762",
     .keeps = "everything",
     .reads = "every cached position at every step",
     .memory = "the full cache",
     .cost = "L per step",
     .make = make_full},
    {.name = "recycled",
     .source = "arXiv 2411.05787",
     .keeps = "the K positions that the last full step attended to most, and all since",
     .reads = "K positions on partial steps, all on full ones",
     .memory = "the full cache and K positions per KV head",
     .cost = "L / S + K per step",
     .make = make_recycled},
    {.name = "streaming",
     .source = "arXiv 2309.17453",
     .keeps = "the first positions and the latest",
     .reads = "K positions at every step",
     .memory = "K positions would do",
     .cost = "K per step",
     .make = make_streaming},
};

}  // namespace

std::span<const PolicyInfo> policy_registry() {
  return kPolicies;
}

std::unique_ptr<Policy> make_policy(const Settings& settings, const RunShape& shape) {
  std::string names;
  for (const PolicyInfo& info : kPolicies) {
    if (info.name == settings.policy()) {
      settings.check_against_model(shape.n_layer);
      return info.make(settings, shape);
    }
    names += (names.empty() ? "" : ", ") + std::string(info.name);
  }
  fail_usage({.where = "policy",
              .expected = "one of " + names,
              .got = fmt::format("\"{}\"", settings.policy()),
              .remedy = {}});
}

}  // namespace reattend
