// Walks a sorted list of names from each place of a text, and takes the longest names first.
#include "engine/text/name_finder.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <tuple>

namespace reattend {

bool NameFinder::Candidate::operator<(const Candidate& other) const {
  return std::tie(size, other.index, other.begin) < std::tie(other.size, index, begin);
}

NameFinder::NameFinder(std::vector<std::string_view> names) : names_(std::move(names)), sorted_(names_.size()) {
  for (size_t i = 0; i < names_.size(); ++i) {
    if (names_[i].empty() || names_[i].size() > kLongestName) throw std::invalid_argument("a name's length");
    sorted_[i] = static_cast<int32_t>(i);
  }
  std::sort(sorted_.begin(), sorted_.end(),
            [this](int32_t a, int32_t b) { return std::tie(names_[a], a) < std::tie(names_[b], b); });
  first_.fill(0);
  for (const std::string_view name : names_) ++first_[static_cast<unsigned char>(name[0]) + size_t{1}];
  for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
}

/// The longest name of at most `limit` bytes that stands at `begin`.
std::optional<NameFinder::Candidate> NameFinder::longest_at(std::string_view text, size_t begin, size_t limit,
                                                            const Allowed& allowed) const {
  const auto lead = static_cast<unsigned char>(text[begin]);
  size_t low = first_[lead], high = first_[lead + size_t{1}];
  std::optional<Candidate> longest;
  const auto at = [&](size_t place, size_t depth) { return names_[sorted_[place]][depth]; };
  for (size_t depth = 1; low < high; ++depth) {
    // A name stands before those that begin with it.
    for (; low < high && names_[sorted_[low]].size() == depth; ++low) {
      const bool is_first = !longest || longest->size < depth;
      if (is_first && allowed(sorted_[low], begin)) longest = {depth, begin, sorted_[low]};
    }
    if (low == high || depth == limit) break;
    const char next = text[begin + depth];
    if (at(low, depth) == next && at(high - 1, depth) == next) continue;
    const auto before = [&](int32_t index, char c) {
      return static_cast<unsigned char>(names_[index][depth]) < static_cast<unsigned char>(c);
    };
    const auto behind = [&](char c, int32_t index) {
      return static_cast<unsigned char>(c) < static_cast<unsigned char>(names_[index][depth]);
    };
    const auto from = sorted_.begin();
    high = static_cast<size_t>(std::upper_bound(from + low, from + high, next, behind) - from);
    low = static_cast<size_t>(std::lower_bound(from + low, from + high, next, before) - from);
  }
  return longest;
}

std::vector<NameFinder::Found> NameFinder::find(std::string_view text, const Allowed& allowed,
                                                const TakesSpace& takes_space) const {
  std::vector<Candidate> heap;
  for (size_t begin = 0; begin < text.size(); ++begin) {
    const auto lead = static_cast<unsigned char>(text[begin]);
    if (first_[lead] == first_[lead + size_t{1}]) continue;  // no name begins so
    const auto longest = longest_at(text, begin, text.size() - begin, allowed);
    if (longest) heap.push_back(*longest);
  }
  std::make_heap(heap.begin(), heap.end());
  std::map<size_t, Found> taken;  // by where they begin
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate best = heap.back();
    heap.pop_back();
    const auto next = taken.lower_bound(best.begin);
    if (next != taken.begin() && std::prev(next)->second.end > best.begin) continue;
    const size_t limit = (next == taken.end() ? text.size() : next->first) - best.begin;
    if (limit == 0) continue;
    if (best.size > limit) {
      const auto shorter = longest_at(text, best.begin, limit, allowed);
      if (!shorter) continue;
      heap.push_back(*shorter);
      std::push_heap(heap.begin(), heap.end());
      continue;
    }
    size_t end = best.begin + best.size;
    if (takes_space(best.index)) {
      end = std::min(text.find_first_not_of(" \t\n\v\f\r", end), best.begin + limit);
    }
    taken.emplace(best.begin, Found{best.begin, end, best.index});
  }
  std::vector<Found> out;
  out.reserve(taken.size());
  for (const auto& [begin, found] : taken) out.push_back(found);
  return out;
}

}  // namespace reattend
