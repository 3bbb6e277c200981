// Replays and measures the recommended setting on held-out traces.
#include "tune/held_out.h"

#include <cmath>

#include <fmt/format.h>

#include "base/error.h"
#include "replay/estimates.h"
#include "tune/bounds.h"
#include "tune/measure.h"
#include "tune/sweep.h"
#include "tune/tune.h"

namespace reattend {
namespace {

/// nan where there is nothing to divide by.
double ratio(double a, double b) {
  return b > 0 ? a / b : std::nan("");
}

/// Of a trace that is held out; `what` needs them.
void check_values(const TraceInfo& held, bool needed, const std::string& what) {
  if (held.has_values || !needed) return;
  fail_usage({.where = "--held-out " + held.path.string(),
              .expected = fmt::format("a trace with values, which {} needs", what),
              .got = "one recorded without",
              .remedy = "record it without --no-values"});
}

}  // namespace

void check_held_out(const TraceInfo& held, std::span<const TraceInfo* const> tuned_on,  // [n_trace]
                    const TuneOptions& options) {
  const TraceInfo* const both[] = {tuned_on.front(), &held};
  check_same_model(both);
  const std::string estimate = make_prediction(poorest(tuned_on), options.estimate, {}).estimate;
  check_values(held, find_estimate(estimate)->needs_values, estimate);
  check_values(held, options.bounds.max_output_error.has_value(), "--max-output-error");
}

void hold_out(TuneResult& result, Replayer& trace, const std::optional<Calibration>& calibration,
              const std::function<Score(const Settings&)>& measure, const ProgressFn& progress, const Cancel& cancel) {
  const TraceInfo* const both[] = {&result.traces.front().info, &trace.info()};
  check_same_model(both);
  check_values(trace.info(), find_estimate(result.prediction.estimate)->needs_values, result.prediction.estimate);
  Replayer* const one[] = {&trace};
  const std::vector<Calibration> other = calibration ? std::vector{*calibration} : std::vector<Calibration>();
  Sweep sweep(one, result.prediction, other, result.calibrated, progress, cancel);
  const Settings& settings = result.best().settings;
  HeldOutTrace held;
  static_cast<TunedTrace&>(held) = sweep.traces().front();
  held.metrics = sweep.evaluate({&settings, 1}, sweep.all_layers(), "held out").front();
  if (measure) {
    const std::string name = name_of(result.best());
    held.metrics.measured = measure_in_rounds({&settings, 1}, {&name, 1}, !result.other_machine, measure,
                                              report_rounds(progress, "held out: measure"), cancel)
                                .front();
  }
  result.held_out.push_back(std::move(held));
}

Gap gap_of(const HeldOutTrace& held, const TuneResult& result) {
  const Metrics& best = result.best();
  const double bound = result.bounds.max_kl;
  if (held.metrics.measured && best.measured) {
    const double kl = held.metrics.measured->kl;
    return {"measured KL", kl, ratio(kl, best.measured->kl), kl / bound};
  }
  const double kl = held.metrics.predicted_kl;
  if (!std::isnan(kl)) return {"predicted KL", kl, ratio(kl, best.predicted_kl), kl / bound};
  const double estimate = held.metrics.estimate;
  return {result.prediction.estimate, estimate, ratio(estimate, best.estimate), std::nan("")};
}

std::optional<bool> keeps_bounds(const HeldOutTrace& held, const TuneResult& result) {
  const double most = excess(held.metrics, result, held.metrics.measured ? Evidence::measured : Evidence::predicted);
  return std::isnan(most) ? std::nullopt : std::optional(most <= 1);
}

}  // namespace reattend
