// Adds up what a sequence holds; what a policy needs is asked of the policy and of its plans.
#include "engine/sequence_needs.h"

#include <algorithm>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/free_memory.h"
#include "kernels/choose.h"
#include "kernels/sketch.h"

namespace reattend {
namespace {

/// Bytes that a KV head keeps for a choice, of n positions at most.
int64_t summary_bytes(const Select& select, KvType kv, int32_t d_head, int32_t n) {
  if (reads_sketch(select)) return SketchLayout::of(select.sketch, kv, d_head, n).bytes(n);
  if (select.by == Rank::pages)
    return select.end / select.page * 2 * int64_t{d_head} * static_cast<int64_t>(sizeof(float));
  return 0;
}

/// Of all layers, by the plans of the last position, when everything is at its largest.
int64_t summary_bytes(const Policy& policy, const ModelShape& shape, KvType kv, int32_t n_prompt, int32_t n_ctx) {
  int64_t bytes = 0;
  for (int32_t layer = 0; n_ctx > n_prompt && layer < shape.n_layer; ++layer) {
    const Plan plan = policy.plan(layer, n_ctx - n_prompt);
    int64_t most = 0;  // a policy chooses by one kind
    for (const Select& select :
         {plan.branch.before, plan.branch.after, plan.else_branch.before, plan.else_branch.after}) {
      most = std::max(most, summary_bytes(select, kv, shape.d_head, n_ctx));
    }
    bytes += most * shape.n_kv_head;
  }
  return bytes;
}

}  // namespace

RunShape run_shape(const ModelShape& shape, int32_t n_prompt) {
  return {.n_layer = shape.n_layer,
          .n_head = shape.n_head,
          .n_kv_head = shape.n_kv_head,
          .d_head = shape.d_head,
          .n_prompt = n_prompt,
          .windows = shape.windows()};
}

SequenceNeeds needs_of(std::span<const Settings> settings, const ModelShape& shape, KvType kv, int32_t n_prompt,
                       int32_t n_ctx) {
  SequenceNeeds all;
  for (const Settings& each : settings) {
    each.check_against_model(shape.n_layer);
    const std::unique_ptr<Policy> policy = make_policy(each, run_shape(shape, n_prompt));
    const PromptNeeds one = policy->needs();
    all.prompt.row_sums = all.prompt.row_sums || one.row_sums;
    all.prompt.window = std::max(all.prompt.window, one.window);
    const int64_t bytes = summary_bytes(*policy, shape, kv, n_prompt, n_ctx);
    all.summaries = std::max(all.summaries, bytes);
    std::vector<std::string>& names = all.summarizing;
    if (bytes > 0 && std::ranges::find(names, each.policy()) == names.end()) names.push_back(each.policy());
  }
  return all;
}

int64_t position_bytes(const ModelShape& shape, KvType kv) {
  return 2 * row_bytes(kv, shape.d_head) * shape.n_kv_head;
}

int64_t sequence_bytes(const ModelShape& shape, KvType kv, int32_t n_ctx, const SequenceNeeds& needs) {
  int64_t bytes = needs.summaries;
  for (const LayerShape& layer : shape.layers) {
    const int64_t n =
        layer.window > 0 ? std::min<int64_t>(n_ctx, layer.window + 4 * kPiece) : n_ctx;  // a chunk, and parts of blocks
    bytes += n * position_bytes(shape, kv);
    if (needs.prompt.row_sums) bytes += int64_t{n_ctx} * shape.n_head * static_cast<int64_t>(sizeof(float));
  }
  return bytes;
}

void check_memory(const ModelShape& shape, KvType kv, int32_t n_ctx, const SequenceNeeds& needs) {
  constexpr double kGb = 1e9;
  const int64_t needed = sequence_bytes(shape, kv, n_ctx, needs), free = free_memory();
  if (needed <= free) return;
  const bool sums = needs.prompt.row_sums, summary = needs.summaries > 0;
  fail({.where = "memory",
        .expected = fmt::format("{:.1f} GB for keys and values of {} positions{}{} (cache {})",
                                static_cast<double>(needed) / kGb, n_ctx, sums ? ", sums of their rows" : "",
                                summary ? ", a summary of the keys" : "", name_of(kv)),
        .got = fmt::format("{:.1f} GB free", static_cast<double>(free) / kGb),
        .remedy = std::string("give a shorter prompt or fewer steps") + (kv == KvType::q8 ? "" : ", or --kv q8") +
                  (sums ? ", or leave the sums out (--no-prompt-rows where one records; h2o needs them)" : "") +
                  (summary ? fmt::format(", or another policy than {}", fmt::join(needs.summarizing, " or ")) : "")});
}

}  // namespace reattend
