// Subtracts, and says it in words.
#include "viz/session/differences.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "replay/cost/cost.h"
#include "viz/session/baseline.h"
#include "viz/session/session.h"
#include "viz/session/tried.h"

namespace reattend::viz {
namespace {

/// Null where there is no answer of the baseline, or its layers are not this model's.
const AsyncAnswer* comparable_answer(const Session& session) {
  if (session.trace() == nullptr) return nullptr;
  const Baseline& baseline = session.data<Baseline>();
  if (!baseline.answer() || baseline.tuning() == nullptr) return nullptr;
  const TraceInfo &here = session.trace()->info, &there = baseline.tuning()->traces.front().info;
  return here.n_layer == there.n_layer && here.n_kv_head == there.n_kv_head ? baseline.answer().get() : nullptr;
}

std::string kl_part(const Metrics& now, const Metrics& before, const TuneResult& tuned) {
  const bool has_kl = !std::isnan(now.predicted_kl) && !std::isnan(before.predicted_kl);
  const double a = has_kl ? now.predicted_kl : now.estimate, b = has_kl ? before.predicted_kl : before.estimate;
  const std::string what = has_kl ? "KL" : tuned.prediction.estimate;
  if (std::isnan(a) || std::isnan(b)) return {};
  if (a == b) return "the same " + what;
  return fmt::format("{} {:.2g} {}", what, std::abs(a - b), a < b ? "lower" : "higher");
}

std::string cost_part(const Metrics& now, const Metrics& before, bool calibrated) {
  // Less is not shown by the strip's two digits.
  constexpr double kAlike = 0.005;
  const double more = now.cost - before.cost;
  if (std::isnan(more)) return {};
  if (!calibrated) {
    return std::abs(more) < kAlike ? "as many MB/token"
                                   : fmt::format("{:.2g} MB/token {}", std::abs(more), more > 0 ? "more" : "less");
  }
  return std::abs(more) < kAlike ? "as fast"
                                 : fmt::format("{:.2g} ms/token {}", std::abs(more), more > 0 ? "slower" : "faster");
}

}  // namespace

std::string baseline_name(const Session& session) {
  const std::optional<Baseline::Pinned>& pinned = session.data<Baseline>().pinned();
  if (!pinned) return {};
  const std::string setting = in_few_words(pinned->settings, session.settings());
  return pinned->trace.empty() ? "the baseline " + setting
                               : fmt::format("the baseline {} under {}", pinned->trace.filename().string(), setting);
}

std::string not_comparable(const TraceInfo& here, const TraceInfo& there) {
  std::vector<std::string> parts;
  if (!are_of_one_model(here, there)) parts.emplace_back("KL: it is another model's");
  if (here.n_layer != there.n_layer || here.n_kv_head != there.n_kv_head) {
    parts.push_back(fmt::format("layers: {} of {} KV heads here, {} of {} there", here.n_layer, here.n_kv_head,
                                there.n_layer, there.n_kv_head));
  }
  if (here.n_prompt != there.n_prompt || here.n_step != there.n_step) {
    parts.push_back(fmt::format("steps: {} behind {} tokens here, {} behind {} there", here.n_step, here.n_prompt,
                                there.n_step, there.n_prompt));
  }
  if (is_calibrated(here.calibration) != is_calibrated(there.calibration)) {
    parts.push_back(
        fmt::format("time: {} trace has no calibration", is_calibrated(here.calibration) ? "the baseline's" : "this"));
  }
  return parts.empty() ? std::string() : fmt::format("not compared: {}", fmt::join(parts, "; "));
}

GoalText difference_in_words(const Session& session) {
  if (session.tuning() == nullptr) return {};
  const Baseline& baseline = session.data<Baseline>();
  if (!baseline.pinned()) return {};
  const std::string name = baseline_name(session);
  if (!baseline.error().empty()) return {name + " cannot be replayed", baseline.error()};
  if (!session.shows_trial()) return {"this is " + name, "the setting under trial is back when the key is let go"};
  const Judged *const now = session.data<Goal>().judged(), *const before = baseline.judged();
  if (baseline.on_this_trace() && baseline.pinned()->settings == session.settings()) {
    return {"this is " + name, "another setting is held against it"};
  }
  if (now == nullptr || before == nullptr) {
    return {"difference to " + name + " \u2026", "once both are replayed with their output errors"};
  }
  GoalText out = {.current = now->settings == session.settings() && session.setting_error().empty()};
  const TuneResult &here = *session.tuning(), &there = *baseline.tuning();
  const TraceInfo &info = here.traces.front().info, &other = there.traces.front().info;
  std::vector<std::string> parts;
  const auto add = [&](const std::string& part) {
    if (!part.empty()) parts.push_back(part);
  };
  if (are_of_one_model(info, other)) add(kl_part(now->metrics, before->metrics, here));
  if (here.calibrated == there.calibrated) add(cost_part(now->metrics, before->metrics, here.calibrated));
  out.help = baseline.on_this_trace() ? std::string() : not_comparable(info, other);
  if (!baseline.on_this_trace() && here.calibrated && there.calibrated &&
      info.attribute("device") != other.attribute("device")) {
    out.help += (out.help.empty() ? "" : "; ") + std::string("times are of two machines");
  }
  if (parts.empty()) {
    out.text = name + " cannot be compared";
    return out;
  }
  out.text = fmt::format("{} than {}", fmt::join(parts, ", "), name);
  const auto same = [](const std::string& part) { return part.starts_with("the same") || part.starts_with("as "); };
  if (std::ranges::all_of(parts, same)) out.text = fmt::format("{} as {}", fmt::join(parts, ", "), name);
  return out;
}

std::string than_baseline(const Session& session, double now, double baseline, const char* format) {
  if (std::isnan(now) || std::isnan(baseline)) return {};
  const std::string before = fmt::format(fmt::runtime(format), baseline), name = baseline_name(session);
  if (now == baseline) return fmt::format("the same as under {} ({})", name, before);
  return fmt::format("{} {} than under {} ({})", fmt::format(fmt::runtime(format), std::abs(now - baseline)),
                     now > baseline ? "more" : "less", name, before);
}

std::string signed_difference(double now, double baseline, const char* format) {
  if (std::isnan(now) || std::isnan(baseline)) return {};
  const std::string size = fmt::format(fmt::runtime(format), std::abs(now - baseline));
  const bool nothing = size == fmt::format(fmt::runtime(format), 0.0);
  return (nothing ? "\u00b1" : now > baseline ? "+" : "\u2212") + size;
}

const ReplaySummary* baseline_layer(const Session& session, int32_t layer) {
  const AsyncAnswer* const answer = comparable_answer(session);
  const bool known = answer != nullptr && answer->layers[static_cast<size_t>(layer)];
  return known ? &answer->per_layer[static_cast<size_t>(layer)] : nullptr;
}

const ReplaySummary* baseline_total(const Session& session) {
  const AsyncAnswer* const answer = comparable_answer(session);
  return answer != nullptr && answer->has_masses ? &answer->total : nullptr;
}

std::optional<BaselineLayer> baseline_lane(const Session& session) {
  const AsyncAnswer* const answer = comparable_answer(session);
  const LayerReplay* const replay =
      answer != nullptr ? answer->layers[static_cast<size_t>(session.selection().layer)].get() : nullptr;
  if (replay == nullptr) return std::nullopt;
  const Baseline& baseline = session.data<Baseline>();
  const TraceInfo &here = session.trace()->info, &there = baseline.tuning()->traces.front().info;
  return BaselineLayer{.replay = replay,
                       .info = &there,
                       .same_steps = here.n_step == there.n_step && here.n_prompt == there.n_prompt,
                       .name = baseline.on_this_trace() ? "baseline" : baseline.pinned()->trace.filename().string()};
}

std::shared_ptr<const PositionMasks> baseline_masks(const Session& session) {
  const Baseline& baseline = session.data<Baseline>();
  if (!baseline.on_this_trace() || !baseline.answer()) return nullptr;
  const Selection& at = session.selection();
  const AsyncAnswer& answer = *baseline.answer();
  return answer.sets_of.layer == at.layer && answer.sets_of.kv_head == at.kv_head ? answer.masks : nullptr;
}

std::optional<bool> baseline_attends(const Session& session, int32_t step, int32_t position) {
  const std::shared_ptr<const PositionMasks> masks = baseline_masks(session);
  const bool known =
      masks && masks->holds_step(step) && position >= 0 && position < session.trace()->info.n_prompt + step;
  return known ? std::optional(masks->holds(step, position)) : std::nullopt;
}

}  // namespace reattend::viz
