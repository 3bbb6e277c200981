// Joins neighbours to ranges.
#include "viz/session/layer_windows.h"

#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace reattend::viz {

std::vector<WindowRun> window_runs(const TraceInfo& info) {
  std::vector<WindowRun> runs;
  for (int32_t l = 0; l < info.n_layer; ++l) {
    if (info.acts(l)) continue;
    const int64_t window = info.windows[static_cast<size_t>(l)];
    if (!runs.empty() && runs.back().last == l - 1 && runs.back().window == window) {
      runs.back().last = l;
    } else {
      runs.push_back({l, l, window});
    }
  }
  return runs;
}

std::string windows_in_words(const TraceInfo& info) {
  std::map<int64_t, std::vector<WindowRun>> by_window;
  for (const WindowRun& each : window_runs(info)) by_window[each.window].push_back(each);
  std::vector<std::string> parts;
  for (const auto& [window, runs] : by_window) {
    std::vector<std::string> names;
    for (const WindowRun& run : runs) {
      names.push_back(run.first == run.last ? fmt::format("{}", run.first)
                                            : fmt::format("{} to {}", run.first, run.last));
    }
    const bool one = runs.size() == 1 && runs[0].first == runs[0].last;
    parts.push_back(fmt::format("{} {} {} back {} positions by {}", one ? "layer" : "layers", fmt::join(names, ", "),
                                one ? "looks" : "look", window, one ? "itself" : "themselves"));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace reattend::viz
