// Judges a gate in one pass over its cases sorted by cosine.
#include "replay/analysis/gate.h"

#include <algorithm>

namespace reattend {
namespace {

double normalised_of(const AgedSet& set, OldSet which) {
  return which == OldSet::attended ? static_cast<double>(set.attended) / set.attended_oracle
                                   : static_cast<double>(set.stale) / set.oracle;
}

}  // namespace

GateCases gate_cases(const PreparedLayer& prepared, const LayerOverlap& overlap, size_t lag, size_t budget, OldSet set,
                     const CosineRule& rule) {
  GateCases out{.layer = overlap.layer, .lag = overlap.lags[lag]};
  const AgedSet* const all = overlap.of(lag, budget);
  for (int32_t t = out.lag; t <= overlap.n_step; ++t) {
    const AgedSet* const heads = all + int64_t{t - 1} * overlap.n_kv_head;
    double sum = 0;
    for (int32_t g = 0; g < overlap.n_kv_head; ++g) {
      const double one = normalised_of(heads[g], set);
      if (rule.per_kv_head) out.normalised.push_back(static_cast<float>(one));
      sum += one;
    }
    if (!rule.per_kv_head) out.normalised.push_back(static_cast<float>(sum / overlap.n_kv_head));
    for (size_t stage = 0; stage < kStages.size(); ++stage) {
      for (int32_t unit = 0; unit < rule.n_unit(prepared); ++unit) {
        out.cosine[stage].push_back(static_cast<float>(rule(prepared, kStages[stage], unit, t, t - out.lag)));
      }
    }
  }
  return out;
}

GateScore gate_score(std::span<const GateCases> cases, size_t stage, double rho, double threshold) {
  GateScore out{.threshold = threshold};
  for (const GateCases& each : cases) {
    for (size_t i = 0; i < each.normalised.size(); ++i) {
      const bool bad = each.normalised[i] < rho, refreshed = !(each.cosine[stage][i] > threshold);
      ++out.n, out.n_bad += bad;
      out.hits += refreshed && bad, out.false_alarms += refreshed && !bad;
    }
  }
  return out;
}

GateCurve gate_curve(std::span<const GateCases> cases, size_t stage, double rho) {
  struct Case {
    float cosine;
    bool bad;
  };
  std::vector<Case> sorted;
  int64_t n_bad = 0;
  for (const GateCases& each : cases) {
    for (size_t i = 0; i < each.normalised.size(); ++i) {
      sorted.push_back({each.cosine[stage][i], each.normalised[i] < rho});
      n_bad += sorted.back().bad;
    }
  }
  std::sort(sorted.begin(), sorted.end(), [](const Case& a, const Case& b) { return a.cosine < b.cosine; });
  const auto n = static_cast<int64_t>(sorted.size());
  GateCurve out;
  out.points.push_back({.threshold = -1, .n = n, .n_bad = n_bad});
  double area = 0;  // in units of one bad times one good case
  for (size_t i = 0; i < sorted.size();) {
    const float cosine = sorted[i].cosine;
    GateScore next = out.points.back();
    for (; i < sorted.size() && sorted[i].cosine == cosine; ++i) ++(sorted[i].bad ? next.hits : next.false_alarms);
    next.threshold = i < sorted.size() ? (static_cast<double>(cosine) + sorted[i].cosine) / 2 : std::max(1.0F, cosine);
    area += static_cast<double>(next.false_alarms - out.points.back().false_alarms) *
            static_cast<double>(next.hits + out.points.back().hits) / 2;
    out.points.push_back(next);
    if (out.has_both() && next.youden() > out.points[out.best].youden()) out.best = out.points.size() - 1;
  }
  if (out.has_both()) out.auc = area / (static_cast<double>(n_bad) * static_cast<double>(n - n_bad));
  return out;
}

double mean_auc(std::span<const GateCases> layers, size_t stage, double rho) {
  std::vector<float> own;
  for (const GateCases& layer : layers) {
    own.push_back(static_cast<float>(gate_curve(std::span(&layer, 1), stage, rho).auc));
  }
  return spread(std::move(own)).mean;
}

}  // namespace reattend
