// The settings file that a tuner leaves behind: the policy, and beside it the evidence.
#pragma once
#include <string>

#include "tune/tune.h"

namespace reattend {

/// What the evidence says in words; whoever shows the result has them.
struct EvidenceWords {
  std::string reason;      ///< why this setting
  std::string times_from;  ///< which machine times are predicted for; empty where nobody said
};
/// [policy] as Settings::from_toml reads it, then [evidence] with the traces and what was predicted, measured and
/// demanded, and what held-out traces say.
std::string settings_file(const TuneResult& result, const EvidenceWords& words);
/// The same for a setting chosen by hand: [policy], and what a replay of all layers predicts of it.
std::string settings_file(const Settings& settings, const ReplaySummary& total, const TraceInfo& info);

}  // namespace reattend
