// Recycled attention, later RefreshKV (arXiv 2411.05787, algorithm 1): full steps choose the K positions of highest
// pooled attention, partial steps attend to the best K - j + 1 of them and to everything since:
//   full at p:     attend to 0..p;  R = top-K of maxpool(reduce_h a_h);  selected_at = p;  q_ref = q
//   partial at p:  attend to top-(K - j + 1) of R and selected_at + 1 .. p,  j = p - selected_at
// A step is due when t % S == 0. schedule = fixed makes it full; schedule = query leaves it partial where
// cos(mean_h q_h, mean_h q_ref,h) > threshold.
#include <algorithm>
#include <vector>

#include "policies/builtin.h"

namespace reattend {
namespace {

class Recycled final : public Policy {
 public:
  Recycled(const Settings& settings, const RunShape& shape)
      : n_prompt_(shape.n_prompt),
        gated_(settings.choice("schedule") == "query"),
        compare_{.present = true,
                 .how = similarity_of(settings),
                 .stage = stage_of(settings),
                 .per_kv_head = is_per_kv_head(settings)} {
    const std::vector<int64_t> dense = settings.layers("dense_layers");
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      const int32_t keep = count_of(settings, "K", l, shape.n_prompt);
      const Attend partial = {.kept = true, .keep = keep, .ages = true, .tail = 1, .from_selected = true};
      const bool is_dense = std::find(dense.begin(), dense.end(), l) != dense.end();
      const bool attends = is_dense || settings.choice("refresh") == "attend";
      const Select select = {.by = Rank::row,
                             .reduce = reduce_of(settings),
                             .pool = count_of(settings, "pool", l, shape.n_prompt),
                             .keep = keep};
      layers_.push_back(
          {.dense = is_dense,
           .stride = settings.count_or_never("S", l),
           .threshold = settings.real("threshold", l),
           .partial = {.attend = partial},
           .full = {.attend = attends ? Attend{.everything = true} : partial, .after = select, .full = true}});
    }
  }

  Select prompt(int32_t layer) const override { return full(layer, n_prompt_ - 1).after; }

  Plan plan(int32_t layer, int32_t t) const override {
    const Layer& of = layers_[static_cast<size_t>(layer)];
    const Branch refresh = full(layer, n_prompt_ - 1 + t);
    const bool due = of.stride && t % *of.stride == 0;
    if (of.dense || (due && !gated_)) return {.compare = compare_, .branch = refresh};
    if (!due) return {.compare = compare_, .branch = of.partial};
    return {
        .compare = compare_, .gated = true, .threshold = of.threshold, .branch = of.partial, .else_branch = refresh};
  }

 private:
  struct Layer {
    bool dense;
    std::optional<int64_t> stride;  ///< nothing: never
    double threshold;
    Branch partial, full;
  };
  Branch full(int32_t layer, int32_t p) const {
    Branch branch = layers_[static_cast<size_t>(layer)].full;
    branch.after.end = p + 1;
    return branch;
  }

  int32_t n_prompt_;
  bool gated_;
  Comparison compare_;
  std::vector<Layer> layers_;
};

constexpr std::string_view kSchedules[] = {"fixed", "query"};
constexpr Parameter kSchedule = {
    .key = "schedule",
    .flag = "schedule",
    .type = ParamType::choice,
    .initial = "fixed",
    .choices = kSchedules,
    .tried = kSchedules,
    .help = "fixed: every due step is full; query: a due step is full where the query has moved away"};

constexpr Parameter kSimilarityReduce = {
    .key = "similarity_reduce",
    .flag = "similarity-reduce",
    .type = ParamType::choice,
    .initial = "mean_query",
    .choices = kSimilarityNames,
    .help = "cosine of the mean queries, or mean or minimum of the heads' cosines"};

constexpr std::string_view kGranularities[] = {"layer", "kv_head"};
constexpr Parameter kGranularity = {.key = "granularity",
                                    .flag = "granularity",
                                    .type = ParamType::choice,
                                    .initial = "layer",
                                    .choices = kGranularities,
                                    .help = "who decides at a due step: the layer, or each KV head for itself"};

constexpr std::string_view kRefreshes[] = {"attend", "score_only"};
constexpr Parameter kRefresh = {
    .key = "refresh",
    .flag = "refresh",
    .type = ParamType::choice,
    .initial = "attend",
    .choices = kRefreshes,
    .help = "score_only: a full step rebuilds the kept set, its output still comes from the old one"};

}  // namespace

PolicyInfo recycled_policy() {
  return {.name = "recycled",
          .source = "arXiv 2411.05787",
          .keeps = "the K positions that the last full step attended to most, and all since",
          .reads = "K positions on partial steps, all on full ones",
          .memory = "the full cache and K positions per KV head",
          .cost = "L / S + K",
          .parameters = {kStride,
                         kBudget,
                         kSchedule,
                         {kThreshold, {&kSchedule, "query"}},
                         kReduce,
                         kPool,
                         kSimilarityQuery,
                         kSimilarityReduce,
                         kGranularity,
                         kDenseLayers,
                         kRefresh},
          .make = make<Recycled>};
}

}  // namespace reattend
