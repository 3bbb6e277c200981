// Looks for the names of special tokens, one name after the other as llama.cpp does.
#include "engine/text/special_tokens.h"

#include <algorithm>
#include <bitset>
#include <memory>

namespace reattend {
namespace {

/// The pairs of neighbouring bytes in a text. A name with a pair that the text lacks need not be looked for: Gemma has
/// 6,400 names, of which a text holds few.
class BytePairsOf {
 public:
  explicit BytePairsOf(std::string_view text) : seen_(std::make_unique<std::bitset<65536>>()) {
    for (size_t i = 0; i + 1 < text.size(); ++i) seen_->set(pair(text, i));
  }
  bool may_hold(std::string_view name) const {
    for (size_t i = 0; i + 1 < name.size(); ++i) {
      if (!seen_->test(pair(name, i))) return false;
    }
    return true;
  }

 private:
  static size_t pair(std::string_view text, size_t i) {
    return static_cast<size_t>(static_cast<unsigned char>(text[i])) << 8 | static_cast<unsigned char>(text[i + 1]);
  }
  std::unique_ptr<std::bitset<65536>> seen_;
};

bool inside_a_mark(std::span<const MarkedText::Range> marks, size_t begin, size_t end) {
  const auto next = std::upper_bound(marks.begin(), marks.end(), begin,
                                     [](size_t at, const MarkedText::Range& mark) { return at < mark.begin; });
  return next != marks.begin() && end <= std::prev(next)->end;
}

}  // namespace

SpecialTokens::SpecialTokens(const Vocabulary& vocabulary, bool trim_after)
    : vocabulary_(vocabulary), trim_after_(trim_after) {
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const Token& token = vocabulary.tokens[id];
    const bool matched =
        token.kind == TokenKind::control || token.kind == TokenKind::user_defined || token.kind == TokenKind::unknown;
    if (matched && !token.bytes.empty()) ids_.push_back(id);
  }
  // The longest first, so that a name inside another one does not cut it.
  std::stable_sort(ids_.begin(), ids_.end(), [&](int32_t a, int32_t b) {
    return vocabulary.tokens[a].bytes.size() > vocabulary.tokens[b].bytes.size();
  });
}

bool SpecialTokens::trims_after(const Token& token) const {
  constexpr std::string_view kKeep[] = {"<unk>", "<s>", "<|endoftext|>"};
  return trim_after_ && token.kind == TokenKind::control &&
         std::find(std::begin(kKeep), std::end(kKeep), token.bytes) == std::end(kKeep);
}

std::vector<SpecialTokens::Part> SpecialTokens::split(std::string_view text,
                                                      std::span<const MarkedText::Range> marks) const {
  const BytePairsOf pairs(text);
  std::vector<Part> parts, next;
  if (!text.empty()) parts.push_back({text, -1});
  for (const int32_t id : ids_) {
    const Token& token = vocabulary_.tokens[id];
    // User-defined tokens are part of the language, the others of the protocol around it.
    const bool everywhere = token.kind == TokenKind::user_defined;
    if ((!everywhere && marks.empty()) || !pairs.may_hold(token.bytes)) continue;
    const bool trims = trims_after(token);
    next.clear();
    for (const Part& part : parts) {
      std::string_view rest = part.text;
      for (size_t from = 0, at; part.id < 0 && (at = rest.find(token.bytes, from)) != std::string_view::npos;) {
        const auto begin = static_cast<size_t>(rest.data() - text.data()) + at;
        if (!everywhere && !inside_a_mark(marks, begin, begin + token.bytes.size())) {
          from = at + 1;
          continue;
        }
        if (at > 0) next.push_back({rest.substr(0, at), -1});
        next.push_back({{}, id});
        rest.remove_prefix(at + token.bytes.size());
        if (trims) rest.remove_prefix(std::min(rest.find_first_not_of(" \t\n\v\f\r"), rest.size()));
        from = 0;
      }
      if (part.id >= 0 || !rest.empty()) next.push_back({rest, part.id});
    }
    parts.swap(next);
  }
  return parts;
}

}  // namespace reattend
