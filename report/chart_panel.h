// One panel of a figure as SVG elements, and what its series look like there and in the legend.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "report/chart.h"

namespace reattend {

inline constexpr double kPlotHeight = 380;  ///< of a panel with its titles
inline constexpr double kPlotText = 12;     ///< size of axis titles and legend

/// Series by name, in the order of their first appearance.
class Styles {
 public:
  explicit Styles(const Chart& chart) {
    for (const Panel& panel : chart.panels) {
      for (const Series& series : panel.series) add(series);
    }
  }
  size_t of(const std::string& name) const {
    return static_cast<size_t>(
        std::find_if(entries_.begin(), entries_.end(), [&](const Series& each) { return each.name == name; }) -
        entries_.begin());
  }
  /// Name, and whether lines and points appear anywhere.
  const std::vector<Series>& entries() const { return entries_; }

 private:
  void add(const Series& series) {
    const size_t at = of(series.name);
    if (at == entries_.size()) entries_.push_back({.name = series.name, .line = false, .style = series.style});
    entries_[at].line |= series.line, entries_[at].points |= series.points;
  }
  std::vector<Series> entries_;
};

/// The mark of a point, and its shape by series, so that colour is not all there is.
std::string shape(double x, double y, size_t style, PointStyle how);
/// Attributes of a series' line.
std::string stroke(size_t style);

/// Between `left` and `right` of a figure that is `width` wide; `id` tells its clip path from others.
std::string panel_elements(const Panel& panel, const Styles& styles, const std::string& id, double width, double left,
                           double top, double right);

}  // namespace reattend
