// Scores a setting when it is first asked for, and times it at every call.
#include "evals/setting_scorer.h"

#include <algorithm>

namespace reattend {

Score SettingScorer::measure(const Settings& settings, const ProgressFn& progress, const Cancel& cancel) {
  auto entry =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& each) { return each.settings == settings; });
  if (entry == entries_.end()) {
    const TeacherForced forced =
        run_teacher_forced(backend_, model_, prefilled_, full_, settings, false, progress, cancel);
    entry = entries_.insert(entry, {.settings = settings, .score = summarize(forced.steps), .clock = {}});
  }
  run_timed(backend_, model_, prefilled_, full_, settings, entry->clock, progress, cancel);
  entry->score.ms = entry->clock.ms_per_token();
  return entry->score;
}

}  // namespace reattend
