// Which estimate of a replay orders settings as the engine's KL does: studied settings, their file, and the scores.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "policies/settings.h"
#include "replay/cost/cost.h"
#include "tune/kl_curve.h"
#include "tune/score.h"

namespace reattend {

/// One setting on one prompt.
struct StudiedSetting {
  Settings settings;
  std::vector<double>
      estimates;            ///< parallel to estimates(); nan for what the trace does not give; empty: not replayed yet
  double recovered = 0;     ///< mass, by replay
  double predicted_ms = 0;  ///< 0 where the trace has no calibration
  double recalibrated_ms = 0;     ///< predicted from a calibration in the minutes of the measuring; 0 without one
  CountedWork work;               ///< what both are made of
  double read = 0;                ///< bytes of keys and values, selection included, as a share of full attention's
  std::optional<Score> measured;  ///< by the engine, teacher-forced on the recorded tokens
};

/// One trace.
struct StudyPrompt {
  std::string name, trace;
  std::string fingerprint;  ///< of tokens and model: another trace of that name does not continue this one
  int32_t n_prompt = 0, n_step = 0;
  double predicted_full_ms = 0, recalibrated_full_ms = 0, full_ms = 0;  ///< 0: not known
  std::optional<Calibration> recalibrated;                              ///< found between the rounds of timing
  std::vector<StudiedSetting> settings;

  StudiedSetting* find(const Settings& wanted);
};

nlohmann::json to_json(const StudyPrompt& prompt);
/// Throws Error naming `where` for what is not a study's file.
StudyPrompt study_prompt_from_json(const nlohmann::json& json, const std::string& where);

/// Predicted over measured time, less 1, of a policy's settings (or of all: no policy).
struct TimeResidual {
  std::string policy;
  int64_t n = 0;
  double mean = 0;    ///< of the absolute values
  double bias = 0;    ///< mean with sign
  double most = 0;    ///< the largest, with its sign
  std::string worst;  ///< setting (and prompt) that has it
};
enum class TimesFrom : uint8_t { trace, recalibrated, any };  ///< any: recalibrated where that is known
/// One for each policy that was timed, in the order of the settings, then one for all, which is there alone where
/// nothing was.
std::vector<TimeResidual> time_residuals(const std::vector<const StudyPrompt*>& prompts, TimesFrom from);

/// How one estimate orders the settings of each of some prompts.
struct EstimateScore {
  size_t estimate = 0;  ///< index into estimates()
  std::vector<double> spearman, kendall;
  std::vector<double> regret;  ///< KL of the settings that it picks over that of the best, geometric mean over budgets
  double across = 0;           ///< Spearman over all prompts' settings at once
  double mean_spearman() const;
  double worst_spearman() const;
  double mean_kendall() const;
  double mean_regret() const;
};

/// Every estimate, best mean Spearman first; those that a prompt does not have (nan) last.
std::vector<EstimateScore> score_estimates(const std::vector<const StudyPrompt*>& prompts);

/// The setting an estimate picks among those that cost at most min + share * (full - min), against the best there; the
/// shares tried.
inline constexpr double kRegretShares[] = {0.25, 0.5, 0.75};

/// An estimate chosen on some prompts and judged on the others.
struct HalfJudged {
  size_t estimate = 0;
  std::vector<std::string> chosen_on, judged_on;
  EstimateScore score;  ///< on the others
};
/// Halves of the prompts in turn: every other prompt chooses, the rest judge, and the other way round. Empty for fewer
/// than two prompts.
std::vector<HalfJudged> held_out(const std::vector<const StudyPrompt*>& prompts);
/// The same over every way to cut the prompts in halves (at most 10 prompts), for how stable the choice is.
std::vector<HalfJudged> held_out_all(const std::vector<const StudyPrompt*>& prompts);

/// Through all measured settings above 0, by least squares of the logarithms; spread: e to the residuals' deviation.
KlCurve fit_kl(const std::vector<const StudyPrompt*>& prompts, size_t estimate);

}  // namespace reattend
