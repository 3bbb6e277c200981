// Measures every entry of a comparison once in each round.
#include "base/rounds.h"

namespace reattend {

void Rounds::run(int32_t n_round, const TellFn& tell, const Cancel& cancel, const std::function<void()>& round_done) {
  size_t done = 0;
  const size_t total = static_cast<size_t>(n_round) * entries_.size();
  for (int32_t round = 1; round <= n_round; ++round) {
    for (const Entry& each : entries_) {
      if (tell) tell({.name = each.name, .round = round, .n_round = n_round, .done = done, .total = total});
      cancel.check();
      each.run();
      ++done;
    }
    if (round_done) round_done();
  }
}

Rounds::TellFn report_rounds(const ProgressFn& progress, const std::string& what) {
  if (!progress) return {};
  return [progress, what](const Rounds::Next& next) {
    progress(what + ": " + next.name, static_cast<double>(next.done), static_cast<double>(next.total), "runs");
  };
}

}  // namespace reattend
