// Parses a range of steps, "8" or "1:64"; everything else is refused with what would have been right.
#include "cli/options/step_range.h"

#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"

namespace reattend::cli {
namespace {

constexpr int32_t kMostSteps = 1 << 30;

/// The whole text as a number of at least 0, or -1.
int32_t number(std::string_view text) {
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value >= 0 ? value : -1;
}

}  // namespace

StepRange parse_steps(const std::string& text, bool open_ends) {
  const size_t colon = text.find(':');
  StepRange range;
  if (colon == text.npos) {
    range.last = number(text);
  } else {
    const std::string_view from = std::string_view(text).substr(0, colon),
                           to = std::string_view(text).substr(colon + 1);
    range.first = from.empty() && open_ends ? 1 : number(from);
    range.last = to.empty() && open_ends ? 0 : number(to);
    if (to.empty() && open_ends && range.first >= 1) return range;
  }
  if (range.first < 1 || range.last < range.first || range.last > kMostSteps) {
    fail_usage({.where = "--steps",
                .expected = open_ends ? "steps A:B, :B or A: counted from 1"
                                      : "a number of steps, or A:B for steps A to B, from 1 on",
                .got = fmt::format("\"{}\"", text),
                .remedy = {}});
  }
  return range;
}

}  // namespace reattend::cli
