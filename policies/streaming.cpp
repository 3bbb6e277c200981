// StreamingLLM (arXiv 2309.17453, section 3.2): the first `sinks` positions and the last K - sinks cached ones, then p.
// rotate = cache gives keys the rank they have in this set instead of their position, as the original does.
// StreamingLLM++ (`streaming_refresh`, a baseline of arXiv 2411.05787): the same, with a full step where t % S == 0.
#include <algorithm>
#include <vector>

#include "policies/builtin.h"

namespace reattend {
namespace {

class Streaming final : public Policy {
 public:
  Streaming(const Settings& settings, const RunShape& shape)
      : n_prompt_(shape.n_prompt), rotates_(settings.choice("rotate") == "cache") {
    for (int32_t l = 0; l < shape.n_layer; ++l) {
      const int32_t keep = count_of(settings, "K", l, shape.n_prompt);
      layers_.push_back({.keep = keep,
                         .sinks = std::min(count_of(settings, "sinks", l, shape.n_prompt), keep),
                         .stride = settings.takes("S") ? settings.count_or_never("S", l) : std::nullopt});
    }
  }

  Plan plan(int32_t layer, int32_t t) const override {
    const auto& [keep, sinks, stride] = layers_[static_cast<size_t>(layer)];
    const int32_t p = n_prompt_ - 1 + t;
    if (stride && t % *stride == 0) return {.branch = {.attend = {.everything = true}, .full = true}};
    // In a complete set ranks are positions: no rotation, so that it stays equal to `full` bit for bit.
    if (p <= keep) return {.branch = {.attend = {.everything = true}}};
    const int32_t tail = p - (keep - sinks);
    Branch branch = {.attend = {.lead = sinks, .tail = tail, .rank_rotation = rotates_}};
    if (!stride) branch.forget_begin = sinks, branch.forget_end = tail;
    return {.branch = branch};
  }

 private:
  struct Layer {
    int32_t keep, sinks;
    std::optional<int64_t> stride;  ///< nothing: never
  };
  int32_t n_prompt_;
  bool rotates_;
  std::vector<Layer> layers_;
};

constexpr std::string_view kRotations[] = {"absolute", "cache"};
constexpr Parameter kRotate = {.key = "rotate",
                               .flag = "rotate",
                               .type = ParamType::choice,
                               .initial = "absolute",
                               .choices = kRotations,
                               .help = "keys at their absolute positions, or rotated again by their rank in the set"};

}  // namespace

PolicyInfo streaming_policy() {
  return {.name = "streaming",
          .source = "arXiv 2309.17453",
          .keeps = "the first positions and the latest",
          .reads = "K positions",
          .memory = "K positions: blocks left behind are given back",
          .cost = "K",
          .parameters = {kBudget, kSinks, kRotate},
          .make = make<Streaming>};
}

PolicyInfo streaming_refresh_policy() {
  return {.name = "streaming_refresh",
          .source = "baseline of arXiv 2411.05787",
          .keeps = "the first positions and the latest",
          .reads = "K positions, all on every S-th step",
          .memory = "the full cache",
          .cost = "L / S + K",
          .parameters = {kStride, kBudget, kSinks, kRotate},
          .make = make<Streaming>};
}

}  // namespace reattend
