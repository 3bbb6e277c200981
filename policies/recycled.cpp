// Recycled attention, later RefreshKV (arXiv 2411.05787, algorithm 1): full steps choose the K positions of highest
// pooled attention, partial steps attend to the best K - j + 1 of them and to everything since:
//   full at p:     attend to 0..p;  R = top-K of maxpool(reduce_h a_h);  stamp = p;  q_ref = q
//   partial at p:  attend to top-(K - j + 1) of R and stamp + 1 .. p,  j = p - stamp
// A step is due when t % S == 0. schedule = fixed makes it full; schedule = query leaves it partial where
// cos(mean_h q_h, mean_h q_ref,h) > threshold.
#include <algorithm>
#include <array>
#include <vector>

#include "policies/builtin.h"

namespace reattend {
namespace {

/// Index of a choice among names that are in the order of the enumeration.
template <class Enum, size_t n>
Enum to_enum(const std::string& name, const std::array<std::string_view, n>& names) {
  return static_cast<Enum>(std::find(names.begin(), names.end(), name) - names.begin());
}

class Recycled final : public Policy {
 public:
  Recycled(const Settings& settings, const RunShape& shape)
      : gated_(settings.choice("schedule") == "query"),
        compare_{.present = true,
                 .how = to_enum<Similarity, 3>(settings.choice("similarity_reduce"),
                                               {"mean_query", "mean_cosine", "min_cosine"}),
                 .stage = to_enum<QueryStage, 2>(settings.choice("similarity_query"), {"pre_rope", "post_rope"}),
                 .per_kv_head = settings.choice("granularity") == "kv_head"} {
    const std::vector<int64_t> dense = settings.layers("dense_layers");
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      const auto keep = static_cast<int32_t>(settings.count("K", l, shape.n_prompt));
      const Attend partial = {.kept = true, .keep = keep, .ages = true, .after_stamp = true};
      const bool is_dense = std::find(dense.begin(), dense.end(), l) != dense.end();
      const bool attends = is_dense || settings.choice("refresh") == "attend";
      const After select = {.select = true,
                            .reduce = to_enum<Reduce, 3>(settings.choice("reduce"), {"max", "mean", "first"}),
                            .pool = static_cast<int32_t>(settings.count("pool", l, shape.n_prompt)),
                            .keep = keep};
      layers_.push_back(
          {.dense = is_dense,
           .stride = settings.count_or_never("S", l),
           .threshold = settings.real("threshold", l),
           .partial = {.attend = partial},
           .full = {.attend = attends ? Attend{.everything = true} : partial, .after = select, .full = true}});
    }
  }

  After prompt(int32_t layer) const override { return layers_[static_cast<size_t>(layer)].full.after; }

  Plan plan(int32_t layer, int32_t t) const override {
    const Layer& of = layers_[static_cast<size_t>(layer)];
    const bool due = of.stride && t % *of.stride == 0;
    if (of.dense || (due && !gated_)) return {.compare = compare_, .branch = of.full};
    if (!due) return {.compare = compare_, .branch = of.partial};
    return {.compare = compare_, .gated = true, .threshold = of.threshold, .branch = of.partial, .otherwise = of.full};
  }

 private:
  struct Layer {
    bool dense;
    std::optional<int64_t> stride;  ///< nothing: never
    double threshold;
    Branch partial, full;
  };
  bool gated_;
  Comparison compare_;
  std::vector<Layer> layers_;
};

}  // namespace

std::unique_ptr<Policy> make_recycled(const Settings& settings, const RunShape& shape) {
  return std::make_unique<Recycled>(settings, shape);
}

}  // namespace reattend
