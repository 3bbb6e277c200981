// Round after round, full attention first in each; the last round's answer is over all of them.
#include "tune/turns.h"

#include <algorithm>
#include <limits>

namespace reattend {

std::vector<Measured> measure_in_turns(std::span<const Settings> settings,  // [n_setting]
                                       bool timed, const std::function<Measured(const Settings&)>& measure,
                                       const std::function<void(const Settings&, size_t done, size_t of)>& tell,
                                       const Cancel& cancel) {
  const Settings full;
  const auto is_timed_anyway = [&](const Settings& each) { return timed && each.is_full(); };
  const auto n_anyway = static_cast<size_t>(std::count_if(settings.begin(), settings.end(), is_timed_anyway));
  const size_t n_round = timed ? kMeasureRounds : 1, per_round = settings.size() - n_anyway + (timed ? 1 : 0);
  std::vector<Measured> found(settings.size());
  size_t done = 0;
  const auto ask = [&](const Settings& each) {
    tell(each, done++, n_round * per_round);
    cancel.check();
    return measure(each);
  };
  for (size_t round = 0; round < n_round; ++round) {
    const Measured of_full = timed ? ask(full) : Measured();
    for (size_t i = 0; i < settings.size(); ++i) {
      found[i] = is_timed_anyway(settings[i]) ? of_full : ask(settings[i]);
      found[i].full_ms = of_full.ms_per_token;
      if (!timed) found[i].ms_per_token = std::numeric_limits<double>::quiet_NaN();
    }
  }
  return found;
}

}  // namespace reattend
