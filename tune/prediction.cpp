// Holds what the studies found (docs/study.md), and says where it may be used.
#include "tune/prediction.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <span>

#include "base/error.h"
#include "replay/estimates.h"

namespace reattend {
namespace {

/// What a study found for an estimate on a model: rank correlations on four texts that had no part in making it, and
/// the power law to KL.
struct Studied {
  std::string_view estimate;
  double within, across;
  KlCurve curve;
};
struct StudiedModel {
  std::string_view sha256;
  std::span<const Studied> estimates;  ///< the one to rank by first; the last one needs no values
  std::span<const std::string_view> policies;
};

/// Whose settings the laws were fitted over, all together: 23 of the 39 and 15 of the 24 are recycled's.
constexpr std::array<std::string_view, 10> kOf39 = {"recycled", "oracle",     "streaming", "streaming_refresh",
                                                    "h2o",      "snapkv",     "pyramidkv", "tova",
                                                    "quest",    "tokenselect"};
constexpr std::array<std::string_view, 7> kOf24 = {"recycled", "oracle", "streaming", "h2o", "snapkv", "tova", "quest"};

/// 39 settings; the curves are over these four texts and eight more.
constexpr std::array kSmolLM2 = {
    Studied{"step_error_half_rms", 0.92, 0.90, {.scale = 0.151, .power = 1.14, .spread = 1.74, .n = 468}},
    Studied{"step_error_middle_rms", 0.91, 0.89, {.scale = 0.177, .power = 1.10, .spread = 1.76, .n = 468}},
    Studied{"step_error_p95", 0.87, 0.82, {.scale = 0.0386, .power = 0.961, .spread = 1.61, .n = 96}},  // 24 settings
    Studied{"largest_lost", 0.76, 0.73, {.scale = 9.06, .power = 0.896, .spread = 2.49, .n = 468}},
};
/// 24 settings, as of all further models.
constexpr std::array kQwenHalf = {
    Studied{"step_error_middle_rms", 0.89, 0.91, {.scale = 0.226, .power = 1.35, .spread = 1.74, .n = 96}},
    Studied{"step_error_half_rms", 0.88, 0.91, {.scale = 0.172, .power = 1.51, .spread = 1.74, .n = 96}},
    Studied{"step_error_p95", 0.87, 0.92, {.scale = 0.0319, .power = 1.45, .spread = 1.70, .n = 96}},
    Studied{"largest_lost", 0.84, 0.84, {.scale = 147, .power = 1.59, .spread = 2.29, .n = 96}},
};
/// On which nothing ranks as well: the list of services at 0.61.
constexpr std::array kQwenOneAndAHalf = {
    Studied{"step_error_half_rms", 0.83, 0.84, {.scale = 0.0858, .power = 1.22, .spread = 1.87, .n = 96}},
    Studied{"step_error_middle_rms", 0.81, 0.84, {.scale = 0.127, .power = 1.09, .spread = 1.90, .n = 96}},
    Studied{"step_error_p95", 0.80, 0.82, {.scale = 0.0192, .power = 1.27, .spread = 1.92, .n = 96}},
    Studied{"largest_lost", 0.77, 0.78, {.scale = 12.1, .power = 1.15, .spread = 2.18, .n = 96}},
};
/// Three layers without a window: halves and middles of so few leave most of the error out.
constexpr std::array kGemma = {
    Studied{"step_error_p95", 0.91, 0.90, {.scale = 0.134, .power = 1.11, .spread = 1.47, .n = 96}},
    Studied{"step_error_middle_rms", 0.86, 0.82, {.scale = 1.02, .power = 1.24, .spread = 1.58, .n = 96}},
    Studied{"step_error_half_rms", 0.82, 0.75, {.scale = 0.394, .power = 1.01, .spread = 1.73, .n = 96}},
    Studied{"largest_lost", 0.78, 0.82, {.scale = 3.36, .power = 0.802, .spread = 1.74, .n = 96}},
};
constexpr std::array kStudied = {
    StudiedModel{"b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", kSmolLM2, kOf39},
    StudiedModel{"1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32", kQwenHalf, kOf24},
    StudiedModel{"cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046", kQwenOneAndAHalf, kOf24},
    StudiedModel{"a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", kGemma, kOf24},
};

/// For a model that nobody studied: what ranked best on the one that it ranks worst. Each model has a power law of its
/// own (docs/study.md): the curve is between theirs, and of no use before a setting was verified.
constexpr std::string_view kElsewhere = "step_error_middle_rms", kElsewhereWithoutValues = "largest_lost";

const Studied* find_in(const StudiedModel& model, std::string_view estimate) {
  const auto at = std::ranges::find(model.estimates, estimate, &Studied::estimate);
  return at != model.estimates.end() ? &*at : nullptr;
}

/// The evidence for an estimate on a model that was not studied: the worst of those that were, and what lies between
/// their curves; nothing where one of them does not have it.
std::optional<Studied> elsewhere(std::string_view estimate) {
  Studied out = {.estimate = estimate, .within = 1, .across = 1, .curve = {.scale = 0, .power = 0}};
  const auto n = static_cast<double>(kStudied.size());
  for (const StudiedModel& model : kStudied) {
    const Studied* const one = find_in(model, estimate);
    if (one == nullptr) return std::nullopt;
    out.within = std::min(out.within, one->within), out.across = std::min(out.across, one->across);
    out.curve.scale += std::log(one->curve.scale) / n, out.curve.power += one->curve.power / n;
    out.curve.spread = std::max(out.curve.spread, one->curve.spread), out.curve.n += one->curve.n;
  }
  out.curve.scale = std::exp(out.curve.scale);
  return out;
}

}  // namespace

double Prediction::kl(double value) const {
  return curve.exists() && !std::isnan(value) ? curve.at(value) : std::numeric_limits<double>::quiet_NaN();
}

Prediction make_prediction(const TraceInfo& info, const std::string& estimate,
                           const std::vector<VerifiedSetting>& verified) {
  const std::string sha256 = info.attribute("model_sha256");
  const auto* const known = std::ranges::find(kStudied, sha256, &StudiedModel::sha256);
  Prediction out;
  out.of_this_model = known != kStudied.end();
  const std::span<const std::string_view> policies = out.of_this_model ? known->policies : kOf24;  // what all have
  out.policies.assign(policies.begin(), policies.end());
  std::string_view usual = info.has_values ? kElsewhere : kElsewhereWithoutValues;
  if (out.of_this_model) {
    usual = (info.has_values ? known->estimates.front() : known->estimates.back()).estimate;
  }
  out.estimate = !estimate.empty() ? estimate : std::string(usual);
  if (estimate_named(out.estimate, "--estimate").needs_values && !info.has_values) {
    fail_usage({.where = "--estimate",
                .expected = "one that needs no values, which the trace was recorded without",
                .got = out.estimate,
                .remedy = "leave it out, or record without --no-values"});
  }
  std::optional<Studied> studied;
  if (!out.of_this_model) {
    studied = elsewhere(out.estimate);
  } else if (const Studied* const one = find_in(*known, out.estimate)) {
    studied = *one;
  }
  out.correction = correction_from(verified, out.estimate, studied ? studied->curve : KlCurve{});
  if (!studied) return out;
  out.within = studied->within, out.across = studied->across;
  if (!out.of_this_model && out.correction.n == 0) return out;
  out.curve = studied->curve;
  out.curve.scale *= out.correction.kl;
  return out;
}

}  // namespace reattend
