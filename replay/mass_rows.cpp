// Rounds attention rows without losing mass, and keeps running sums where they are looked up.
#include "replay/mass_rows.h"

namespace reattend {

void MassRows::resize(int32_t n_kv_head, int32_t n_row, int32_t n_first) {
  n_row_ = n_row, n_first_ = n_first;
  n_run_ = n_run_of(n_row, n_first);
  entries_.resize(static_cast<size_t>(start(n_kv_head, 0)));
  runs_.resize(static_cast<size_t>(int64_t{n_kv_head} * n_row * n_run_));
}

bool MassRows::borrow(int32_t n_kv_head, int32_t n_row, int32_t n_first, const KeptBytes& from) {
  const int32_t n_run = n_run_of(n_row, n_first);
  const bool fits = from.is_of<uint8_t>(0, n_kv_head * bytes_before(n_row, n_first)) &&
                    from.is_of<MassUnits>(1, int64_t{n_kv_head} * n_row * n_run);
  if (!fits) return false;
  n_row_ = n_row, n_first_ = n_first, n_run_ = n_run;
  from.lend(0, entries_), from.lend(1, runs_);
  return true;
}

void MassRows::set(int32_t kv_head, int32_t t, const float* row) {
  uint8_t* to = entries_.own() + start(kv_head, t);
  MassUnits* const runs = runs_.own() + (int64_t{kv_head} * n_row_ + t) * n_run_;
  const int32_t n = n_first_ + t;
  double exact = 0;
  MassUnits rounded = 0;
  for (int32_t i = 0; i < n; ++i, to += 3) {
    if (i % MassRow::kRun == 0) runs[i / MassRow::kRun] = rounded;
    exact += static_cast<double>(row[i]) * kWholeMass;
    const MassUnits units = std::min(static_cast<MassUnits>(static_cast<int64_t>(exact + 0.5)) - rounded, kWholeMass);
    rounded += units;
    to[0] = static_cast<uint8_t>(units), to[1] = static_cast<uint8_t>(units >> 8);
    to[2] = static_cast<uint8_t>(units >> 16);
  }
  if (n % MassRow::kRun == 0) runs[n / MassRow::kRun] = rounded;
}

void BestMasses::resize(int64_t n_list, int32_t depth) {
  depth_ = depth;
  n_first_ = std::min(depth, kFirst);
  n_line_ = n_line_of(depth);
  first_.resize(static_cast<size_t>(n_list * n_first_));
  lines_.resize(static_cast<size_t>(n_list * n_line_));
}

bool BestMasses::borrow(int64_t n_list, int32_t depth, const KeptBytes& from) {
  const int32_t n_first = std::min(depth, kFirst), n_line = n_line_of(depth);
  if (!from.is_of<MassUnits>(0, n_list * n_first) || !from.is_of<Line>(1, n_list * n_line)) return false;
  depth_ = depth, n_first_ = n_first, n_line_ = n_line;
  from.lend(0, first_), from.lend(1, lines_);
  return true;
}

void BestMasses::set(int64_t list, const MassRow& row, const int32_t* positions, int32_t n) {
  MassUnits sum = 0;
  MassUnits* const first = first_.own() + list * n_first_;
  for (int32_t i = 0; i < std::min(n, n_first_); ++i) first[i] = sum += row[positions[i]];
  Line* const lines = lines_.own() + list * n_line_;
  for (int32_t i = kFirst; i < n; ++i) {
    Line& line = lines[(i - kFirst) / kLine];
    const int32_t at = (i - kFirst) % kLine;
    if (at == 0) line.before = sum;
    const MassUnits units = row[positions[i]];
    line.more[at] = static_cast<uint16_t>(units), sum += units;
  }
}

MassUnits BestMasses::sum(int64_t list, int32_t n) const {
  if (n <= n_first_) return n > 0 ? first_[static_cast<size_t>(list * n_first_ + n - 1)] : 0;
  const Line& line = lines_[static_cast<size_t>(list * n_line_ + (n - 1 - kFirst) / kLine)];
  MassUnits sum = line.before;
  for (int32_t i = 0; i <= (n - 1 - kFirst) % kLine; ++i) sum += line.more[i];
  return sum;
}

}  // namespace reattend
