// Breaks text into graphemes once, and these into lines whenever the width changes.
#include "viz/session/text_layout.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/utf8.h"
#include "viz/session/token_text.h"

namespace reattend::viz {
namespace {

/// Closing marks of East Asian text, which do not begin a line.
bool closes(char32_t code) {
  constexpr std::u32string_view kClosing =
      U"\u3001\u3002\u3009\u300B\u300D\u300F\u3011\u3015\uFF01\uFF09\uFF0C\uFF0E\uFF1A\uFF1B\uFF1F";
  return kClosing.find(code) != std::u32string_view::npos;
}

constexpr float kTouch = 0.01F;  ///< pixels between what counts as one piece

char32_t first_code(std::string_view bytes) {
  return first_utf8_char(bytes).codepoint;
}

}  // namespace

void TextLayout::set_text(std::span<const std::string> tokens) {
  text_.clear(), begins_.clear(), clusters_.clear(), lines_.clear();
  for (const std::string& token : tokens) {
    begins_.push_back(static_cast<uint32_t>(text_.size()));
    text_ += token;
    if (text_.size() > std::numeric_limits<uint32_t>::max()) {
      fail({.where = "text of the trace", .expected = "less than 4 GB", .got = "more", .remedy = {}});
    }
  }
  const auto n = static_cast<uint32_t>(text_.size());
  begins_.push_back(n);
  const std::string_view all = text_;
  for (uint32_t at = 0; at < n;) {
    const std::string_view rest = all.substr(at);
    clusters_.push_back({.begin = at, .kind = text_kind(first_code(rest))});
    at += static_cast<uint32_t>(first_grapheme(rest));
  }
  clusters_.push_back({.begin = n});
}

std::string TextLayout::drawn(size_t cluster) const {
  const std::string_view bytes = bytes_of_cluster(cluster);
  return drawable(clusters_[cluster].leftward ? mirrored(bytes) : bytes);
}

void TextLayout::measure(const Measure& width_of) {
  for (size_t i = 0; i < n_cluster(); ++i) clusters_[i].width = width_of(drawable(bytes_of_cluster(i)));
}

/// Spaces and what follows them: a word, one character of a script without spaces, or the end of the line.
size_t TextLayout::end_of_unit(size_t begin) const {
  size_t end = begin;
  while (end < n_cluster() && clusters_[end].kind == TextKind::space) ++end;
  if (end == n_cluster()) return end;
  const TextKind kind = clusters_[end].kind;
  ++end;
  if (kind == TextKind::line_end) return end;
  while (kind == TextKind::word && end < n_cluster() && clusters_[end].kind == TextKind::word) ++end;
  while (end < n_cluster() && closes(first_code(bytes_of_cluster(end)))) ++end;
  return end;
}

/// Sets a word that is written from right to left so; numbers and letters of other scripts in it keep their order.
void TextLayout::order_word(size_t begin, size_t end) {
  const auto leftward = [&](size_t i) { return is_right_to_left(first_code(bytes_of_cluster(i))); };
  const auto letter = [&](size_t i) {
    const char32_t code = first_code(bytes_of_cluster(i));
    return !leftward(i) &&
           (code >= 0x80 || (code >= '0' && code <= '9') || ((code | 0x20) >= 'a' && (code | 0x20) <= 'z'));
  };
  places_.clear();
  bool any = false;
  for (size_t i = begin; i < end; ++i) any = any || leftward(i);
  if (!any) return;
  for (size_t i = end; i > begin;) {
    size_t first = --i;  // of a piece that keeps its order
    if (letter(i)) {
      while (first > begin && letter(first - 1)) --first;
    }
    for (size_t j = first; j <= i; ++j) {
      places_.push_back(j);
      clusters_[j].leftward = !letter(j);
    }
    i = first;
  }
  float x = clusters_[begin].x;
  for (const size_t i : places_) {
    clusters_[i].x = x;
    x += clusters_[i].width;
  }
}

void TextLayout::wrap(float width) {
  lines_.clear();
  if (n_cluster() == 0) return;
  lines_.push_back(0);
  float x = 0;
  for (size_t begin = 0; begin < n_cluster();) {
    const size_t end = end_of_unit(begin);
    float wide = 0;
    for (size_t i = begin; i < end; ++i) wide += clusters_[i].width;
    // The mark of a line's end never goes to a line of its own.
    const bool ends_line = clusters_[end - 1].kind == TextKind::line_end;
    const float needed = wide - (ends_line ? clusters_[end - 1].width : 0);
    if (x > 0 && x + needed > width) lines_.push_back(begin), x = 0;
    size_t word = begin;  // of the part of the unit in this line
    for (size_t i = begin; i < end; ++i) {
      clusters_[i].leftward = false;
      if (x > 0 && needed > width && x + clusters_[i].width > width) {
        order_word(word, i);
        lines_.push_back(i), x = 0, word = i;
      }
      if (clusters_[i].kind == TextKind::space) word = i + 1;
      clusters_[i].x = x;
      x += clusters_[i].width;
    }
    order_word(word, end);
    begin = end;
    if (ends_line && begin < n_cluster()) lines_.push_back(begin), x = 0;
  }
}

int32_t TextLayout::position_of(uint32_t byte) const {
  const auto after = std::upper_bound(begins_.begin(), begins_.end(), byte);
  return std::clamp(static_cast<int32_t>(after - begins_.begin()) - 1, 0, std::max(0, n_position() - 1));
}

size_t TextLayout::cluster_of(uint32_t byte) const {
  const auto after = std::ranges::upper_bound(clusters_, byte, {}, &Cluster::begin);
  return static_cast<size_t>(std::max<std::ptrdiff_t>(0, after - clusters_.begin() - 1));
}

ByteRange TextLayout::line(int32_t index) const {
  const auto at = static_cast<size_t>(index);
  const size_t end = at + 1 < lines_.size() ? lines_[at + 1] : n_cluster();
  return {clusters_[lines_[at]].begin, clusters_[end].begin};
}

int32_t TextLayout::line_of(uint32_t byte) const {
  const auto after = std::ranges::upper_bound(lines_, byte, {}, [&](size_t first) { return clusters_[first].begin; });
  return std::max(0, static_cast<int32_t>(after - lines_.begin()) - 1);
}

void TextLayout::spans_of(int32_t index, ByteRange bytes, std::vector<Span>& out) const {
  const ByteRange all = line(index);
  const uint32_t from = std::max(bytes.begin, all.begin), to = std::min(bytes.end, all.end);
  if (from >= to) return;
  const size_t first_out = out.size();
  for (size_t i = cluster_of(from); i < n_cluster() && clusters_[i].begin < to; ++i) {
    const Cluster& each = clusters_[i];
    const auto share = [&](uint32_t byte) {
      const uint32_t end = end_of(i), inside = std::clamp(byte, each.begin, end);
      return static_cast<float>(inside - each.begin) / static_cast<float>(end - each.begin);
    };
    const float low = each.leftward ? 1 - share(to) : share(from), high = each.leftward ? 1 - share(from) : share(to);
    const Span span = {each.x + low * each.width, each.x + high * each.width};
    Span* const before = out.size() > first_out ? &out.back() : nullptr;
    if (before != nullptr && std::abs(before->end - span.begin) < kTouch) {
      before->end = span.end;
    } else if (before != nullptr && std::abs(before->begin - span.end) < kTouch) {
      before->begin = span.begin;
    } else {
      out.push_back(span);
    }
  }
}

std::optional<int32_t> TextLayout::position_at(int32_t index, float x) const {
  const ByteRange all = line(index);
  for (size_t i = cluster_of(all.begin); i < n_cluster() && clusters_[i].begin < all.end; ++i) {
    const Cluster& each = clusters_[i];
    if (x < each.x || x >= each.x + each.width) continue;
    const uint32_t n_byte = end_of(i) - each.begin;
    const float share = (x - each.x) / each.width;
    const auto byte = static_cast<uint32_t>((each.leftward ? 1 - share : share) * static_cast<float>(n_byte));
    return position_of(each.begin + std::min(byte, n_byte - 1));
  }
  return {};
}

std::vector<TextLayout::Run> TextLayout::runs_of(int32_t index, uint32_t split) const {
  std::vector<Run> out;
  const ByteRange all = line(index);
  float end = -1;  // of the last run; negative where nothing may be added to it
  for (size_t i = cluster_of(all.begin); i < n_cluster() && clusters_[i].begin < all.end; ++i) {
    const Cluster& each = clusters_[i];
    const bool follows = !each.leftward && each.begin != split && std::abs(each.x - end) < kTouch;
    if (!follows) out.push_back({.text = {}, .x = each.x, .begin = each.begin});
    out.back().text += drawn(i);
    end = each.leftward ? -1 : each.x + each.width;
  }
  return out;
}

}  // namespace reattend::viz
