// Reads plans the way that the replay's simulation does (replay/decisions.h).
#include "viz/session/step_reasons.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "policies/policy.h"
#include "policies/shared_parameters.h"

namespace reattend::viz {

StepReasons::StepReasons(const LayerReplay& layer, const Settings& settings, const TraceInfo& info)
    : layer_(layer),
      n_kv_head_(info.n_kv_head),
      n_prompt_(info.n_prompt),
      policy_(make_policy(settings, info.run_shape())),
      has_stride_(settings.takes(kStride.key)) {
  if (has_stride_) stride_ = settings.count_or_never(kStride.key, layer.layer);
  if (settings.takes(kDenseLayers.key)) {
    dense_ = std::ranges::count(settings.layers(kDenseLayers.key), int64_t{layer.layer}) > 0;
  }
}

StepReason StepReasons::of(int32_t t, int32_t kv_head) const {
  using Kind = StepReason::Kind;
  const auto at = static_cast<size_t>(int64_t{t - 1} * n_kv_head_ + kv_head);
  const Plan plan = policy_->plan(layer_.layer, t);
  StepReason out = {.stride = stride_,
                    .similarity = layer_.cos[at],
                    .threshold = plan.threshold,
                    .or_equal = plan.or_equal,
                    .step = t};
  const auto due = [&] { return stride_ && t % *stride_ == 0; };
  if (plan.gated) {
    out.kind = std::isnan(out.similarity) ? Kind::first : stays(plan, out.similarity) ? Kind::alike : Kind::drifted;
  } else if (dense_) {
    out.kind = Kind::dense;
  } else if (plan.branch.full) {
    const bool before_gate = t == 1 && policy_->plan(layer_.layer, 2).gated;
    out.kind = due() ? Kind::scheduled : before_gate ? Kind::first : Kind::every_step;
  } else if (layer_.positions[at] == n_prompt_ + t) {
    out.kind = Kind::everything;
  } else if (has_stride_) {
    out.kind = Kind::not_due;
  } else {
    out.kind = plan.branch.before.chooses() ? Kind::within : plan.branch.after.chooses() ? Kind::behind : Kind::keeps;
  }
  return out;
}

std::string in_words(const StepReason& reason) {
  using Kind = StepReason::Kind;
  switch (reason.kind) {
    case Kind::scheduled:
      return fmt::format("due by the schedule, S = {}", *reason.stride);
    case Kind::not_due:
      if (!reason.stride) return "no step is due, S = never";
      return fmt::format("not due before step {}, S = {}", (reason.step / *reason.stride + 1) * *reason.stride,
                         *reason.stride);
    case Kind::drifted:
      return fmt::format("query drifted: cosine {:.6g} is {} the threshold {:g}", reason.similarity,
                         reason.or_equal ? "below" : "not above", reason.threshold);
    case Kind::alike:
      return fmt::format("due, but the query is alike: cosine {:.6g} is {} the threshold {:g}", reason.similarity,
                         reason.or_equal ? "not below" : "above", reason.threshold);
    case Kind::first:
      return "the first choice of the decode: there is none to compare queries with";
    case Kind::dense:
      return "the layer is dense: every step attends to everything";
    case Kind::every_step:
      return "the policy chooses at every step";
    case Kind::within:
      return "the policy chooses at every step what that step attends to";
    case Kind::behind:
      return "the policy goes on with its set, and renews it behind every step";
    case Kind::everything:
      return "as many positions are kept as there are";
    case Kind::keeps:
      break;
  }
  return "the policy has no other steps";
}

}  // namespace reattend::viz
