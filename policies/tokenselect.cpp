// TokenSelect (arXiv 2411.02886, sections 4.2 and 4.3): all query heads vote, by softmax, on the positions between the
// first n_init and the last n_local; one choice of k for the layer:
//   vote_j = sum_h softmax_j(q_h k_j) over the middle;  attend to 0..n_init - 1, top-k of the middle, the local window
// Selection cache: while cos(q, C_Q) >= threshold, of all heads' queries concatenated, the last choice serves again,
// with what has left the window since.
#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/builtin.h"

namespace reattend {
namespace {

struct Parts {
  int32_t n_init, n_local, n_middle;
};

/// Given only K: a sixteenth and seven sixteenths of it, and the rest.
Parts parts_of(const Settings& settings, int32_t layer, int32_t n_prompt) {
  const auto part = [&](std::string_view key, int32_t otherwise) {
    return settings.is_auto(key) ? otherwise : count_of(settings, key, layer, n_prompt);
  };
  if (settings.is_auto("K")) return {part("n_init", 128), part("n_local", 512), part("k", 2048)};
  const int32_t budget = count_of(settings, "K", layer, n_prompt);
  const int32_t n_init = part("n_init", budget / 16);
  const int32_t n_local = part("n_local", static_cast<int32_t>(int64_t{7} * budget / 16));
  const int32_t rest = budget - n_init - n_local;
  if (rest < 0 || (!settings.is_auto("k") && part("k", 0) != rest)) {
    fail_usage({.where = "K",
                .expected = "n_init + n_local + k",
                .got = fmt::format("K = {}, n_init = {}, n_local = {}, k = {}", budget, n_init, n_local,
                                   part("k", std::max(0, rest))),
                .remedy = rest < 0 ? "give a larger K or smaller parts" : "leave one of them out"});
  }
  return {n_init, n_local, rest};
}

class TokenSelect final : public Policy {
 public:
  TokenSelect(const Settings& settings, const RunShape& shape)
      : n_prompt_(shape.n_prompt),
        cached_(settings.choice("selection_cache") == "on"),
        compare_{.present = true, .how = Similarity::concatenated, .stage = stage_of(settings)} {
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      layers_.push_back({parts_of(settings, l, shape.n_prompt), settings.real("threshold", l)});
    }
  }

  Plan plan(int32_t layer, int32_t t) const override {
    const auto& [parts, threshold] = layers_[static_cast<size_t>(layer)];
    const int32_t p = n_prompt_ - 1 + t, lead = std::min(parts.n_init, p);
    const Attend attend = {
        .lead = lead, .kept = true, .keep = parts.n_middle, .tail = -parts.n_local, .from_selected = true};
    const Branch again = {.attend = attend};
    const Branch anew = {.before = {.by = Rank::vote,
                                    .keep = parts.n_middle,
                                    .begin = lead,
                                    .end = std::max(lead, p - parts.n_local),
                                    .shared = true},
                         .attend = attend,
                         .full = true};
    if (t == 1 || !cached_) return {.compare = compare_, .branch = anew};
    return {.compare = compare_,
            .gated = true,
            .threshold = threshold,
            .or_equal = true,
            .branch = again,
            .else_branch = anew};
  }

 private:
  struct Layer {
    Parts parts;
    double threshold;
  };
  int32_t n_prompt_;
  bool cached_;
  Comparison compare_;
  std::vector<Layer> layers_;
};

constexpr Parameter part(std::string_view key, std::string_view flag, std::string_view help) {
  return {.key = key, .flag = flag, .initial = "auto", .allows_auto = true, .unit = "positions", .help = help};
}
constexpr Parameter kInit =
    part("n_init", "n-init", "first positions that are always attended to; auto: 128, or K/16 where K is given");
constexpr Parameter kLocal =
    part("n_local", "n-local", "last positions that are always attended to; auto: 512, or 7K/16 where K is given");
constexpr Parameter kMiddle =
    part("k", "n-middle", "positions selected between those; auto: 2048, or the rest of K where K is given");

constexpr std::string_view kSwitch[] = {"on", "off"};
constexpr Parameter kSelectionCache = {.key = "selection_cache",
                                       .flag = "selection-cache",
                                       .type = ParamType::choice,
                                       .initial = "on",
                                       .choices = kSwitch,
                                       .help = "off: select anew at every step, however similar the query"};

}  // namespace

PolicyInfo tokenselect_policy() {
  return {.name = "tokenselect",
          .source = "arXiv 2411.02886",
          .keeps = "first and latest positions, and what all heads vote for between them while the query stays similar",
          .reads = "the middle's keys at a selection, K positions",
          .memory = "the full cache and K positions",
          .cost = "L / 2 at a selection, and K",
          .parameters = {{kBudget, "auto"},
                         {kThreshold, "0.9", {&kSelectionCache, "on"}},
                         kSimilarityQuery,
                         kInit,
                         kLocal,
                         kMiddle,
                         kSelectionCache},
          .make = make<TokenSelect>};
}

}  // namespace reattend
