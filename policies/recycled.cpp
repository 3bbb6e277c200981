// Recycled attention, later RefreshKV (arXiv 2411.05787, algorithm 1): full steps choose the K positions of highest
// pooled attention, partial steps attend to the best K - j + 1 of them and to everything since:
//   full at p:     attend to 0..p;  R = top-K of maxpool(reduce_h a_h);  stamp = p;  q_ref = q
//   partial at p:  attend to top-(K - j + 1) of R and stamp + 1 .. p,  j = p - stamp
// A step is due when t % S == 0. schedule = fixed makes it full; schedule = query leaves it partial where
// cos(mean_h q_h, mean_h q_ref,h) > threshold.
#include <vector>

#include "policies/builtin.h"
#include "policies/words.h"

namespace reattend {
namespace {

class Recycled final : public Policy {
 public:
  Recycled(const Settings& settings, const RunShape& shape)
      : n_prompt_(shape.n_prompt),
        gated_(settings.choice("schedule") == "query"),
        compare_{.present = true,
                 .how = to_enum<Similarity, 3>(settings.choice("similarity_reduce"),
                                               {"mean_query", "mean_cosine", "min_cosine"}),
                 .stage = stage_of(settings),
                 .per_kv_head = settings.choice("granularity") == "kv_head"} {
    const std::vector<int64_t> dense = settings.layers("dense_layers");
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      const int32_t keep = count_of(settings, "K", l, shape.n_prompt);
      const Attend partial = {.kept = true, .keep = keep, .ages = true, .tail = 1, .from_stamp = true};
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
    return {.compare = compare_, .gated = true, .threshold = of.threshold, .branch = of.partial, .otherwise = refresh};
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

}  // namespace

std::unique_ptr<Policy> make_recycled(const Settings& settings, const RunShape& shape) {
  return std::make_unique<Recycled>(settings, shape);
}

}  // namespace reattend
