// Quest (arXiv 2406.10774, algorithm 1): pages of cached positions keep the minimum and maximum of each key channel;
//   score of a page = sum_c max(q_c min_c, q_c max_c), an upper bound of q k, over the group by max
// Each step attends to ceil(K / page) pages, the last (possibly partial) one always among them, and to p.
#include <algorithm>
#include <vector>

#include "policies/builtin.h"

namespace reattend {
namespace {

class Quest final : public Policy {
 public:
  Quest(const Settings& settings, const RunShape& shape)
      : n_prompt_(shape.n_prompt), page_(count_of(settings, "page", 0, shape.n_prompt)) {
    // The default names layers 0 and 1, which a model need not have.
    const std::vector<int64_t> dense = settings.layers("dense_layers");
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      const int32_t keep = count_of(settings, "K", l, shape.n_prompt);
      layers_.push_back(
          {.dense = std::find(dense.begin(), dense.end(), l) != dense.end(), .n_page = (keep + page_ - 1) / page_});
    }
  }

  Plan plan(int32_t layer, int32_t t) const override {
    const auto [dense, n_page] = layers_[static_cast<size_t>(layer)];
    if (dense) return {.branch = {.attend = {.everything = true}, .full = true}};
    const int32_t p = n_prompt_ - 1 + t, last = (p - 1) / page_ * page_;
    const Select select = {.by = Rank::pages, .keep = n_page - 1, .end = last, .page = page_};
    return {.branch = {.before = select, .attend = {.kept = true, .keep = select.keep * page_, .tail = last}}};
  }

 private:
  struct Layer {
    bool dense;
    int32_t n_page;
  };
  int32_t n_prompt_, page_;
  std::vector<Layer> layers_;
};

constexpr Parameter kPage = {.key = "page",
                             .flag = "page",
                             .initial = "16",
                             .low = 1,
                             .high = 4096,
                             .unit = "positions",
                             .help = "size of a page of cached positions"};

}  // namespace

PolicyInfo quest_policy() {
  return {.name = "quest",
          .source = "arXiv 2406.10774",
          .keeps = "the pages whose bounds promise most to this query, in all but the first layers",
          .reads = "bounds of all pages to choose, K positions to attend",
          .memory = "the full cache and bounds, 2 rows a page",
          .cost = "L / page + K; L in dense layers",
          .parameters = {kBudget, {kDenseLayers, "[0, 1]"}, kPage},
          .make = make<Quest>};
}

}  // namespace reattend
