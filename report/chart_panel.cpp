// Draws the axes, lines and marks of a panel; names of points look for free places around them.
#include "report/chart_panel.h"

#include <array>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "report/markup.h"

namespace reattend {
namespace {

constexpr double kSmall = 11, kPanelTitle = 13;
/// Told apart with every usual colour blindness as far as twelve colours can be; black stays for marks.
constexpr std::array<const char*, 12> kColours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9",
                                                  "#7A3E9D", "#8B4513", "#E6194B", "#5F7F1F", "#4D4D4D", "#00A6A6"};
constexpr std::array<const char*, 3> kDashes = {"", "7 3", "2 3"};

struct Box {
  double left, top, right, bottom;
  bool meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
  bool inside(const Box& other) const {
    return left >= other.left && right <= other.right && top >= other.top && bottom <= other.bottom;
  }
};

/// An axis on the page.
class Scale {
 public:
  Scale(const Axis& axis, double low, double high, int most) : log_(axis.log) {
    const bool none = !(low <= high);
    ticks_ = nice_ticks(none ? (log_ ? 0.1 : 0) : low, none ? 1 : high, axis, most);
    if (axis.low) ticks_.low = *axis.low;
    if (axis.high) ticks_.high = *axis.high;
    std::erase_if(ticks_.at, [&](double at) { return at < ticks_.low || at > ticks_.high; });
  }
  void place(double from, double to) { from_ = from, to_ = to; }
  const std::vector<double>& ticks() const { return ticks_.at; }
  bool has(double value) const { return std::isfinite(value) && (!log_ || value > 0); }
  double operator()(double value) const {
    const auto warp = [&](double v) { return log_ ? std::log(v) : v; };
    return from_ + (to_ - from_) * (warp(value) - warp(ticks_.low)) / (warp(ticks_.high) - warp(ticks_.low));
  }
  /// Where points stand that have no place: the low end.
  double edge() const { return from_; }
  double label_width() const {
    double width = 0;
    for (const double at : ticks_.at) width = std::max(width, text_width(tick_label(at), kSmall));
    return width;
  }

 private:
  bool log_;
  Ticks ticks_;
  double from_ = 0, to_ = 1;
};

Scale scale_of(const Panel& panel, bool vertical, int most) {
  const Axis& axis = vertical ? panel.y : panel.x;
  double low = INFINITY, high = -INFINITY;
  const auto take = [&](double value) {
    if (std::isfinite(value) && (!axis.log || value > 0)) low = std::min(low, value), high = std::max(high, value);
  };
  for (const Series& series : panel.series) {
    for (const double value : vertical ? series.y : series.x) take(value);
  }
  for (const Mark& mark : panel.marks) {
    if (!vertical) take(mark.x);
  }
  for (const Level& level : panel.levels) {
    if (vertical) take(level.y);
  }
  if (axis.low) take(*axis.low);
  if (axis.high) take(*axis.high);
  return {axis, low, high, most};
}

class PanelWriter {
 public:
  /// `id` of the clip path; `width` of the figure.
  PanelWriter(const Panel& panel, const Styles& styles, std::string id, double width, double left, double top,
              double right)
      : panel_(panel),
        styles_(styles),
        id_(std::move(id)),
        width_(width),
        x_(scale_of(panel, false, 7)),
        y_(scale_of(panel, true, 7)) {
    plot_ = {left + kPlotText + 14 + y_.label_width(), top + kPanelTitle + 10, right - 12, top + kPlotHeight - 40};
    x_.place(plot_.left, plot_.right);
    y_.place(plot_.bottom, plot_.top);
  }

  std::string write() {
    out_ += text_line((plot_.left + plot_.right) / 2, plot_.top - 9, panel_.title, kPanelTitle, "middle",
                      plot_.right - plot_.left, "font-weight=\"bold\"");
    axes();
    out_ += fmt::format(
        "<clipPath id=\"{}\"><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>"
        "</clipPath>\n",
        id_, plot_.left, plot_.top, plot_.right - plot_.left, plot_.bottom - plot_.top);
    rules();
    for (const Series& series : panel_.series) {
      if (series.line) line(series);
    }
    const std::vector<Point> all = points();
    labels();
    for (const Point& point : all) {
      if (point.name != nullptr && !point.name->empty()) name(point.x, point.y, *point.name);
    }
    return out_;
  }

 private:
  void axes() {
    for (const double at : x_.ticks()) {
      rule(x_(at), plot_.top, x_(at), plot_.bottom);
      out_ += text_line(x_(at), plot_.bottom + kSmall + 5, tick_label(at), kSmall, "middle", width_);
    }
    for (const double at : y_.ticks()) {
      rule(plot_.left, y_(at), plot_.right, y_(at));
      out_ += text_line(plot_.left - 6, y_(at) + 4, tick_label(at), kSmall, "end", width_);
    }
    out_ += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"none\" "
        "stroke=\"#888\" class=\"rule\"/>\n",
        plot_.left, plot_.top, plot_.right - plot_.left, plot_.bottom - plot_.top);
    out_ += text_line((plot_.left + plot_.right) / 2, plot_.bottom + 35, panel_.x.title, kPlotText, "middle",
                      plot_.right - plot_.left);
    const double x = plot_.left - y_.label_width() - 14, y = (plot_.top + plot_.bottom) / 2;
    out_ += text_line(x, y, panel_.y.title, kPlotText, "middle", plot_.bottom - plot_.top,
                      fmt::format("transform=\"rotate(-90 {:.1f} {:.1f})\"", x, y));
  }
  void rule(double x1, double y1, double x2, double y2) {
    out_ += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#e4e4e4\" class=\"rule\"/>\n", x1, y1,
        x2, y2);
  }

  void dashed(double x1, double y1, double x2, double y2) {
    out_ += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"black\" stroke-dasharray=\"5 4\" "
        "class=\"ink\"/>\n",
        x1, y1, x2, y2);
    lines_.push_back({x1 - 1, y1 - 1, x2 + 1, y2 + 1});
  }
  void rules() {
    for (const Mark& mark : panel_.marks) {
      if (x_.has(mark.x)) dashed(x_(mark.x), plot_.top, x_(mark.x), plot_.bottom);
    }
    for (const Level& level : panel_.levels) {
      if (y_.has(level.y)) dashed(plot_.left, y_(level.y), plot_.right, y_(level.y));
    }
  }

  /// Beside marks from the top down, along levels from the right end on: at the first place where nothing is, or where
  /// there is none, at the first where no other text is.
  void labels() {
    constexpr double kStep = 7;
    for (const Mark& mark : panel_.marks) {
      if (!x_.has(mark.x)) continue;
      const double x = x_(mark.x), width = text_width(mark.label, kSmall);
      std::vector<Box> places;
      for (double y = plot_.top + kSmall + 3; y < plot_.bottom; y += kStep) {
        if (x + 6 + width <= plot_.right) places.push_back(box(x + 6, y, width));
        if (x - 6 - width >= plot_.left) places.push_back(box(x - 6 - width, y, width));
      }
      label(places, mark.label);
    }
    for (const Level& level : panel_.levels) {
      if (!y_.has(level.y)) continue;
      const double y = y_(level.y), width = text_width(level.label, kSmall);
      std::vector<Box> places;
      for (double x = plot_.right - 6 - width; x > plot_.left; x -= kStep) {
        for (const double at : {y - 5, y + kSmall + 3}) {
          if (at - kSmall >= plot_.top && at + 3 <= plot_.bottom) places.push_back(box(x, at, width));
        }
      }
      label(places, level.label);
    }
  }
  void label(const std::vector<Box>& places, const std::string& text) {
    const auto no_text = [&](const Box& place) {
      return std::none_of(words_.begin(), words_.end(), [&](const Box& other) { return place.meets(other); });
    };
    const auto nothing = [&](const Box& place) { return !taken(place) && !crossed(place); };
    auto at = std::find_if(places.begin(), places.end(), nothing);
    if (at == places.end()) at = std::find_if(places.begin(), places.end(), no_text);
    if (at == places.end()) return;
    words_.push_back(*at);
    out_ += text_line(at->left, at->bottom - 3, text, kSmall, "start", at->right - at->left + 1);
  }

  /// Runs of points that can be drawn; one alone is a dot.
  void line(const Series& series) {
    std::string path;
    bool down = false;
    double before_x = 0, before_y = 0;
    for (size_t i = 0; i < series.x.size(); ++i) {
      if (!x_.has(series.x[i]) || !y_.has(series.y[i])) {
        down = false;
        continue;
      }
      const double x = x_(series.x[i]), y = y_(series.y[i]);
      path += fmt::format("{}{:.1f} {:.1f}", down ? "L" : "M", x, y);
      if (!down) path += "h0.1";
      if (down) cover(before_x, before_y, x, y);
      down = true, before_x = x, before_y = y;
    }
    if (path.empty()) return;
    out_ += fmt::format("<path d=\"{}\" clip-path=\"url(#{})\" {}/>\n", path, id_, stroke(styles_.of(series.name)));
  }

  /// Where a stroke runs, so that texts keep off it.
  void cover(double x1, double y1, double x2, double y2) {
    constexpr double kStep = 6;
    const auto n = std::ceil(std::hypot(x2 - x1, y2 - y1) / kStep);
    for (double i = 0; i < n; ++i) {
      const double x = x1 + (x2 - x1) * i / n, y = y1 + (y2 - y1) * i / n;
      lines_.push_back({x - 2, y - 2, x + 2, y + 2});
    }
  }

  struct Point {
    double x, y;
    const std::string* name;
  };
  std::vector<Point> points() {
    std::vector<Point> all;
    for (const Series& series : panel_.series) {
      for (size_t i = 0; series.points && i < series.x.size(); ++i) {
        if (!x_.has(series.x[i]) || !std::isfinite(series.y[i])) continue;
        const bool hollow = !y_.has(series.y[i]);
        const std::string* const name = i < series.labels.size() ? &series.labels[i]
                                        : panel_.name_points     ? &series.name
                                                                 : nullptr;
        const Point point = {x_(series.x[i]), hollow ? y_.edge() : y_(series.y[i]), name};
        out_ += shape(point.x, point.y, styles_.of(series.name), hollow ? PointStyle::hollow : series.style);
        all.push_back(point);
        shapes_.push_back({point.x - 6, point.y - 6, point.x + 6, point.y + 6});
      }
    }
    return all;
  }

  /// Nearest free place first, one that crosses no line before one that does.
  void name(double x, double y, const std::string& text) {
    const double width = text_width(text, kSmall);
    constexpr double kDistances[] = {9, 16, 26, 38, 52};
    constexpr double kDirections[][2] = {{1, 0},       {-1, 0},     {0.7, -0.7}, {0.7, 0.7},
                                         {-0.7, -0.7}, {-0.7, 0.7}, {0, -1},     {0, 1}};
    for (const bool crossing : {false, true}) {
      for (const double distance : kDistances) {
        for (const auto& [dx, dy] : kDirections) {
          const double ax = x + dx * distance, ay = y + dy * distance;
          const double from = dx > 0 ? ax : dx < 0 ? ax - width : ax - width / 2;
          const Box place = box(from, ay + 4, width);
          if (!place.inside(plot_) || taken(place) || (!crossing && crossed(place))) continue;
          if (distance > kDistances[1]) {
            out_ += fmt::format(
                "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#999\" "
                "stroke-width=\"0.8\"/>\n",
                x + 6 * dx, y + 6 * dy, ax - 2 * dx, ay - 2 * dy);
          }
          out_ += text_line(from, ay + 4, text, kSmall, "start", width + 1);
          words_.push_back(place);
          return;
        }
      }
    }
  }

  /// Of a line of small text that begins at `x` on base line `y`.
  static Box box(double x, double y, double width) { return {x, y - kSmall, x + width, y + 3}; }
  bool taken(const Box& place) const {
    const auto meets = [&](const Box& other) { return place.meets(other); };
    return std::any_of(words_.begin(), words_.end(), meets) || std::any_of(shapes_.begin(), shapes_.end(), meets);
  }

  bool crossed(const Box& place) const {
    return std::any_of(lines_.begin(), lines_.end(), [&](const Box& line) { return place.meets(line); });
  }

  const Panel& panel_;
  const Styles& styles_;
  std::string id_;
  double width_;
  Scale x_, y_;
  Box plot_{};
  std::vector<Box> words_, shapes_, lines_;  ///< taken by texts, points and lines
  std::string out_;
};

}  // namespace

std::string shape(double x, double y, size_t style, PointStyle how) {
  if (how == PointStyle::ring) {
    return fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"9\" fill=\"none\" stroke=\"black\" stroke-width=\"2\" "
        "class=\"ink\"/>\n",
        x, y);
  }
  const char* const colour = kColours[style % kColours.size()];
  const std::string paint =
      how == PointStyle::hollow
          ? fmt::format("fill=\"white\" stroke=\"{}\" stroke-width=\"1.5\" class=\"paper\"", colour)
          : fmt::format("fill=\"{0}\" stroke=\"{0}\" stroke-width=\"1.5\"", colour);
  switch ((style + style / kColours.size()) % 4) {
    case 0:
      return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\" {}/>\n", x, y, paint);
    case 1:
      return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"8\" height=\"8\" {}/>\n", x - 4, y - 4, paint);
    case 2:
      return fmt::format("<path d=\"M{:.1f} {:.1f}l5 9h-10z\" {}/>\n", x, y - 5, paint);
    default:
      return fmt::format("<path d=\"M{:.1f} {:.1f}l5 5l-5 5l-5 -5z\" {}/>\n", x, y - 5, paint);
  }
}

std::string stroke(size_t style) {
  const char* dash = kDashes[style / kColours.size() % kDashes.size()];
  return fmt::format("fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\" stroke-linejoin=\"round\"{}",
                     kColours[style % kColours.size()],
                     *dash != '\0' ? fmt::format(" stroke-dasharray=\"{}\"", dash) : "");
}

std::string panel_elements(const Panel& panel, const Styles& styles, const std::string& id, double width, double left,
                           double top, double right) {
  return PanelWriter(panel, styles, id, width, left, top, right).write();
}

}  // namespace reattend
