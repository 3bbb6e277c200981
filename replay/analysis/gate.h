// Can the query's cosine tell when an old kept set no longer serves? A gate judged as any detector is: ROC, precision,
// recall.
#pragma once
#include <array>
#include <span>
#include <vector>

#include "replay/analysis/cosine.h"
#include "replay/analysis/overlap.h"

namespace reattend {

/// Steps t of one layer (or KV head) with a refresh `lag` steps back: what the gate sees, and what staying would give.
struct GateCases {
  int32_t layer = 0, lag = 0;
  std::array<std::vector<float>, kStages.size()> cosine;  ///< [stages] of query t to query t - lag
  std::vector<float> normalised;  ///< mass of the old set over the oracle's; of a layer the mean over its KV heads
};

enum class OldSet : uint8_t {
  attended,  ///< AgedSet::attended over attended_oracle: what a partial step reads, the positions since included
  stale,     ///< AgedSet::stale over oracle: the old set by itself
};

/// Cases of one lag and budget (places in the request that `overlap` was made for).
GateCases gate_cases(const PreparedLayer& prepared, const LayerOverlap& overlap, size_t lag, size_t budget, OldSet set,
                     const CosineRule& rule);

/// What a threshold makes of the cases: a case with a cosine not above it is refreshed; it is bad where normalised <
/// rho.
struct GateScore {
  double threshold = Spread::kNone;
  int64_t n = 0, n_bad = 0;            ///< cases, those that should be refreshed
  int64_t hits = 0, false_alarms = 0;  ///< refreshed and bad; refreshed without need
  double refreshed() const { return ratio(hits + false_alarms, n); }
  double recall() const { return ratio(hits, n_bad); }
  double false_alarm_rate() const { return ratio(false_alarms, n - n_bad); }
  double precision() const { return ratio(hits, hits + false_alarms); }
  double f1() const { return ratio(2 * hits, hits + false_alarms + n_bad); }
  double youden() const { return recall() - false_alarm_rate(); }

 private:
  static double ratio(int64_t a, int64_t b) {
    return b > 0 ? static_cast<double>(a) / static_cast<double>(b) : Spread::kNone;
  }
};
GateScore gate_score(std::span<const GateCases> cases, size_t stage, double rho, double threshold);

/// All thresholds that make a difference, from the one that refreshes nothing to the one that refreshes everything,
/// each half way between two cosines that occur.
struct GateCurve {
  std::vector<GateScore> points;
  double auc = Spread::kNone;  ///< chance that a bad case has a lower cosine than a good one; nan without either
  size_t best = 0;             ///< of the highest Youden's J; the lowest threshold of equals
  bool has_both() const { return !points.empty() && points[0].n_bad > 0 && points[0].n_bad < points[0].n; }
};
GateCurve gate_curve(std::span<const GateCases> cases, size_t stage, double rho);
/// Mean of the layers' own areas, of those that have one: thresholds for each layer can reach it, one for all cannot.
double mean_auc(std::span<const GateCases> layers, size_t stage, double rho);

}  // namespace reattend
