// Joins neighbours to ranges.
#include "viz/session/layer_windows.h"

#include <map>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace reattend::viz {

std::string windows_in_words(const TraceInfo& info) {
  struct Range {
    int32_t first, last;
  };
  std::map<int64_t, std::vector<Range>> by_window;
  for (int32_t l = 0; l < info.n_layer; ++l) {
    if (info.acts(l)) continue;
    std::vector<Range>& ranges = by_window[info.windows[static_cast<size_t>(l)]];
    if (!ranges.empty() && ranges.back().last == l - 1) {
      ranges.back().last = l;
    } else {
      ranges.push_back({l, l});
    }
  }
  std::vector<std::string> parts;
  for (const auto& [window, ranges] : by_window) {
    std::vector<std::string> names;
    for (const auto& [first, last] : ranges) {
      names.push_back(first == last ? fmt::format("{}", first) : fmt::format("{} to {}", first, last));
    }
    const bool one = ranges.size() == 1 && ranges[0].first == ranges[0].last;
    parts.push_back(fmt::format("{} {} {} back {} positions by {}", one ? "layer" : "layers", fmt::join(names, ", "),
                                one ? "looks" : "look", window, one ? "itself" : "themselves"));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace reattend::viz
