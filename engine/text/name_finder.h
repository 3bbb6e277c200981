// Finds names in a text, the longest first wherever it stands, as llama.cpp cuts special tokens out.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace reattend {

class NameFinder {
 public:
  /// names [n], none empty, of at most kLongestName bytes; what they refer to must outlive this. Throws
  /// std::invalid_argument for others.
  explicit NameFinder(std::vector<std::string_view> names);
  /// A walk looks at no more bytes from any place of a text, whatever a hostile file calls its tokens.
  static constexpr size_t kLongestName = 512;

  struct Found {
    size_t begin, end;  ///< bytes of the text; `end` with the white space that was taken along
    int32_t index;      ///< of the name
  };
  /// Whether the name of this index may stand at `begin`.
  using Allowed = std::function<bool(int32_t index, size_t begin)>;
  /// Whether white space behind the name of this index belongs to it.
  using TakesSpace = std::function<bool(int32_t index)>;

  /// In the order of the text, not touching each other's bytes. A longer name comes before a shorter one, wherever they
  /// stand; of equal lengths the one with the lower index, then the one further left. O(n log n) for any names.
  std::vector<Found> find(std::string_view text, const Allowed& allowed, const TakesSpace& takes_space) const;

 private:
  struct Candidate {
    size_t size, begin;
    int32_t index;
    bool operator<(const Candidate& other) const;
  };
  std::optional<Candidate> longest_at(std::string_view text, size_t begin, size_t limit, const Allowed& allowed) const;

  std::vector<std::string_view> names_;  ///< [n]
  std::vector<int32_t> sorted_;          ///< [n] indices, by the bytes of the names
  std::array<size_t, 257> first_;        ///< [257] where in sorted_ the names with a first byte begin
};

}  // namespace reattend
