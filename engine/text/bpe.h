// Byte-pair merging of one word: the lowest-ranked pair first, in O(n log n).
#pragma once
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace reattend {

/// Sennrich, Haddow, Birch 2016, on bytes as in GPT-2: merges are rules (left, right) -> token, the earlier the
/// stronger.
class BytePairs {
 public:
  /// byte_ids [256]: token of each byte, -1 where the vocabulary has none.
  explicit BytePairs(std::vector<int32_t> byte_ids) : byte_ids_(std::move(byte_ids)) {}

  /// Rules in order of rank; a pair that has a rule already keeps it.
  void add(int32_t left, int32_t right, int32_t merged);

  /// Appends the ids of a word. Bytes without a token are left out, as llama.cpp does.
  void encode(std::string_view word, std::vector<int32_t>& out) const;

 private:
  struct Rule {
    int32_t rank, merged;
  };
  const Rule* find(int32_t left, int32_t right) const;

  std::vector<int32_t> byte_ids_;             ///< [256]
  std::unordered_map<uint64_t, Rule> rules_;  ///< by left << 32 | right
};

}  // namespace reattend
