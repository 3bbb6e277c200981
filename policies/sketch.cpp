// Sketch: every step chooses anew, by a row that is estimated from a 2-bit copy of the keys. The copy has a range by
// channel and block of positions, as KIVI quantises keys (arXiv 2402.02750, section 3.2); of it are read the channels
// that this query weighs most, as SparQ reads keys (arXiv 2312.04985, section 3.1), here by |q| times the width of a
// code. Attended to are the first `sinks`, the last `recent`, the best between them, and p:
//   score_j = pool(reduce_h(softmax_j(sum_c q_hc x_jc))), x_jc the middle of the code's bin, or of the block's range
//             where channel c is not read; exact for sinks and p
// With `reuse` a choice serves for as long as the query stays similar, and every token since is attended to as well.
// With min_weight what scores below it is not read either: one threshold for all heads spends a budget where rows have
// their weight (Twilight, arXiv 2502.02770, cuts by top-p instead).
#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/builtin.h"

namespace reattend {
namespace {

constexpr Parameter kBlock = {.key = "block",
                              .flag = "block",
                              .initial = "256",
                              .low = 1,
                              .unit = "positions",
                              .help = "that share a channel's range"};

constexpr Parameter kBits = {.key = "bits",
                             .flag = "bits",
                             .initial = "2",
                             .low = 1,
                             .high = 8,
                             .unit = "bits",
                             .help = "of a key's channel in the copy"};

constexpr std::string_view kTriedChannels[] = {"auto", "32"};
constexpr Parameter kChannels = {.key = "channels",
                                 .flag = "channels",
                                 .initial = "auto",
                                 .low = 1,
                                 .allows_auto = true,
                                 .tried = kTriedChannels,
                                 .unit = "channels",
                                 .help = "of the copy that a choice reads, of d_head; auto: a quarter"};

constexpr Parameter kRecent = {
    .key = "recent",
    .flag = "recent",
    .initial = "16",
    .unit = "positions",
    .help = "last cached positions that are always attended to, of the budget that sinks leave"};

constexpr std::string_view kTriedWeights[] = {"0", "0.0005"};
constexpr Parameter kMinWeight = {
    .key = "min_weight",
    .flag = "min-weight",
    .type = ParamType::real,
    .initial = "0",
    .low = 0,
    .high = 1,
    .decades = true,
    .tried = kTriedWeights,
    .unit = "weight",
    .help = "estimated weight below which a position is not attended to, K then being the most; 0 is off"};

constexpr Parameter kMinKept = {
    .key = "min_k",
    .flag = "min-k",
    .initial = "32",
    .unit = "positions",
    .help = "cached positions that min_weight leaves in any case, sinks and recent ones included"};

/// A name of its own beside `threshold`: off unless asked for, and not tried by a tuner: what it does differs by model
/// and text.
constexpr Parameter kReuse = {
    .key = "reuse",
    .flag = "reuse",
    .type = ParamType::real,
    .initial = "2",
    .low = -1,
    .high = 2,
    .off_above = 1,
    .unit = "cosine",
    .help = "a KV head's last choice serves again while its query is more similar than this; above 1 it never does"};

class SketchPolicy final : public Policy {
 public:
  SketchPolicy(const Settings& settings, const RunShape& shape)
      : n_prompt_(shape.n_prompt),
        least_(count_of(settings, "min_k", 0, shape.n_prompt)),
        reuse_(settings.real("reuse", 0)),
        compare_{.present = reuse_ <= 1, .stage = stage_of(settings), .per_kv_head = true} {
    const auto count = [&](std::string_view key, int32_t l) { return count_of(settings, key, l, shape.n_prompt); };
    const std::vector<int64_t> dense = settings.layers("dense_layers");
    const int32_t channels = settings.is_auto("channels") ? (shape.d_head + 3) / 4 : count("channels", 0);
    if (channels > shape.d_head) {
      fail_usage({.where = "channels",
                  .expected = fmt::format("at most {}, the model's d_head", shape.d_head),
                  .got = fmt::format("{}", channels),
                  .remedy = "give fewer, or auto for a quarter"});
    }
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      const int32_t keep = count("K", l), sinks = std::min(count("sinks", l), keep);
      layers_.push_back({.dense = std::find(dense.begin(), dense.end(), l) != dense.end(),
                         .keep = keep,
                         .sinks = sinks,
                         .recent = std::min(count("recent", l), keep - sinks)});
    }
    select_ = {.by = Rank::sketch,
               .reduce = reduce_of(settings),
               .pool = count("pool", 0),
               .ascending = true,
               .sketch = {.block = count("block", 0), .bits = count("bits", 0), .channels = channels},
               .min_weight = settings.real("min_weight", 0)};
  }

  Plan plan(int32_t layer, int32_t t) const override {
    const auto& [dense, keep, sinks, recent] = layers_[static_cast<size_t>(layer)];
    const int32_t p = n_prompt_ - 1 + t;
    if (dense || p <= keep) return {.branch = {.attend = {.everything = true}, .full = dense}};
    Select select = select_;
    select.keep = keep - sinks - recent;
    select.begin = sinks, select.end = p - recent;
    select.sketch.first = sinks;
    select.least = std::max(0, least_ - sinks - recent);
    const Attend attend = {.lead = sinks, .kept = true, .keep = select.keep, .tail = -recent, .from_selected = true};
    const Branch anew = {.before = select, .attend = attend};
    if (!compare_.present) return {.branch = anew};
    // Without a choice that could serve there is no cosine either, and the first step makes one.
    return {.compare = compare_, .gated = true, .threshold = reuse_, .branch = {.attend = attend}, .else_branch = anew};
  }

 private:
  struct Layer {
    bool dense;
    int32_t keep, sinks, recent;
  };
  int32_t n_prompt_, least_;
  double reuse_;
  Comparison compare_;
  Select select_;  ///< but for what depends on layer and step
  std::vector<Layer> layers_;
};

}  // namespace

PolicyInfo sketch_policy() {
  return {
      .name = "sketch",
      .source = "docs/sketch.md",
      .keeps = "first and latest positions, and what this query weighs most by a 2-bit copy of the keys",
      .reads =
          "ranges and a quarter of the channels of the copy to choose, at most K positions to attend (with reuse more)",
      .memory = "the full cache and the copy (a fifteenth of it)",
      .cost = "L / 50 + K",
      .parameters = {kBudget,
                     kBlock,
                     kBits,
                     kChannels,
                     kSinks,
                     kRecent,
                     kReduce,
                     {kPool, "1"},
                     kMinWeight,
                     {kMinKept, {&kMinWeight, "0", Condition::Is::above}},
                     kReuse,
                     {kSimilarityQuery, {&kReuse, "1", Condition::Is::at_most}},
                     kDenseLayers},
      .make = make<SketchPolicy>};
}

}  // namespace reattend
