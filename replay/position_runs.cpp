// Puts the two runs and the kept entries of an attended set in order, and joins what touches.
#include "replay/position_runs.h"

namespace reattend {

PositionRuns::PositionRuns(const PositionSet& set, std::span<const int32_t> kept) : size_(set.size()) {
  const Run lead = {0, set.lead}, tail = {set.tail, std::max(set.tail, set.end)};
  std::vector<Run> all;
  all.reserve(kept.size() + 2);
  const auto add = [&](Run run) {
    if (run.begin >= run.end) return;
    if (!all.empty() && all.back().end == run.begin) {
      all.back().end = run.end;
    } else {
      all.push_back(run);
    }
  };
  add(lead);
  bool open = true;  // the tail has not been added: entries behind its beginning would come after it
  for (const int32_t p : kept) {
    if (open && p >= tail.end) add(tail), open = false;
    add({p, p + 1});
  }
  if (open) add(tail);
  runs_.assign(all.begin(), all.end());
}

bool PositionRuns::holds(int32_t position) const {
  const auto behind = std::ranges::upper_bound(runs_, position, {}, &Run::begin);
  return behind != runs_.begin() && position < std::prev(behind)->end;
}

std::vector<int32_t> PositionRuns::list() const {
  std::vector<int32_t> positions;
  positions.reserve(static_cast<size_t>(size_));
  for (const Run& run : runs_) {
    for (int32_t p = run.begin; p < run.end; ++p) positions.push_back(p);
  }
  return positions;
}

PositionMasks::PositionMasks(int32_t first_step, std::span<const PositionRuns> sets, int32_t n_position)
    : first_step_(first_step),
      n_step_(static_cast<int32_t>(sets.size())),
      n_word_(n_position / 64 + 1),
      words_(sets.size() * static_cast<size_t>(n_word_)) {
  for (size_t i = 0; i < sets.size(); ++i) {
    uint64_t* const words = words_.data() + i * static_cast<size_t>(n_word_);
    for (const PositionRuns::Run& run : sets[i].runs()) {
      for (int32_t p = run.begin; p < run.end;) {
        const int32_t n = std::min(run.end - p, 64 - p % 64);  // as many as fit the word
        words[p / 64] |= (~uint64_t{0} >> (64 - n)) << p % 64;
        p += n;
      }
    }
  }
}

}  // namespace reattend
