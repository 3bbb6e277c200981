// Tries values in the order of what they cost, each by a replay of the one layer.
#include "viz/session/cure.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/policy.h"
#include "policies/shared_parameters.h"
#include "policies/value_text.h"
#include "viz/session/ledger.h"

namespace reattend::viz {
namespace {

constexpr double kDigits = 1000;  ///< thresholds are rounded up to such a part where that keeps the position too

}  // namespace

CureSearch::CureSearch(Replayer& replayer, const Settings& settings, const RowPlace& at, int32_t position,
                       const Cancel& cancel)
    : replayer_(replayer), settings_(settings), at_(at), position_(position), cancel_(cancel) {}

Settings CureSearch::with(const std::string& key, const Value& value) const {
  return with_value(settings_, key, value, {at_.layer}, replayer_.info().n_layer);
}

Cure CureSearch::cure(const std::string& key, const Value& value) const {
  return {.key = key, .value = value, .settings = with(key, value), .change = change_in_words(key, value)};
}

/// Null where the policy refuses the setting.
const LayerReplay* CureSearch::replay(const Settings& settings) {
  try {
    make_policy(settings, replayer_.info().run_shape());
  } catch (const Error&) {
    return nullptr;
  }
  replayed_ = replayer_.run({.settings = settings,
                             .layers = {at_.layer},
                             .output_error = false,
                             .keep_sets = true,
                             .set_steps = {at_.step, at_.step},
                             .set_kv_head = at_.kv_head},
                            {}, cancel_);
  return &replayed_.layers.front();
}

bool CureSearch::keeps(const std::string& key, const Value& value) {
  const LayerReplay* const layer = replay(with(key, value));
  if (layer == nullptr) return false;
  const size_t row = static_cast<size_t>(at_.step - 1) * replayer_.info().n_kv_head + at_.kv_head;
  return layer->sets[row].holds(position_);
}

std::optional<Cure> CureSearch::least_budget(int32_t hint) {
  const std::string key(kBudget.key);
  const TraceInfo& info = replayer_.info();
  const Settings now = in_layer(settings_, at_.layer);
  if (now.is_auto(key)) return {};
  int64_t less = now.count(key, 0, info.n_prompt);  // does not keep it
  int64_t enough = hint;
  if (hint > less && keeps(key, int64_t{hint})) {
    if (hint - 1 == less || !keeps(key, int64_t{hint} - 1)) return cure(key, int64_t{hint});
    enough = hint - 1;
  } else {
    const int64_t most = int64_t{info.n_prompt} + at_.step;
    enough = less;
    do {
      if (enough >= most) return {};
      less = enough;
      enough = std::min(2 * enough, most);
    } while (!keeps(key, enough));
  }
  while (enough - less > 1) {
    const int64_t middle = less + (enough - less) / 2;
    (keeps(key, middle) ? enough : less) = middle;
  }
  return cure(key, enough);
}

std::optional<Cure> CureSearch::greatest_stride() {
  const std::string key(kStride.key);
  // A stride beyond the step is not due before it.
  const int64_t now = in_layer(settings_, at_.layer).count_or_never(key, 0).value_or(INT64_MAX);
  for (int64_t stride = std::min<int64_t>(now - 1, at_.step); stride >= 1; --stride) {
    if (keeps(key, stride)) return cure(key, stride);
  }
  return {};
}

/// Goes from one threshold at which decisions change to the next, so that none is left out.
std::optional<Cure> CureSearch::least_threshold() {
  const std::string key(kThreshold.key);
  const auto policy = make_policy(settings_, replayer_.info().run_shape());
  const LayerReplay* layer = replay(settings_);
  for (double now = in_layer(settings_, at_.layer).real(key, 0); layer != nullptr;) {
    double next = HUGE_VAL;
    for (int32_t t = 1; t <= at_.step; ++t) {
      const Plan plan = policy->plan(at_.layer, t);
      const size_t row = static_cast<size_t>(t - 1) * replayer_.info().n_kv_head + at_.kv_head;
      const double cosine = layer->cos[row];
      const bool stayed = plan.gated && (plan.or_equal ? cosine >= now : cosine > now);
      if (stayed) next = std::min(next, plan.or_equal ? std::nextafter(cosine, 2) : cosine);
    }
    if (next > kThreshold.off_above) return {};
    if (keeps(key, next)) {
      const double rounded = std::ceil(next * kDigits) / kDigits;
      return cure(key, rounded > next && keeps(key, rounded) ? rounded : next);
    }
    layer = replayed_.layers.empty() ? nullptr : &replayed_.layers.front();
    now = next;
  }
  return {};
}

std::vector<Cure> CureSearch::find(int32_t budget) {
  std::vector<Cure> out;
  for (const std::string& key : layer_keys(settings_)) {
    const std::optional<Cure> found = key == kBudget.key   ? least_budget(budget)
                                      : key == kStride.key ? greatest_stride()
                                                           : least_threshold();
    if (found) out.push_back(*found);
  }
  return out;
}

}  // namespace reattend::viz
