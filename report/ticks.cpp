// Round numbers along an axis, how they are written, and how wide text gets without asking a font.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/round_step.h"
#include "report/chart.h"

namespace reattend {
namespace {

constexpr double kRound[] = {1, 2, 5};
/// Multiples of a step are compared with ends that were computed otherwise.
constexpr double kSlack = 1e-9;

Ticks linear_ticks(double low, double high, bool whole, int most) {
  if (!(high > low)) {
    const double room = low == 0 ? 1 : std::abs(low) * 0.1;
    low -= room, high += room;
  }
  const double rough = round_step((high - low) / std::max(1, most)), step = whole ? std::max(1.0, rough) : rough;
  Ticks out;
  const auto first = std::floor(low / step + kSlack), last = std::ceil(high / step - kSlack);
  for (double i = first; i <= last; ++i) out.at.push_back(i * step);
  out.low = out.at.front(), out.high = out.at.back();
  return out;
}

/// The next 1, 2 or 5 times a power of ten at or below (above) a value.
double round_down(double value) {
  const double decade = std::pow(10, std::floor(std::log10(value)));
  double out = decade;
  for (const double each : kRound) {
    if (each * decade <= value * (1 + kSlack)) out = each * decade;
  }
  return out;
}
double round_up(double value) {
  const double decade = std::pow(10, std::floor(std::log10(value)));
  for (const double each : kRound) {
    if (each * decade >= value * (1 - kSlack)) return each * decade;
  }
  return 10 * decade;
}

Ticks log_ticks(double low, double high, int most) {
  Ticks out{.low = round_down(low), .high = round_up(high)};
  if (!(out.high > out.low)) out.low /= 2, out.high *= 2;
  out.low = round_down(out.low), out.high = round_up(out.high);
  const int first = static_cast<int>(std::floor(std::log10(out.low) + kSlack)),
            last = static_cast<int>(std::ceil(std::log10(out.high) - kSlack));
  const auto between = [&](const auto& multiples, int every) {
    std::vector<double> at;
    for (int e = first; e <= last; e += every) {
      for (const double each : multiples) {
        const double value = each * std::pow(10, e);
        if (value >= out.low * (1 - kSlack) && value <= out.high * (1 + kSlack)) at.push_back(value);
      }
    }
    return at;
  };
  out.at = between(kRound, 1);
  constexpr double kDecades[] = {1};
  if (static_cast<int>(out.at.size()) > most + 1) out.at = between(kDecades, (last - first) / std::max(1, most) + 1);
  return out;
}

/// Share of the font's size, after DejaVu Sans, the widest of the fonts that the figure names.
double letter_width(unsigned char c) {
  constexpr std::string_view kThin = "ijlI|'", kNarrow = " .,:;!/\\ft[]()r-\"", kWide = "mwMW@%=<>+&";
  if (kThin.find(static_cast<char>(c)) != kThin.npos) return 0.32;
  if (kNarrow.find(static_cast<char>(c)) != kNarrow.npos) return 0.42;
  if (kWide.find(static_cast<char>(c)) != kWide.npos) return 0.97;
  if (c >= 'A' && c <= 'Z') return 0.74;
  return 0.64;
}

}  // namespace

Ticks nice_ticks(double low, double high, const Axis& axis, int most) {
  return axis.log ? log_ticks(low, high, most) : linear_ticks(low, high, axis.whole, most);
}

std::string tick_label(double value) {
  std::string text = fmt::format("{:.6g}", value == 0 ? 0.0 : value);  // no "-0"
  const size_t e = text.find('e');
  if (e == text.npos) return text;
  return fmt::format("{}e{}", text.substr(0, e), std::stoi(text.substr(e + 1)));
}

double text_width(std::string_view text, double size) {
  double width = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) != 0x80) width += byte < 0x80 ? letter_width(byte) : 1;  // bytes that continue a letter add none
  }
  return width * size;
}

}  // namespace reattend
