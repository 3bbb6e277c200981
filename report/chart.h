// A figure of panels side by side, lines and points over linear or logarithmic axes, written as one SVG text.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace reattend {

struct Axis {
  std::string title;
  bool log = false;                 ///< values that are not above 0 have no place on it
  bool whole = false;               ///< layers, steps, positions: no tick stands between two of them
  std::optional<double> low, high;  ///< nothing: as far as the data go
};

/// Filled: what was measured, or where there is nothing to tell apart; hollow: what was predicted; ring: drawn around
/// what is chosen.
enum class PointStyle { filled, hollow, ring };

/// Values that belong together. Series of one name share colour and mark in all panels and one entry of the legend.
struct Series {
  std::string name;
  std::vector<double> x, y;  ///< of equal length; what is not finite is a gap
  bool line = true, points = false;
  PointStyle style = PointStyle::filled;
  std::vector<std::string> labels{};  ///< beside the points, as far as they find room; parallel to x, or none
};

/// A vertical line with its meaning beside it.
struct Mark {
  double x = 0;
  std::string label;
};

/// A horizontal one.
struct Level {
  double y = 0;
  std::string label;
};

struct Panel {
  std::string title;
  Axis x, y;
  std::vector<Series> series{};
  std::vector<Mark> marks{};
  std::vector<Level> levels{};
  bool name_points = false;  ///< the series' name stands beside each of its points
};

struct Chart {
  std::string title, subtitle;
  std::vector<Panel> panels;
  double width = 1180;
};

/// Nothing is cut and no text covers another: names of points that find no room are left to the legend, long lines are
/// broken or shrunk. A point at 0 of a logarithmic axis stands hollow on its edge.
std::string to_svg(const Chart& chart);
/// The same as an element within a page: `id` keeps it apart from others there; colours of paper, ink, dim and rules
/// can be set by classes of these names.
std::string to_svg_element(const Chart& chart, const std::string& id);

/// What an axis shows: its range and round numbers within it.
struct Ticks {
  double low = 0, high = 1;
  std::vector<double> at;
};
/// Round numbers (1, 2 or 5 times a power of ten; powers alone on a logarithmic axis of some decades), about `most` of
/// them; the range grows to the next ones on both sides. Equal ends get room around them.
Ticks nice_ticks(double low, double high, const Axis& axis, int most);
/// "0.25", "1500", "2e-7".
std::string tick_label(double value);
/// Width in pixels of a line of text, rather too much than too little.
double text_width(std::string_view text, double size);

}  // namespace reattend
