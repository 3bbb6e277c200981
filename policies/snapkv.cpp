// SnapKV (arXiv 2404.14469, section 4): once, after the prompt, the rows of its last `window` queries are summed and
// pooled; the K - window best positions before the window stay, with the window and all that is generated.
// PyramidKV (arXiv 2406.02069, section 4): the same with a budget that falls from layer to layer, K on average:
//   C = K - window,  least = C / beta,  K_l = window + (2 C - least) - l (2 C - 2 least) / (n_layer - 1)
#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/builtin.h"

namespace reattend {
namespace {

/// In integers, so rounded down once.
int32_t pyramid(int64_t c, int64_t beta, int32_t layer, int32_t n_layer) {
  if (n_layer == 1) return static_cast<int32_t>(c);
  const int64_t n = n_layer - 1;
  return static_cast<int32_t>(c * ((2 * beta - 1) * n - 2 * layer * (beta - 1)) / (beta * n));
}

class SnapKV final : public Policy {
 public:
  SnapKV(const Settings& settings, const RunShape& shape)
      : n_prompt_(shape.n_prompt),
        reduce_(reduce_of(settings)),
        pool_(count_of(settings, "pool", 0, shape.n_prompt)),
        window_(std::min(count_of(settings, "window", 0, shape.n_prompt), shape.n_prompt)) {
    const int32_t asked = count_of(settings, "window", 0, shape.n_prompt);
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      const int32_t keep = count_of(settings, "K", l, shape.n_prompt);
      if (asked > keep) {
        fail_usage({.where = "window",
                    .expected = fmt::format("at most the budget K, {} positions in layer {}", keep, l),
                    .got = fmt::format("{}", asked),
                    .remedy = "give a smaller window or a larger K"});
      }
      if (shape.n_prompt <= keep) {
        before_window_.push_back(n_prompt_ - window_);
      } else if (settings.takes("beta")) {
        // A layer with a window of its own has an entry that nobody reads.
        before_window_.push_back(
            pyramid(keep - window_, settings.count("beta", l, n_prompt_), shape.n_acting_before(l), shape.n_acting()));
      } else {
        before_window_.push_back(keep - window_);
      }
    }
  }

  PromptNeeds needs() const override { return {.window = window_}; }

  Select prompt(int32_t layer) const override {
    return {.by = Rank::window,
            .reduce = reduce_,
            .pool = pool_,
            .keep = before_window_[static_cast<size_t>(layer)],
            .end = n_prompt_ - window_,
            .window = window_};
  }

  Plan plan(int32_t layer, int32_t) const override {
    return {
        .branch = {
            .attend = {.kept = true, .keep = before_window_[static_cast<size_t>(layer)], .tail = n_prompt_ - window_}}};
  }

 private:
  int32_t n_prompt_;
  Reduce reduce_;
  int32_t pool_, window_;
  std::vector<int32_t> before_window_;  ///< [n_layer] positions kept before the window
};

constexpr Parameter kWindow = {.key = "window",
                               .flag = "window",
                               .initial = "32",
                               .low = 1,
                               .unit = "positions",
                               .help = "last prompt tokens: their queries choose, and they stay"};

constexpr Parameter kBeta = {.key = "beta",
                             .flag = "beta",
                             .initial = "20",
                             .low = 1,
                             .high = 1000,
                             .unit = "1",
                             .help = "the last layer's share of the budget is 1/beta of the mean"};

}  // namespace

PolicyInfo snapkv_policy() {
  return {.name = "snapkv",
          .source = "arXiv 2404.14469",
          .keeps = "what the last prompt queries attended to most, those tokens and all later ones",
          .reads = "K positions and all that was generated",
          .memory = "that many positions would do",
          .cost = "K + t",
          .parameters = {kBudget, kReduce, kPool, kWindow},
          .make = make<SnapKV>};
}

PolicyInfo pyramidkv_policy() {
  return {.name = "pyramidkv",
          .source = "arXiv 2406.02069",
          .keeps = "as snapkv, with a budget that falls from layer to layer",
          .reads = "K positions on average and all that was generated",
          .memory = "that many positions would do",
          .cost = "K + t",
          .parameters = {kBudget, kReduce, kPool, {kWindow, "8"}, kBeta},
          .make = make<SnapKV>};
}

}  // namespace reattend
