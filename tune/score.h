// What an engine found of a setting along given tokens, for whoever compares settings.
#pragma once
#include <cmath>
#include <limits>

namespace reattend {

/// Means over the steps of a run; nan where something was not measured.
struct Score {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  double kl = kNone, kl_p95 = kNone, kl_max = kNone;  ///< KL(full ‖ policy), nats
  double agreement = kNone;                           ///< share of steps with full attention's top-1
  double nll = kNone;                                 ///< of the next token, nats
  double positions = kNone;                           ///< attended to, mean over layers and KV heads
  double full = kNone;                                ///< share of layers and KV heads that took a full step
  double recovered = kNone, oracle = kNone;           ///< mass of the rows over everything
  double ms = kNone;                                  ///< per token
  double full_ms = kNone;                             ///< per token of full attention, timed in the same rounds
};

/// Files and JSON hold 0 for a time that was not measured.
inline double or_zero(double ms) {
  return std::isnan(ms) ? 0 : ms;
}
inline double from_zero(double ms) {
  return ms > 0 ? ms : Score::kNone;
}

}  // namespace reattend
