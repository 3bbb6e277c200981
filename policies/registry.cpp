// The list of policies; adding one is a file and a row here (and its parameters in policies/params.cpp).
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
     .cost = "L",
     .make = make_full},
    {.name = "recycled",
     .source = "arXiv 2411.05787",
     .keeps = "the K positions that the last full step attended to most, and all since",
     .reads = "K positions on partial steps, all on full ones",
     .memory = "the full cache and K positions per KV head",
     .cost = "L / S + K",
     .make = make_recycled},
    {.name = "oracle",
     .source = "an upper bound, not a method",
     .keeps = "the K positions that this very step attends to most",
     .reads = "all keys to choose, K positions to attend",
     .memory = "the full cache",
     .cost = "L / 2 + K",
     .make = make_oracle},
    {.name = "streaming",
     .source = "arXiv 2309.17453",
     .keeps = "the first positions and the latest",
     .reads = "K positions",
     .memory = "K positions: blocks left behind are given back",
     .cost = "K",
     .make = make_streaming},
    {.name = "streaming_refresh",
     .source = "baseline of arXiv 2411.05787",
     .keeps = "the first positions and the latest",
     .reads = "K positions, all on every S-th step",
     .memory = "the full cache",
     .cost = "L / S + K",
     .make = make_streaming_refresh},
    {.name = "h2o",
     .source = "arXiv 2306.14048",
     .keeps = "the latest K/2 and those that all queries so far attended to most; what left never returns",
     .reads = "K positions",
     .memory = "K positions would do, and a sum per query head and position",
     .cost = "K, and adding up K weights",
     .make = make_h2o},
    {.name = "snapkv",
     .source = "arXiv 2404.14469",
     .keeps = "what the last prompt queries attended to most, those tokens and all later ones",
     .reads = "K positions and all that was generated",
     .memory = "that many positions would do",
     .cost = "K + t",
     .make = make_snapkv},
    {.name = "pyramidkv",
     .source = "arXiv 2406.02069",
     .keeps = "as snapkv, with a budget that falls from layer to layer",
     .reads = "K positions on average and all that was generated",
     .memory = "that many positions would do",
     .cost = "K + t",
     .make = make_pyramidkv},
    {.name = "tova",
     .source = "arXiv 2401.06104",
     .keeps = "each step drops what its query attends to least, for the whole layer; what left never returns",
     .reads = "K positions",
     .memory = "K positions would do",
     .cost = "K, and ranking K weights",
     .make = make_tova},
    {.name = "quest",
     .source = "arXiv 2406.10774",
     .keeps = "the pages whose bounds promise most to this query, in all but the first layers",
     .reads = "bounds of all pages to choose, K positions to attend",
     .memory = "the full cache and bounds, 2 rows a page",
     .cost = "L / page + K; L in dense layers",
     .make = make_quest},
    {.name = "tokenselect",
     .source = "arXiv 2411.02886",
     .keeps = "first and latest positions, and what all heads vote for between them while the query stays similar",
     .reads = "the middle's keys at a selection, K positions",
     .memory = "the full cache and K positions",
     .cost = "L / 2 at a selection, and K",
     .make = make_tokenselect},
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
