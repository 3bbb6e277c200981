// The bounds that a candidate must keep, how far it is from them, and on which trace.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "tune/candidate.h"

namespace reattend {

/// Each holds on every trace. Where KL can be predicted it is the bound, and the first two are off unless given;
/// otherwise they default to kMaxOutputError and kMaxLostMass.
struct TuneBounds {
  std::optional<double> max_output_error;  ///< 95th percentile over steps and heads
  std::optional<double> max_lost_mass;     ///< mean
  double max_kl = 0.1;                     ///< mean KL(full || policy): predicted where it can be, then measured
  std::optional<double> min_agreement;     ///< share of steps with the same top-1; measured only
  std::optional<double> max_ms;            ///< per token: predicted where it can be, then measured
  bool operator==(const TuneBounds&) const = default;
};
inline constexpr double kMaxOutputError = 0.5, kMaxLostMass = 0.1;
/// Throws Error (usage) naming the option of a bound that is not a number above 0.
void check_bounds(const TuneBounds& bounds);

/// What is held against the bounds: a replay's predictions, or an engine's measurements.
enum class Evidence : uint8_t { predicted, measured };
enum class Bounded : uint8_t { kl, agreement, output_error, lost_mass, ms };
/// One bound that holds for one kind of evidence.
struct Bound {
  Bounded of;
  double limit = 0;            ///< the most; of agreement the least
  bool of_prediction = false;  ///< a prediction is held against it
};
/// Those that hold for this kind of evidence, in the order of Bounded. Time is held as predicted where it is another
/// machine's.
std::vector<Bound> bounds_that_hold(const TuneResult& result, Evidence evidence);

/// What is bounded, over its limit: at most 1 is within. Measured evidence needs metrics that were measured.
double ratio_to(const Bound& bound, const Metrics& metrics);

/// How far the metrics of one trace are from the bounds: the largest ratio to one of them. At most 1: within; nan: not
/// known, for something bounded is not and nothing that is known is beyond its bound. Measured evidence needs metrics
/// that were measured.
double excess(const Metrics& metrics, const TuneResult& result, Evidence evidence);

/// Of a candidate's traces the one with the most of something, such as its distance from the bounds; nan is most.
struct Hardest {
  size_t trace = 0;
  double most = 0;
};
Hardest hardest(const Candidate& candidate, const std::function<double(const Metrics&)>& of);
/// By the distance from the bounds.
Hardest hardest(const Candidate& candidate, const TuneResult& result, Evidence evidence);
/// How far the candidate is from the bounds as predicted, for an order: on its hardest trace; infinite where not known.
double distance(const Candidate& candidate, const TuneResult& result);
/// Within the bounds on every trace.
bool passes(const Candidate& candidate, const TuneResult& result, Evidence evidence);

}  // namespace reattend
