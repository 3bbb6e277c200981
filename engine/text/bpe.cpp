// Applies the rules of a byte-level BPE, by their pairs, to one word.
#include "engine/text/bpe.h"

#include <optional>

#include "engine/text/merging.h"

namespace reattend {
namespace {

uint64_t key_of(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

}  // namespace

void BytePairs::add(int32_t left, int32_t right, int32_t merged) {
  rules_.try_emplace(key_of(left, right), Rule{static_cast<int32_t>(rules_.size()), merged});
}

const BytePairs::Rule* BytePairs::find(int32_t left, int32_t right) const {
  if (left < 0 || right < 0) return nullptr;
  const auto found = rules_.find(key_of(left, right));
  return found == rules_.end() ? nullptr : &found->second;
}

void BytePairs::encode(std::string_view word, std::vector<int32_t>& out) const {
  const auto n = static_cast<int32_t>(word.size());
  std::vector<Symbol> symbols(word.size());
  for (int32_t i = 0; i < n; ++i) {
    symbols[i] = {i, 1, byte_ids_[static_cast<unsigned char>(word[i])], i - 1, i + 1 < n ? i + 1 : -1};
  }
  merge_best_first(symbols, [this](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const Rule* const rule = find(left.id, right.id);
    if (rule == nullptr) return std::nullopt;
    return Merge{static_cast<double>(rule->rank), rule->merged};
  });
  for (int32_t i = n > 0 ? 0 : -1; i >= 0; i = symbols[i].next) {
    if (symbols[i].id >= 0) out.push_back(symbols[i].id);
  }
}

}  // namespace reattend
