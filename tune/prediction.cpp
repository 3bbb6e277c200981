// Holds what the study found (docs/study.md), and says where it may be used.
#include "tune/prediction.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "replay/estimates.h"

namespace reattend {
namespace {

/// What the study found for an estimate on its model: correlations on four texts that had no part in making it, the
/// curve over these and the eight that had, 39 settings each.
struct Studied {
  std::string_view estimate;
  double within, across;
  KlCurve curve;
};
constexpr std::string_view kStudiedModel = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
constexpr Studied kStudied[] = {
    {"step_error_half_rms", 0.92, 0.90, {.scale = 0.151, .power = 1.14, .spread = 1.74, .n = 468}},
    {"step_error_middle_rms", 0.91, 0.89, {.scale = 0.177, .power = 1.10, .spread = 1.76, .n = 468}},
    {"largest_lost", 0.76, 0.73, {.scale = 9.06, .power = 0.896, .spread = 2.49, .n = 468}},
};

/// The best of those that need none.
constexpr std::string_view kWithoutValues = "largest_lost";

const Studied* find_studied(std::string_view estimate) {
  for (const Studied& each : kStudied) {
    if (each.estimate == estimate) return &each;
  }
  return nullptr;
}

}  // namespace

double Prediction::kl(double value) const {
  return curve.exists() && !std::isnan(value) ? curve.at(value) : std::numeric_limits<double>::quiet_NaN();
}

Prediction make_prediction(const TraceInfo& info, const std::string& estimate,
                           const std::vector<VerifiedSetting>& verified) {
  Prediction out;
  out.estimate = !estimate.empty() ? estimate : std::string(info.has_values ? kStudied[0].estimate : kWithoutValues);
  if (estimate_named(out.estimate, "--estimate").needs_values && !info.has_values) {
    fail_usage({.where = "--estimate",
                .expected = "one that needs no values, which the trace was recorded without",
                .got = out.estimate,
                .remedy = "leave it out, or record without --no-values"});
  }
  const Studied* studied = find_studied(out.estimate);
  const KlCurve curve = studied != nullptr ? studied->curve : KlCurve{};
  out.correction = correction_from(verified, out.estimate, curve);
  if (studied == nullptr) return out;
  out.within = studied->within, out.across = studied->across;
  const bool known = info.attribute("model_sha256") == kStudiedModel;
  if (!known && out.correction.n == 0) return out;
  out.curve = curve;
  out.curve.scale *= out.correction.kl;
  return out;
}

}  // namespace reattend
