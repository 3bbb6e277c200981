// Judges what the replay found, with the tuner's own law, and says it in words.
#include "viz/session/goal.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "replay/cost/cost.h"
#include "replay/estimates.h"
#include "tune/judge.h"
#include "viz/session/landscape.h"
#include "viz/session/session.h"
#include "viz/session/tried.h"

namespace reattend::viz {

std::shared_ptr<const TuneResult> tuning_of(const TraceInfo& info, const TuneBounds& bounds) {
  const Prediction law = make_prediction(info, {}, {});
  const bool calibrated = is_calibrated(info.calibration);
  const CostUnit unit = calibrated ? CostUnit::ms : CostUnit::megabytes;
  return std::make_shared<const TuneResult>(untried({tuned_trace(info, law, unit)}, law, calibrated, bounds));
}

AsyncRequest request_to_judge(const TuneResult& tuned, const Settings& settings) {
  return {.settings = settings, .estimates = !find_estimate(tuned.prediction.estimate)->needs_values};
}

Judged judge_answer(const TuneResult& tuned, const AsyncAnswer& answer) {
  std::vector<LayerReplay> layers;
  for (const auto& layer : answer.layers) {
    if (layer) layers.push_back(*layer);
  }
  return {answer.settings, judge(tuned, 0, layers)};
}

void Goal::enter(std::shared_ptr<Replayer>) {
  tasks_.drop(kind_);
  judged_.reset(), found_ = std::make_shared<std::shared_ptr<const Judged>>();
  asked_of_.reset();
}

void Goal::update(const Session& session) {
  std::shared_ptr<const Judged> found;
  tasks_.locked([&] { found = std::exchange(*found_, nullptr); });
  if (found) judged_ = std::move(found);
  if (judged_ && judged_->settings == session.settings()) return;
  // What the landscape knows, or was judged before, need not wait for a replay.
  const Metrics* known = session.data<Landscapes>().known(session.settings());
  if (known == nullptr) known = session.data<Tried>().known(session.settings());
  if (known != nullptr) {
    judged_ = std::make_shared<const Judged>(session.settings(), *known);
    return;
  }
  const std::shared_ptr<const AsyncAnswer>& answer = session.answer();
  if (!answer || answer == asked_of_ || answer->settings != session.settings()) return;
  if (!answer->has_errors) return;
  asked_of_ = answer;
  tasks_.post(kind_, [answer, tuned = session.tuning(), found = found_](const BackgroundTasks::Context& context) {
    auto out = std::make_shared<const Judged>(judge_answer(*tuned, *answer));
    context.deliver([&] { *found = std::move(out); });
  });
}

bool Goal::idle() const {
  bool news = false;
  tasks_.locked([&] { news = *found_ != nullptr; });
  return !news;
}

namespace {

bool is_current(const Session& session, const Judged* judged) {
  return judged != nullptr && session.setting_error().empty() && judged->settings == session.settings();
}

/// Why no KL follows from any setting of this trace; empty where one does.
std::string why_no_kl(const TraceInfo& info, const Prediction& prediction) {
  if (info.n_stored() < info.n_acting()) return "the trace does not store all layers";
  if (!prediction.curve.exists()) {
    return prediction.of_this_model ? "the study has no law for " + prediction.estimate : "no study of this model";
  }
  return {};
}

}  // namespace

GoalText kl_in_words(const Session& session) {
  if (session.tuning() == nullptr) return {};
  const Judged* const judged = session.data<Goal>().judged();
  const TuneResult& tuned = *session.tuning();
  const TraceInfo& info = session.trace()->info;
  const Prediction& law = tuned.prediction;
  const std::string why = why_no_kl(info, law);
  GoalText out = {.current = is_current(session, judged)};
  if (!law.curve.exists()) {
    out.help = fmt::format(
        "Its settings are only ranked, by {}{}; rank correlation with the KL of other models {:.2f} "
        "or more. `reattend verify` measures a setting; `tune --verified` predicts from there.",
        law.estimate, judged != nullptr ? fmt::format(" = {:.4g}", judged->metrics.estimate) : "",
        std::min(law.within, law.across));
  }
  if (!why.empty()) {
    out.text = "KL unknown: " + why;
    out.current = true;
    return out;
  }
  if (judged == nullptr) {
    out.text = "KL \u2026", out.help = "once all layers are replayed with their output errors";
    return out;
  }
  const double kl = judged->metrics.predicted_kl, spread = law.curve.spread;
  out.text = fmt::format("KL {:.3g} ({:.2g} to {:.2g})", kl, kl / spread, kl * spread);
  out.help = fmt::format(
      "Mean KL(full || policy) in nats, predicted as {:.9g} from {} = {:.4g} by the law of this very model: two times "
      "in "
      "three within a factor of {:.2f} ({} points).",
      kl, law.estimate, judged->metrics.estimate, spread, law.curve.n);
  if (!info.has_values) {
    out.text += ", from lost weights alone";
    out.help += " The trace has no values: without --no-values the prediction would be a better one.";
  }
  if (!law.knows(judged->settings.policy()) && !judged->settings.is_full()) {
    out.text += fmt::format("; {} was not studied", judged->settings.policy());
    out.help += " No setting of this policy had a part in the study: how far it is off is not known.";
  }
  return out;
}

GoalText time_in_words(const Session& session) {
  const ReplaySummary* const total = session.total();
  if (session.trace() == nullptr || total == nullptr) return {};
  GoalText out = {.current = session.total_is_current()};
  const TraceInfo& info = session.trace()->info;
  if (!is_calibrated(info.calibration)) {
    out.text = "no time predicted: the trace has no calibration";
    out.help = "`reattend calibrate` measures this machine; `reattend record` does so unless told not to";
    return out;
  }
  if (total->ms_per_token <= 0) return {"no time predicted: the trace does not store all layers", {}, out.current};
  const double ms = total->ms_per_token, full = total->ms_per_token_full;
  out.text = fmt::format("{:.2f} ms/token, full attention {:.2f}: ", ms, full);
  // 1.00 times as fast would be read as a gain.
  constexpr double kAlike = 0.005;
  out.text += std::abs(full / ms - 1) < kAlike
                  ? std::string("as fast")
                  : fmt::format("{:.2f} times as {}", std::max(full / ms, ms / full), full > ms ? "fast" : "slow");
  out.help = "predicted from the trace's calibration of the machine that recorded it";
  if (total->assumed_rates.empty()) return out;
  out.text += "; a guess";
  out.help += fmt::format("; a guess, for the calibration did not measure {}", fmt::join(total->assumed_rates, ", "));
  return out;
}

std::vector<GoalBound> bounds_of(const Session& session) {
  std::vector<GoalBound> out;
  if (session.tuning() == nullptr) return out;
  const TuneResult& tuned = *session.tuning();
  const Judged* const judged = session.data<Goal>().judged();
  const bool current = is_current(session, judged);
  for (const Bound& bound : bounds_that_hold(tuned, Evidence::predicted)) {
    const double ratio = current ? ratio_to(bound, judged->metrics) : std::nan("");
    const Verdict verdict = std::isnan(ratio) ? Verdict::unknown : ratio <= 1 ? Verdict::within : Verdict::beyond;
    out.push_back({bound, ratio * bound.limit, verdict});
  }
  return out;
}

}  // namespace reattend::viz
