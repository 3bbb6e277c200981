// The tokens of a trace as lines of text: which characters stand where, and which tokens they belong to.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "viz/session/graphemes.h"

namespace reattend::viz {

/// Bytes [begin, end) of the text.
struct ByteRange {
  uint32_t begin = 0, end = 0;
  bool operator==(const ByteRange&) const = default;
};

/// A piece of a line in pixels from its left end.
struct Span {
  float begin = 0, end = 0;
};

/// Characters are whole graphemes, whatever number of tokens they lie across; a token that has a part of one has that
/// part of its width. Words are not broken unless they are longer than a line. Words of scripts that are written from
/// right to left are set so, each by itself: the words of a line go from left to right.
class TextLayout {
 public:
  /// Width of a text in pixels, not rounded.
  using Measure = std::function<float(std::string_view)>;

  /// Forgets the layout. Throws Error where the text has 4 GB or more.
  void set_text(std::span<const std::string> tokens);
  void measure(const Measure& width_of);
  void wrap(float width);

  const std::string& text() const { return text_; }
  int32_t n_position() const { return static_cast<int32_t>(begins_.empty() ? 0 : begins_.size() - 1); }
  ByteRange bytes_of(int32_t position) const {
    return {begins_[static_cast<size_t>(position)], begins_[static_cast<size_t>(position) + 1]};
  }
  /// The token that a byte belongs to.
  int32_t position_of(uint32_t byte) const;

  int32_t n_line() const { return static_cast<int32_t>(lines_.size()); }
  ByteRange line(int32_t index) const;
  /// The line that the byte is in; the last one for the end of the text.
  int32_t line_of(uint32_t byte) const;
  /// Where these bytes stand in a line; appended to `out`, spans that touch as one.
  void spans_of(int32_t line, ByteRange bytes, std::vector<Span>& out) const;
  /// The token at x in a line; nothing beyond its ends.
  std::optional<int32_t> position_at(int32_t line, float x) const;

  /// A piece of a line to be drawn at once.
  struct Run {
    std::string text;  ///< drawable(), in the order from left to right
    float x = 0;
    uint32_t begin = 0;  ///< its first byte
  };
  /// `split`: no run goes on across this byte.
  std::vector<Run> runs_of(int32_t line, uint32_t split) const;

 private:
  struct Cluster {
    uint32_t begin = 0;
    float x = 0, width = 0;
    TextKind kind = TextKind::word;
    bool leftward = false;  ///< its bytes go from right to left
  };
  uint32_t end_of(size_t cluster) const { return clusters_[cluster + 1].begin; }
  std::string_view bytes_of_cluster(size_t cluster) const {
    return std::string_view(text_).substr(clusters_[cluster].begin, end_of(cluster) - clusters_[cluster].begin);
  }
  std::string drawn(size_t cluster) const;
  size_t cluster_of(uint32_t byte) const;
  size_t n_cluster() const { return clusters_.empty() ? 0 : clusters_.size() - 1; }
  size_t end_of_unit(size_t begin) const;
  void order_word(size_t begin, size_t end);

  std::string text_;
  std::vector<uint32_t> begins_;   ///< [L + T + 2] first byte of each token, and the end
  std::vector<Cluster> clusters_;  ///< in the order of bytes; behind the last one the end of the text
  std::vector<size_t> places_;     ///< working space: a word's clusters from left to right
  std::vector<size_t> lines_;      ///< first cluster of each
};

}  // namespace reattend::viz
