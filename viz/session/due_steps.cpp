// Asks the policy's own plans which steps have a gate.
#include "viz/session/due_steps.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "policies/policy.h"
#include "policies/shared_parameters.h"

namespace reattend::viz {
namespace {

/// The setting with its gate at work, where it has one.
std::unique_ptr<Policy> gated_policy(Settings settings, const TraceInfo& info) {
  if (settings.takes(kThreshold.key)) settings.let_decide(kThreshold.key);
  return make_policy(settings, info.run_shape());
}

}  // namespace

DueSteps due_steps(const LayerReplay& layer, const Settings& settings, const TraceInfo& info) {
  const std::unique_ptr<Policy> policy = gated_policy(settings, info);
  DueSteps out{
      .decides = !settings.takes(kThreshold.key) || settings.decides(kThreshold.key), .steps = {}, .count = {}};
  int64_t n_full = 0;
  for (int32_t t = 1; t <= info.n_step; ++t) {
    const bool due = policy->plan(layer.layer, t).gated;
    for (int32_t g = 0; g < info.n_kv_head; ++g) {
      const auto at = static_cast<size_t>(int64_t{t - 1} * info.n_kv_head + g);
      const bool refreshed = layer.full[at] != 0;
      n_full += refreshed;
      if (!due) continue;
      out.steps.push_back({.step = t,
                           .kv_head = g,
                           .similarity = layer.cos[at],
                           .refreshed = refreshed,
                           .lost = 1 - layer.recovered[at]});
      ++out.count.n_due, out.count.n_refreshed += refreshed;
    }
  }
  out.count.apart = static_cast<double>(layer.full.size()) / static_cast<double>(n_full);
  return out;
}

std::string in_words(const GateCount& count) {
  if (count.n_due == 0) return "no step is due";
  const std::string apart =
      std::isinf(count.apart) ? std::string("never") : fmt::format("{:.1f} steps apart", count.apart);
  return fmt::format("refreshes {} due steps \u2192 {}",
                     count.n_refreshed == count.n_due ? "all" : fmt::format("{:.0f} % of", 100 * count.share()), apart);
}

std::string why_no_similarity(const Settings& settings, const TraceInfo& info, int32_t layer) {
  if (info.n_step < 1 || make_policy(settings, info.run_shape())->plan(layer, 1).compare.present) return {};
  return fmt::format("{} compares no queries under this setting: it has no similarity, and no threshold on one",
                     settings.policy());
}

std::vector<double> deciding_thresholds(const DueSteps& due) {
  std::vector<double> out;
  for (const DueStep& each : due.steps) {
    if (!std::isnan(each.similarity)) out.push_back(each.similarity);
  }
  std::ranges::sort(out);
  const auto twice = std::ranges::unique(out);
  out.erase(twice.begin(), twice.end());
  return out;
}

double rounded_threshold(double threshold, std::span<const double> deciding, bool or_equal) {
  // Thresholds decide alike from one similarity up to the next: the lower end included, or the upper one where equals
  // stay.
  const auto above =
      or_equal ? std::ranges::lower_bound(deciding, threshold) : std::ranges::upper_bound(deciding, threshold);
  const double low = above == deciding.begin() ? -HUGE_VAL : *std::prev(above);
  const double high = above == deciding.end() ? HUGE_VAL : *above;
  const auto alike = [&](double x) { return or_equal ? x > low && x <= high : x >= low && x < high; };
  constexpr int kFewest = 3, kMost = 16;
  for (int digits = kFewest; digits <= kMost; ++digits) {
    const double scale = std::pow(10.0, digits);
    double best = HUGE_VAL;
    for (const double x :
         {std::round(threshold * scale) / scale, std::ceil(low * scale) / scale, std::floor(high * scale) / scale}) {
      if (alike(x) && std::abs(x - threshold) < std::abs(best - threshold)) best = x;
    }
    if (std::isfinite(best)) return best;
  }
  return threshold;
}

double snapped_threshold(double threshold, double reach, std::span<const double> deciding, bool or_equal) {
  double nearest = HUGE_VAL;
  for (const double each : deciding) {
    if (std::abs(each - threshold) < std::abs(nearest - threshold)) nearest = each;
  }
  const bool near = std::abs(nearest - threshold) <= reach;
  return rounded_threshold(near ? nearest : threshold, deciding, or_equal);
}

bool stays_at_equal(const Settings& settings, const TraceInfo& info, int32_t layer) {
  const std::unique_ptr<Policy> policy = gated_policy(settings, info);
  for (int32_t t = 1; t <= info.n_step; ++t) {
    const Plan plan = policy->plan(layer, t);
    if (plan.gated) return plan.or_equal;
  }
  return false;
}

}  // namespace reattend::viz
