// What an engine found of a setting that a replay had predicted, and the correction that a tuner takes from it.
#pragma once
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "policies/settings.h"
#include "tune/kl_curve.h"
#include "tune/score.h"

namespace reattend {

/// One verified setting.
struct VerifiedSetting {
  Settings settings;
  std::map<std::string, double> estimates;  ///< by name
  Score measured;
  double predicted_ms = 0, predicted_full_ms = 0;  ///< 0 where they were not predicted
  std::string trace;         ///< digest of its tokens and model; empty in older files, which do not say
  std::string model_sha256;  ///< likewise
};

nlohmann::json to_json(const VerifiedSetting& verified);
/// The setting in a file that `reattend verify --out` wrote: of its score KL, agreement and times. Throws Error naming
/// the file.
VerifiedSetting read_verified(const std::filesystem::path& path);

/// Whether it was found on the model of this SHA-256, as far as both are known.
bool is_of_model(const VerifiedSetting& verified, const std::string& model_sha256);
/// KL counts on every trace. Times do only where they were found on one of these traces, by their digests, or where the
/// file does not say on which: those of others become 0.
void keep_times_of(VerifiedSetting& verified, std::span<const std::string> fingerprints);  // [n_trace]

/// Simple, and said: predicted times are multiplied by the median of measured over predicted, full attention's by its
/// own; the KL curve is scaled by the geometric mean of measured KL over the curve's. A setting that is given twice
/// (the same settings on the same trace) counts once.
struct Correction {
  double ms = 1, full_ms = 1, kl = 1;
  int64_t n = 0, n_timed = 0;  ///< settings; settings with times
  bool operator==(const Correction&) const = default;
};
Correction correction_from(const std::vector<VerifiedSetting>& settings, const std::string& estimate,
                           const KlCurve& curve);

}  // namespace reattend
