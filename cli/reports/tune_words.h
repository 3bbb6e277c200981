// The sentences that say what a tuner found and why: all that is made of its result in words.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "tune/tune.h"

namespace reattend::cli {

/// Why this setting was recommended, and how far the predictions behind it may be off.
std::string reason_in_words(const TuneResult& tuned);
/// "mean KL <= 0.1, top-1 agreement >= 0.9": the bounds that hold for this kind of evidence.
std::string bounds_in_words(const TuneResult& tuned, Evidence evidence);
/// What settings are ranked by, with the evidence for it.
std::string prediction_in_words(const Prediction& prediction);
/// "corrected by 2 verified settings: predicted times x 1.08 (full attention's x 1.02), KL x 0.70"; empty where nothing
/// was verified.
std::string correction_in_words(const Correction& correction);
/// Where the calibration is another machine's, or a busy one's, that it is, and what to do; empty elsewhere.
std::string time_warning(const TuneResult& tuned);
/// A sentence for each held-out trace.
std::vector<std::string> held_out_in_words(const TuneResult& tuned);
/// Where several policies were swept: which of their bests is fastest, what measuring says of them, and how far
/// predictions of different policies can be compared.
std::vector<std::string> policies_in_words(const TuneResult& tuned);
/// A line for each reason why settings of a policy do not fit the traces: the first of them, and how many more there
/// are.
std::vector<std::string> left_out_in_words(std::span<const LeftOut> left_out);  // [n]
/// What the recommended setting keeps, reads and chooses anew, on the prompts tuned on.
std::string setting_in_words(const TuneResult& tuned);
/// What the recommended setting gives, predicted and measured, beside full attention.
std::string gain_in_words(const TuneResult& tuned);

}  // namespace reattend::cli
