// Cuts the special tokens out of a text whose names stand in it.
#include "engine/text/special_tokens.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"

namespace reattend {
namespace {

bool inside_a_mark(std::span<const MarkedText::Range> marks, size_t begin, size_t end) {
  const auto next = std::upper_bound(marks.begin(), marks.end(), begin,
                                     [](size_t at, const MarkedText::Range& mark) { return at < mark.begin; });
  return next != marks.begin() && end <= std::prev(next)->end;
}

/// User-defined tokens are part of the language, the others of the protocol around it.
bool stands_everywhere(const Token& token) {
  return token.kind == TokenKind::user_defined;
}

/// The tokens that stand in texts by their names; of those with one name the first, and the first that stands
/// everywhere.
std::vector<int32_t> named_ids(const Vocabulary& vocabulary) {
  std::vector<int32_t> ids;
  std::set<std::pair<std::string_view, bool>> names;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const Token& token = vocabulary.tokens[id];
    if (!is_named(token)) continue;
    if (token.bytes.size() > NameFinder::kLongestName) {
      fail({vocabulary.file + ": token " + std::to_string(id),
            "a special token's name of at most " + std::to_string(NameFinder::kLongestName) + " bytes",
            std::to_string(token.bytes.size()), ""});
    }
    if (names.emplace(token.bytes, stands_everywhere(token)).second) ids.push_back(id);
  }
  return ids;
}

std::vector<std::string_view> names_of(const Vocabulary& vocabulary, std::span<const int32_t> ids) {
  std::vector<std::string_view> names;
  names.reserve(ids.size());
  for (const int32_t id : ids) names.emplace_back(vocabulary.tokens[id].bytes);
  return names;
}

}  // namespace

SpecialTokens::SpecialTokens(const Vocabulary& vocabulary, bool trim_after)
    : vocabulary_(vocabulary),
      ids_(named_ids(vocabulary)),
      finder_(names_of(vocabulary, ids_)),
      trim_after_(trim_after) {}

bool SpecialTokens::trims_after(const Token& token) const {
  constexpr std::string_view kKeep[] = {"<unk>", "<s>", "<|endoftext|>"};
  return trim_after_ && token.kind == TokenKind::control &&
         std::find(std::begin(kKeep), std::end(kKeep), token.bytes) == std::end(kKeep);
}

std::vector<SpecialTokens::Part> SpecialTokens::split(std::string_view text,
                                                      std::span<const MarkedText::Range> marks) const {
  const auto token_of = [this](int32_t index) -> const Token& { return vocabulary_.tokens[ids_[index]]; };
  const auto allowed = [&](int32_t index, size_t begin) {
    const Token& token = token_of(index);
    return stands_everywhere(token) || inside_a_mark(marks, begin, begin + token.bytes.size());
  };
  std::vector<Part> parts;
  size_t done = 0;
  for (const auto& [begin, end, index] :
       finder_.find(text, allowed, [&](int32_t index) { return trims_after(token_of(index)); })) {
    if (begin > done) parts.push_back({text.substr(done, begin - done), -1});
    parts.push_back({{}, ids_[index]});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), -1});
  return parts;
}

}  // namespace reattend
