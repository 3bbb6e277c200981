// Holds candidates against bounds, as predicted and as measured.
#include "tune/bounds.h"

#include <cmath>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "tune/tune.h"

namespace reattend {

std::vector<Bound> bounds_that_hold(const TuneResult& result, Evidence evidence) {
  const TuneBounds& bounds = result.bounds;
  const bool measured = evidence == Evidence::measured;
  std::vector<Bound> out;
  if (measured || result.prediction.curve.exists()) out.push_back({Bounded::kl, bounds.max_kl, !measured});
  if (measured && bounds.min_agreement) out.push_back({Bounded::agreement, *bounds.min_agreement, false});
  if (!measured && bounds.max_output_error) out.push_back({Bounded::output_error, *bounds.max_output_error, true});
  if (!measured && bounds.max_lost_mass) out.push_back({Bounded::lost_mass, *bounds.max_lost_mass, true});
  if (bounds.max_ms && (measured || result.calibrated)) {
    out.push_back({Bounded::ms, *bounds.max_ms, !measured || result.other_machine});
  }
  return out;
}

double ratio_to(const Bound& bound, const Metrics& metrics) {
  switch (bound.of) {
    case Bounded::kl:
      return (bound.of_prediction ? metrics.predicted_kl : metrics.measured->kl) / bound.limit;
    case Bounded::agreement:
      return bound.limit / metrics.measured->agreement;
    case Bounded::output_error:
      return metrics.output_error_p95 / bound.limit;
    case Bounded::lost_mass:
      return metrics.lost / bound.limit;
    case Bounded::ms:
      return (bound.of_prediction ? metrics.cost : metrics.measured->ms) / bound.limit;
  }
  return std::nan("");
}

double excess(const Metrics& metrics, const TuneResult& result, Evidence evidence) {
  double most = 0;
  bool unknown = false;
  for (const Bound& bound : bounds_that_hold(result, evidence)) {
    const double each = ratio_to(bound, metrics);
    unknown = unknown || std::isnan(each), most = std::fmax(most, each);
  }
  return unknown && most <= 1 ? std::nan("") : most;
}

Hardest hardest(const Candidate& candidate, const std::function<double(const Metrics&)>& of) {
  Hardest out;
  for (size_t i = 0; i < candidate.traces.size(); ++i) {
    const double each = of(candidate.traces[i]);
    if (i == 0 || each > out.most || std::isnan(each)) out = {i, each};
  }
  return out;
}

Hardest hardest(const Candidate& candidate, const TuneResult& result, Evidence evidence) {
  return hardest(candidate, [&](const Metrics& each) { return excess(each, result, evidence); });
}

double distance(const Candidate& candidate, const TuneResult& result) {
  const double most = hardest(candidate, result, Evidence::predicted).most;
  return std::isnan(most) ? HUGE_VAL : most;
}

bool passes(const Candidate& candidate, const TuneResult& result, Evidence evidence) {
  return hardest(candidate, result, evidence).most <= 1;
}

void check_bounds(const TuneBounds& bounds) {
  const std::pair<const char*, std::optional<double>> options[] = {{"--max-output-error", bounds.max_output_error},
                                                                   {"--max-lost-mass", bounds.max_lost_mass},
                                                                   {"--max-kl", bounds.max_kl},
                                                                   {"--min-agreement", bounds.min_agreement},
                                                                   {"--max-ms", bounds.max_ms}};
  for (const auto& [option, value] : options) {
    if (!value || *value > 0) continue;  // false for nan
    fail_usage({.where = option, .expected = "a number above 0", .got = fmt::format("{}", *value), .remedy = {}});
  }
  if (bounds.min_agreement.value_or(1) > 1) {
    fail_usage({.where = "--min-agreement",
                .expected = "a share, at most 1",
                .got = fmt::format("{}", *bounds.min_agreement),
                .remedy = {}});
  }
}

}  // namespace reattend
