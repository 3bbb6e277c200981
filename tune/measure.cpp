// Measures settings beside full attention, which comes first in each round; the last answer is over all rounds.
#include "tune/measure.h"

namespace reattend {

std::vector<Score> measure_in_rounds(std::span<const Settings> settings, std::span<const std::string> names, bool timed,
                                     const std::function<Score(const Settings&)>& measure, const Rounds::TellFn& tell,
                                     const Cancel& cancel) {
  const Settings full("full");
  const auto is_timed_anyway = [&](const Settings& each) { return timed && each == full; };
  std::vector<Score> found(settings.size());
  Score of_full;
  Rounds rounds;
  if (timed) rounds.add(full.summary(), [&] { of_full = measure(full); });
  for (size_t i = 0; i < settings.size(); ++i) {
    if (is_timed_anyway(settings[i])) continue;
    rounds.add(names[i], [&found, &measure, &settings, i] { found[i] = measure(settings[i]); });
  }
  rounds.run(timed ? kMeasureRounds : 1, tell, cancel);
  for (size_t i = 0; i < settings.size(); ++i) {
    if (is_timed_anyway(settings[i])) found[i] = of_full;
    if (!timed) found[i].ms = Score::kNone;
    found[i].full_ms = of_full.ms;
  }
  return found;
}

}  // namespace reattend
