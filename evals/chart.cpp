// Lays a figure out from the widths of its texts and writes it; names of points look for free places around them.
#include "evals/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "engine/text/tokenizer.h"

namespace reattend {
namespace {

constexpr double kWidth = 1180, kPlotHeight = 380, kMargin = 16, kGap = 28;
constexpr double kText = 12, kSmall = 11, kTitle = 17, kPanelTitle = 13;
/// Told apart with every usual colour blindness as far as twelve colours can be; black stays for marks.
constexpr std::array<const char*, 12> kColours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9",
                                                  "#7A3E9D", "#8B4513", "#E6194B", "#5F7F1F", "#4D4D4D", "#00A6A6"};
constexpr std::array<const char*, 3> kDashes = {"", "7 3", "2 3"};

/// Text between tags: markup is escaped, what XML does not allow is replaced.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : to_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
    }
  }
  return out;
}

struct Box {
  double left, top, right, bottom;
  bool meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
  bool inside(const Box& other) const {
    return left >= other.left && right <= other.right && top >= other.top && bottom <= other.bottom;
  }
};

/// One line, no wider than `room`: shrunk where it must be.
std::string text_line(double x, double y, std::string_view text, double size, const char* anchor, double room,
                      std::string_view more = "") {
  const double width = text_width(text, size);
  const double fitting = width > room ? size * room / width : size;
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{:.1f}\" text-anchor=\"{}\"{}{}>{}</text>\n", x, y,
                     fitting, anchor, more.empty() ? "" : " ", more, escaped(text));
}

/// Words in lines that fit.
std::vector<std::string> wrapped(const std::string& text, double size, double room) {
  std::vector<std::string> lines;
  std::string line;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    const std::string longer = line.empty() ? word : line + " " + word;
    if (!line.empty() && text_width(longer, size) > room) {
      lines.push_back(line);
      line = word;
    } else {
      line = longer;
    }
    begin = end + 1;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

/// The mark of a point, and its shape by series, so that colour is not all there is.
std::string shape(double x, double y, size_t style, bool hollow) {
  const std::string paint =
      fmt::format("fill=\"{}\" stroke=\"{}\" stroke-width=\"1.5\"",
                  hollow ? "white" : kColours[style % kColours.size()], kColours[style % kColours.size()]);
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
    if (at == entries_.size()) entries_.push_back({.name = series.name, .line = false});
    entries_[at].line |= series.line, entries_[at].points |= series.points;
  }
  std::vector<Series> entries_;
};

/// An axis on the page.
class Scale {
 public:
  Scale(const Axis& axis, double low, double high, int most) : log_(axis.log) {
    const bool none = !(low <= high);
    ticks_ = nice_ticks(none ? (log_ ? 0.1 : 0) : low, none ? 1 : high, log_, most);
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
  if (axis.low) take(*axis.low);
  if (axis.high) take(*axis.high);
  return {axis, low, high, most};
}

class PanelWriter {
 public:
  PanelWriter(const Panel& panel, const Styles& styles, size_t index, double left, double top, double right)
      : panel_(panel), styles_(styles), index_(index), x_(scale_of(panel, false, 7)), y_(scale_of(panel, true, 7)) {
    plot_ = {left + kText + 14 + y_.label_width(), top + kPanelTitle + 10, right - 12, top + kPlotHeight - 40};
    x_.place(plot_.left, plot_.right);
    y_.place(plot_.bottom, plot_.top);
  }

  std::string write() {
    out_ += text_line((plot_.left + plot_.right) / 2, plot_.top - 9, panel_.title, kPanelTitle, "middle",
                      plot_.right - plot_.left, "font-weight=\"bold\"");
    axes();
    out_ += fmt::format(
        "<clipPath id=\"plot{}\"><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>"
        "</clipPath>\n",
        index_, plot_.left, plot_.top, plot_.right - plot_.left, plot_.bottom - plot_.top);
    marks();
    for (const Series& series : panel_.series) {
      if (series.line) line(series);
    }
    points();
    return out_;
  }

 private:
  void axes() {
    for (const double at : x_.ticks()) {
      rule(x_(at), plot_.top, x_(at), plot_.bottom);
      out_ += text_line(x_(at), plot_.bottom + kSmall + 5, tick_label(at), kSmall, "middle", kWidth);
    }
    for (const double at : y_.ticks()) {
      rule(plot_.left, y_(at), plot_.right, y_(at));
      out_ += text_line(plot_.left - 6, y_(at) + 4, tick_label(at), kSmall, "end", kWidth);
    }
    out_ += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"none\" "
        "stroke=\"#888\"/>\n",
        plot_.left, plot_.top, plot_.right - plot_.left, plot_.bottom - plot_.top);
    out_ += text_line((plot_.left + plot_.right) / 2, plot_.bottom + 35, panel_.x.title, kText, "middle",
                      plot_.right - plot_.left);
    const double x = plot_.left - y_.label_width() - 14, y = (plot_.top + plot_.bottom) / 2;
    out_ += text_line(x, y, panel_.y.title, kText, "middle", plot_.bottom - plot_.top,
                      fmt::format("transform=\"rotate(-90 {:.1f} {:.1f})\"", x, y));
  }
  void rule(double x1, double y1, double x2, double y2) {
    out_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#e4e4e4\"/>\n", x1, y1,
                        x2, y2);
  }

  void marks() {
    for (const Mark& mark : panel_.marks) {
      if (!x_.has(mark.x)) continue;
      const double x = x_(mark.x), width = text_width(mark.label, kSmall);
      out_ += fmt::format(
          "<line x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\" stroke=\"black\" "
          "stroke-dasharray=\"5 4\"/>\n",
          x, plot_.top, plot_.bottom);
      const bool right = x + 6 + width <= plot_.right;
      const double from = right ? x + 6 : x - 6 - width;
      double y = plot_.top + kSmall + 3;
      while (taken(box(from, y, width)) && y < plot_.bottom) y += kSmall + 3;
      words_.push_back(box(from, y, width));
      out_ += text_line(right ? x + 6 : x - 6, y, mark.label, kSmall, right ? "start" : "end", width + 1);
      lines_.push_back({x - 1, plot_.top, x + 1, plot_.bottom});
    }
  }

  /// Runs of points that can be drawn; one alone is a dot.
  void line(const Series& series) {
    std::string path;
    bool down = false;
    for (size_t i = 0; i < series.x.size(); ++i) {
      if (!x_.has(series.x[i]) || !y_.has(series.y[i])) {
        down = false;
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", down ? "L" : "M", x_(series.x[i]), y_(series.y[i]));
      if (!down) path += "h0.1";
      down = true;
    }
    if (path.empty()) return;
    out_ +=
        fmt::format("<path d=\"{}\" clip-path=\"url(#plot{})\" {}/>\n", path, index_, stroke(styles_.of(series.name)));
  }

  void points() {
    struct Point {
      double x, y;
      const std::string* name;
    };
    std::vector<Point> all;
    for (const Series& series : panel_.series) {
      for (size_t i = 0; series.points && i < series.x.size(); ++i) {
        if (!x_.has(series.x[i]) || !std::isfinite(series.y[i])) continue;
        const bool hollow = !y_.has(series.y[i]);
        const Point point = {x_(series.x[i]), hollow ? y_.edge() : y_(series.y[i]), &series.name};
        out_ += shape(point.x, point.y, styles_.of(series.name), hollow);
        all.push_back(point);
        shapes_.push_back({point.x - 6, point.y - 6, point.x + 6, point.y + 6});
      }
    }
    for (const Point& point : all) {
      if (panel_.name_points) name(point.x, point.y, *point.name);
    }
  }

  /// Nearest free place first, one that crosses no mark's line before one that does.
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
          const bool crosses = std::any_of(lines_.begin(), lines_.end(), [&](const Box& b) { return place.meets(b); });
          if (!place.inside(plot_) || taken(place) || (crosses && !crossing)) continue;
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

  const Panel& panel_;
  const Styles& styles_;
  size_t index_;
  Scale x_, y_;
  Box plot_{};
  std::vector<Box> words_, shapes_, lines_;  ///< taken by texts and points; marks' lines
  std::string out_;
};

/// Columns as wide as the longest name; returns the height it took.
double legend(const Styles& styles, double top, std::string& out) {
  constexpr double kSample = 34, kRow = 18;
  double column = 0;
  for (const Series& each : styles.entries()) column = std::max(column, kSample + text_width(each.name, kText) + 18);
  const double room = kWidth - 2 * kMargin;
  const auto per_row = static_cast<size_t>(std::max(1.0, std::floor(room / std::max(column, 1.0))));
  for (size_t i = 0; i < styles.entries().size(); ++i) {
    const Series& each = styles.entries()[i];
    const double x = kMargin + column * static_cast<double>(i % per_row),
                 y = top + kRow * static_cast<double>(i / per_row) + kRow / 2;
    if (each.line) out += fmt::format("<path d=\"M{:.1f} {:.1f}h26\" {}/>\n", x, y, stroke(i));
    if (each.points) out += shape(x + 13, y, i, false);
    out += text_line(x + kSample, y + 4, each.name, kText, "start", room - kSample);
  }
  return kRow * static_cast<double>((styles.entries().size() + per_row - 1) / per_row);
}

}  // namespace

std::string to_svg(const Chart& chart) {
  const Styles styles(chart);
  std::string body;
  double y = kMargin;
  for (const auto& [text, size, weight] :
       {std::tuple{chart.title, kTitle, "font-weight=\"bold\""}, std::tuple{chart.subtitle, kText, "fill=\"#555\""}}) {
    for (const std::string& each : wrapped(text, size, kWidth - 2 * kMargin)) {
      y += size;
      body += text_line(kMargin, y, each, size, "start", kWidth - 2 * kMargin, weight);
      y += 5;
    }
  }
  y += 8;
  const auto n = static_cast<double>(chart.panels.size());
  const double each = (kWidth - 2 * kMargin - kGap * (n - 1)) / std::max(1.0, n);
  for (size_t i = 0; i < chart.panels.size(); ++i) {
    const double left = kMargin + static_cast<double>(i) * (each + kGap);
    body += PanelWriter(chart.panels[i], styles, i, left, y, left + each).write();
  }
  y += kPlotHeight + 12;
  y += legend(styles, y, body) + kMargin;
  return fmt::format(
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" "
             "height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"DejaVu Sans, Verdana, Arial, "
             "sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
             kWidth, y) +
         body + "</svg>\n";
}

}  // namespace reattend
