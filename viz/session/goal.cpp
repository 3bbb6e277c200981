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
#include "viz/session/measured.h"
#include "viz/session/session.h"
#include "viz/session/tried.h"

namespace reattend::viz {

std::shared_ptr<const TuneResult> tuning_of(const TraceInfo& info, const TuneBounds& bounds,
                                            const std::vector<VerifiedSetting>& verified) {
  const Prediction law = make_prediction(info, {}, verified);
  const bool calibrated = is_calibrated(info.calibration);
  const CostUnit unit = calibrated ? CostUnit::ms : CostUnit::megabytes;
  return std::make_shared<const TuneResult>(untried({tuned_trace(info, law, unit)}, law, calibrated, bounds));
}

AsyncRequest request_to_judge(const TuneResult& tuned, const Settings& settings) {
  return {.settings = settings, .estimates = !find_estimate(tuned.prediction.estimate)->needs_values};
}

Judged judge_answer(const std::shared_ptr<const TuneResult>& tuned, const AsyncAnswer& answer) {
  std::vector<LayerReplay> layers;
  for (const auto& layer : answer.layers) {
    if (layer) layers.push_back(*layer);
  }
  return {answer.settings, judge(*tuned, 0, layers), tuned};
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
  if (judged_ && judged_->under != session.tuning()) {
    judged_ = std::make_shared<const Judged>(
        judged_->settings, judge_again(judged_->metrics, judged_->under->prediction.correction, *session.tuning()),
        session.tuning());
  }
  if (judged_ && judged_->settings == session.settings()) return;
  // What the landscape knows, or was judged before, need not wait for a replay.
  const Landscapes& maps = session.data<Landscapes>();
  if (const Metrics* known = maps.known(session.settings())) {
    judged_ = std::make_shared<const Judged>(session.settings(), *known, maps.judged_under());
    return;
  }
  const Tried& tried = session.data<Tried>();
  if (const Metrics* known = tried.known(session.settings())) {
    judged_ = std::make_shared<const Judged>(session.settings(), *known, tried.judged_under());
    return;
  }
  const std::shared_ptr<const AsyncAnswer>& answer = session.answer();
  if (!answer || answer == asked_of_ || answer->settings != session.settings()) return;
  if (!answer->has_errors) return;
  asked_of_ = answer;
  tasks_.post(kind_, [answer, tuned = session.tuning(), found = found_](const BackgroundTasks::Context& context) {
    auto out = std::make_shared<const Judged>(judge_answer(tuned, *answer));
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

/// " (predicted 0.082)", what was before anything was measured.
std::string predicted_in_words(double predicted, const char* digits) {
  return std::isnan(predicted) ? std::string()
                               : fmt::format(" (predicted {})", fmt::format(fmt::runtime(digits), predicted));
}

GoalText measured_kl_in_words(const MeasuredSetting& found, const Prediction& law, const Judged* judged) {
  GoalText out = {.text = fmt::format("KL measured {:.3g}", found.measured.kl) +
                          predicted_in_words(found.predicted_kl, "{:.3g}")};
  out.help = fmt::format(
      "Mean KL(full || policy) in nats that the engine measured on the recorded tokens: {:.9g}, top-1 agreement {:.3g} "
      "({}).",
      found.measured.kl, found.measured.agreement, found.from);
  if (judged != nullptr && !std::isnan(judged->metrics.predicted_kl) && law.correction.n > 0) {
    out.help +=
        fmt::format(" As the law stands now, corrected by what was verified: {:.3g}.", judged->metrics.predicted_kl);
  }
  return out;
}

}  // namespace

GoalText kl_in_words(const Session& session) {
  if (session.tuning() == nullptr) return {};
  const Judged* const judged = session.data<Goal>().judged();
  const TuneResult& tuned = *session.tuning();
  const TraceInfo& info = session.trace()->info;
  const Prediction& law = tuned.prediction;
  const MeasuredSetting* const measured = session.data<Measured>().find(session.settings());
  if (measured != nullptr && !std::isnan(measured->measured.kl))
    return measured_kl_in_words(*measured, law, is_current(session, judged) ? judged : nullptr);
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
  if (law.correction.n > 0) {
    out.help += fmt::format(" Multiplied by {:.3g}, for the engine measured {} of this model.", law.correction.kl,
                            law.correction.n == 1 ? "one setting" : fmt::format("{} settings", law.correction.n));
  }
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
  const MeasuredSetting* const found = session.data<Measured>().find(session.settings());
  const bool measured = found != nullptr && found->measured.ms > 0 && found->measured.full_ms > 0;
  const Correction& correction = session.tuning()->prediction.correction;
  const double ms = measured ? found->measured.ms : total->ms_per_token * correction.ms;
  const double full = measured ? found->measured.full_ms : total->ms_per_token_full * correction.full_ms;
  out.text = measured ? fmt::format("{:.2f} ms/token measured{}, full attention {:.2f}: ", ms,
                                    predicted_in_words(found->predicted_ms, "{:.2f}"), full)
                      : fmt::format("{:.2f} ms/token, full attention {:.2f}: ", ms, full);
  // 1.00 times as fast would be read as a gain.
  constexpr double kAlike = 0.005;
  out.text += std::abs(full / ms - 1) < kAlike
                  ? std::string("as fast")
                  : fmt::format("{:.2f} times as {}", std::max(full / ms, ms / full), full > ms ? "fast" : "slow");
  if (measured) {
    out.help = fmt::format("measured by the engine, full attention's in the same rounds ({})", found->from);
    return out;
  }
  out.help = "predicted from the trace's calibration of the machine that recorded it";
  if (correction.n_timed > 0)
    out.help +=
        fmt::format(", times {:.3g} (full attention's {:.3g}), as was measured", correction.ms, correction.full_ms);
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
  const MeasuredSetting* const measured = session.data<Measured>().find(session.settings());
  Metrics metrics;
  if (current) metrics = judged->metrics;
  if (measured != nullptr) metrics.measured = measured->measured;
  for (Bound bound : bounds_that_hold(tuned, measured != nullptr ? Evidence::measured : Evidence::predicted)) {
    // A setting may have been measured without its time.
    if (bound.of == Bounded::ms && measured != nullptr && std::isnan(measured->measured.ms))
      bound.of_prediction = tuned.calibrated;
    const double ratio = current || !bound.of_prediction ? ratio_to(bound, metrics) : std::nan("");
    const Verdict verdict = std::isnan(ratio) ? Verdict::unknown : ratio <= 1 ? Verdict::within : Verdict::beyond;
    out.push_back({bound, ratio * bound.limit, verdict});
  }
  return out;
}

}  // namespace reattend::viz
