// Lays a figure out from the widths of its texts: title, panels side by side, legend.
#include "report/chart.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <fmt/format.h>

#include "report/chart_panel.h"
#include "report/markup.h"

namespace reattend {
namespace {

constexpr double kMargin = 16, kGap = 28, kTitle = 17;

/// Columns as wide as the longest name; returns the height it took.
double legend(const Styles& styles, double width, double top, std::string& out) {
  constexpr double kSample = 34, kRow = 18;
  double column = 0;
  for (const Series& each : styles.entries())
    column = std::max(column, kSample + text_width(each.name, kPlotText) + 18);
  const double room = width - 2 * kMargin;
  const auto per_row = static_cast<size_t>(std::max(1.0, std::floor(room / std::max(column, 1.0))));
  for (size_t i = 0; i < styles.entries().size(); ++i) {
    const Series& each = styles.entries()[i];
    const double x = kMargin + column * static_cast<double>(i % per_row),
                 y = top + kRow * static_cast<double>(i / per_row) + kRow / 2;
    if (each.line) out += fmt::format("<path d=\"M{:.1f} {:.1f}h26\" {}/>\n", x, y, stroke(i));
    if (each.points) out += shape(x + 13, y, i, each.style);
    out += text_line(x + kSample, y + 4, each.name, kPlotText, "start", room - kSample);
  }
  return kRow * static_cast<double>((styles.entries().size() + per_row - 1) / per_row);
}

}  // namespace

std::string to_svg(const Chart& chart) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + to_svg_element(chart, "plot");
}

std::string to_svg_element(const Chart& chart, const std::string& id) {
  const Styles styles(chart);
  const double room = chart.width - 2 * kMargin;
  std::string body;
  double y = kMargin;
  for (const auto& [text, size, more] : {std::tuple{chart.title, kTitle, "font-weight=\"bold\""},
                                         std::tuple{chart.subtitle, kPlotText, "fill=\"#555\" class=\"dim\""}}) {
    for (const std::string& each : wrapped(text, size, room)) {
      y += size;
      body += text_line(kMargin, y, each, size, "start", room, more);
      y += 5;
    }
  }
  y += 8;
  const auto n = static_cast<double>(chart.panels.size());
  const double each = (room - kGap * (n - 1)) / std::max(1.0, n);
  for (size_t i = 0; i < chart.panels.size(); ++i) {
    const double left = kMargin + static_cast<double>(i) * (each + kGap);
    body += panel_elements(chart.panels[i], styles, id + std::to_string(i), chart.width, left, y, left + each);
  }
  y += kPlotHeight + 12;
  y += legend(styles, chart.width, y, body) + kMargin;
  return fmt::format(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} "
             "{1:.0f}\" role=\"img\" aria-label=\"{2}\" font-family=\"DejaVu Sans, Verdana, Arial, sans-serif\">\n"
             "<rect width=\"100%\" height=\"100%\" fill=\"white\" class=\"paper\"/>\n",
             chart.width, y, escaped(chart.title)) +
         body + "</svg>\n";
}

}  // namespace reattend
