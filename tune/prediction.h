// What a tuner ranks settings by, how it comes from there to a KL, and how well that was found to work.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "traces/read/reader.h"
#include "tune/kl_curve.h"
#include "tune/verified.h"

namespace reattend {

/// An estimate with its evidence: the studies' rank correlation with the engine's KL, within a prompt and across
/// prompts.
struct Prediction {
  std::string estimate;
  bool of_this_model = false;  ///< there was a study of this very file; otherwise of others, the worst of which counts
  double within = 0, across = 0;  ///< 0: not known
  KlCurve curve;                  ///< corrected; none for a model that was not studied and nothing was verified on
  std::vector<std::string_view> policies;  ///< whose settings had a part in the studies; of others nothing is known
  Correction correction;

  bool knows(std::string_view policy) const {
    return std::find(policies.begin(), policies.end(), policy) != policies.end();
  }
  /// nan where there is no curve or no estimate.
  double kl(double value) const;
};

/// `estimate` empty: the winner of the model's study (docs/study.md) among those the trace gives; of a model without
/// one, what did best where it did worst. Throws Error (usage) for an
/// unknown name, or one that needs values of a trace without.
Prediction make_prediction(const TraceInfo& info, const std::string& estimate,
                           const std::vector<VerifiedSetting>& verified);

}  // namespace reattend
