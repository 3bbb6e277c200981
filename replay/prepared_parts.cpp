// Gives the parts of a prepared layer to be kept elsewhere, and takes them back.
#include <algorithm>

#include "replay/prepared.h"

namespace reattend {

bool PreparedLayer::lacks(Part part, const Need& need) const {
  const Pass pass = missing(need);
  switch (part) {
    case Part::rows:
      return pass.rows;
    case Part::best:
      return pass.masses;
    case Part::ranks:
      return pass.ranks;
    case Part::outputs:
      break;
  }
  return pass.outputs;
}

std::vector<std::span<const std::byte>> PreparedLayer::made_arrays(Part part) const {
  if (steps_ != all_steps()) return {};
  switch (part) {
    case Part::rows:
      if (rows_ready_ && !rows_.is_borrowed()) return rows_.arrays();
      break;
    case Part::best:
      if (masses_ready_ && !best_.is_borrowed()) return best_.arrays();
      break;
    case Part::ranks:
      if (rank_.present && !ranking.lists.is_borrowed()) return {ranking.lists.as_bytes(), current_.as_bytes()};
      break;
    case Part::outputs:
      if (outputs_ready_ && !outputs_.is_borrowed()) return {outputs_.as_bytes()};
      break;
  }
  return {};
}

int32_t PreparedLayer::depth_of(Part part) const {
  return part == Part::best ? best_.depth() : part == Part::ranks ? ranking.lists.depth() : 0;
}

bool PreparedLayer::take(Part part, int32_t depth, const RankNeed& rank, const KeptBytes& from) {
  const int32_t n_last = n_row(n_step_);
  if (steps_ != all_steps() || depth < 0 || depth > n_last) return false;
  switch (part) {
    case Part::rows:
      if (!rows_.borrow(n_kv_head(), all_steps().size(), n_row(0), from)) return false;
      return rows_ready_ = true;
    case Part::best:
      if (!best_.borrow(n_unit(), depth, from)) return false;
      return masses_ready_ = true;
    case Part::ranks: {
      // A rank is a place in the list, or past the end.
      const bool fits = from.is_of<int32_t>(1, n_unit()) &&
                        std::ranges::all_of(from.of<int32_t>(1), [n_last](int32_t r) { return r >= 0 && r <= n_last; });
      if (!fits || !ranking.lists.borrow(n_unit(), depth, n_last, from)) return false;
      from.lend(1, current_);
      ranking.masses.resize(n_unit(), 0, false);
      rank_ = rank;
      return true;
    }
    case Part::outputs:
      break;
  }
  if (!has_values() || !from.is_of<float>(0, output_count(all_steps()))) return false;
  from.lend(0, outputs_);
  return outputs_ready_ = true;
}

}  // namespace reattend
