// All analyses of a trace, layer by layer, so that each layer is prepared once.
#pragma once
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "replay/analysis/cosine.h"
#include "replay/analysis/coverage.h"
#include "replay/analysis/gate.h"
#include "replay/analysis/lost.h"
#include "replay/analysis/overlap.h"
#include "replay/analysis/sensitivity.h"
#include "replay/analysis/stride.h"

namespace reattend {

/// `recorded` looks at nothing anew: it is what the recording measured of itself, by layer.
enum class Analysis : uint8_t { overlap, coverage, cosine, gate, stride, lost, sensitivity, recorded };
inline constexpr std::array<std::string_view, 8> kAnalyses = {"overlap", "coverage", "cosine",      "gate",
                                                              "stride",  "lost",     "sensitivity", "recorded"};

struct AnalysisRequest {
  std::set<Analysis> what;
  /// What `lost` and `sensitivity` replay. The others look at recycled attention, with what this says of K, S, reduce,
  /// pool and similarity where it takes those.
  Settings settings = Settings("recycled");
  std::vector<int32_t> layers;                               ///< empty: all that are stored
  std::vector<int32_t> budgets;                              ///< of overlap, coverage and sensitivity
  std::vector<int32_t> curve;                                ///< K along the coverage curve, the budgets among them
  std::vector<int32_t> lags;                                 ///< of overlap and gate
  std::vector<int32_t> strides;                              ///< of cosine
  std::vector<double> thresholds;                            ///< of gate and stride
  std::vector<double> levels = {0.5, 0.8, 0.9, 0.95, 0.99};  ///< of coverage
  double rho = 0.9;                                          ///< gate: a normalised mass below this wants a refresh
  OldSet gate_set = OldSet::attended;
  LostRequest lost;
};
/// Lists that make sense for a trace of this size: budgets L/32 to L/4 and K, lags 1, 2, 4, ... 64, strides 4, 16, 64,
/// thresholds 0.7 to 0.95, a curve by powers of two. Lists that are not empty stay.
void fill_in(AnalysisRequest& request, const TraceInfo& info);

/// One entry for each layer asked for; empty where the analysis was not.
struct AnalysisResult {
  AnalysisRequest request;
  Settings recycled = Settings("recycled");  ///< what the analyses of recycled attention took
  std::vector<LayerOverlap>
      overlap;  ///< budgets: K of the layer, then the request's; lags: S (see own_lag()), then those
  std::vector<LayerCoverage> coverage;
  std::vector<LayerCosine> cosine;
  std::vector<std::vector<GateCases>> gate;  ///< [lags as in overlap][layers]; budget K
  std::vector<LayerStride> stride;
  std::vector<LayerLost> lost;
  std::vector<LayerSensitivity> sensitivity;
};

/// Recycled attention with the values that another policy shares with it: what the analyses of kept sets look at.
Settings recycled_of(const Settings& settings);

/// The lag that stands for the setting: S, or the largest of `lags` that the trace has where S is `never` or longer
/// than it.
int32_t own_lag(const Settings& recycled, int32_t layer, std::span<const int32_t> lags, int32_t n_step);

/// `recorded`: steps() of the trace. Throws Cancelled, or Error: a trace without steps, layers it does not have, a
/// setting that does not fit it.
AnalysisResult analyse(Replayer& replayer, const StepData& recorded, const AnalysisRequest& request,
                       ThreadPool& threads, const ProgressFn& progress, const Cancel& cancel);

}  // namespace reattend
