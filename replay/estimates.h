// Estimates of how much a setting will hurt, from what a replay says of it: a table of names and functions, lower is
// better. Which of them ranks settings as the engine's KL does is a question for `reattend study`.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "replay/replay.h"

namespace reattend {

/// What estimates look at: layers replayed with ReplayRequest::estimates (and output_error where there are values).
struct ReplayedRun {
  int32_t n_step = 0;
  std::span<const LayerReplay> layers;
};

struct Estimate {
  std::string_view name;  ///< in JSON, tables and on the command line
  std::string_view description;
  bool needs_values;  ///< nan where the trace has none
  double (*value)(const ReplayedRun& run);
};

/// All of them, the plainest first.
std::span<const Estimate> estimates();
/// nullptr when there is none of that name.
const Estimate* find_estimate(std::string_view name);
/// Throws Error (usage) for an unknown name, which `option` gave.
const Estimate& estimate_named(std::string_view name, const std::string& option);
/// Squared error of a layer's whole output (all heads together) over its mean squared output, mean over steps; nan
/// without values. Summed over layers it is step_error_squares.
double layer_error(const LayerReplay& layer, int32_t n_step);

/// Parallel to estimates(); nan for what the run does not have.
std::vector<double> evaluate_estimates(const ReplayedRun& run);

/// Positions that nearly every head looks at whatever the text says, and nearly every policy keeps: attention that is
/// lost elsewhere is told apart from it.
inline constexpr int32_t kSinkPositions = 4, kRecentPositions = 64;

/// Fills entry `at` of the losses but for the outputs' norms: those of a step that attended to `set`. `row` is working
/// space.
void measure_losses(const PreparedLayer& prepared, int32_t kv_head, int32_t t, const PositionRuns& set, size_t at,
                    std::vector<float>& row, ReplayLosses& losses);
/// norms [group] of a KV head's outputs of full attention at a step that is prepared with them.
void output_norms(const PreparedLayer& prepared, int32_t kv_head, int32_t t, float* norms);

}  // namespace reattend
