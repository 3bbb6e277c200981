// Parallel coordinates: one upright axis for each number of a setting, a line across them for each setting.
#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <imgui.h>

namespace reattend::viz {

struct ParallelAxis {
  std::string title;
  double low = 0, high = 1;  ///< of what is shown
  bool logarithmic = false;  ///< which needs low > 0
  /// 0 at the lower end, 1 at the upper one.
  double place(double value) const;
  double value_at(double place) const;
};
/// Around the finite values; logarithmic where asked for and all are above 0.
ParallelAxis axis_around(const std::string& title, std::span<const double> values, bool logarithmic);  // [n]

struct ParallelLine {
  std::vector<double> values;  ///< [n_axis]; nan: not known, where the line is interrupted
  ImU32 color = 0;
  float width = 1;
};

/// Keeps the ranges that were dragged on axes, by their titles.
class ParallelAxes {
 public:
  /// Draws lines that pass on top of those that don't, which are dim. Drag on an axis: only lines that cross it there
  /// pass; click on it: all do again. Returns the line under the mouse.
  std::optional<size_t> draw(const char* id, ImVec2 size, std::span<const ParallelAxis> axes,  // [n_axis]
                             std::span<const ParallelLine> lines);                             // [n_line]
  /// Within all ranges; a value that is not known is within none.
  bool passes(std::span<const ParallelAxis> axes, std::span<const double> values) const;  // [n_axis]
  bool filters() const { return !ranges_.empty(); }
  void clear() { ranges_.clear(); }

 private:
  struct Range {
    double low = 0, high = 0;
  };
  void drag(const ParallelAxis& axis, bool pressed, double place);

  std::map<std::string, Range> ranges_;  ///< in the axes' values
  std::string dragged_;                  ///< title of the axis
  double from_ = 0;                      ///< place where the drag began
};

}  // namespace reattend::viz
