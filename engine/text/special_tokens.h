// Tokens that stand in a text by their names: they are cut out before the rest of it is encoded.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/text/marked_text.h"
#include "engine/text/name_finder.h"
#include "engine/text/vocabulary.h"

namespace reattend {

class SpecialTokens {
 public:
  /// `vocabulary` must outlive this. trim_after: white space behind a control token belongs to it (Phi 3). Throws Error
  /// for a name that is longer than any real one.
  SpecialTokens(const Vocabulary& vocabulary, bool trim_after);

  /// Text that is still to be encoded, or (id >= 0) a token that was found by its name.
  struct Part {
    std::string_view text;
    int32_t id;
  };
  /// User-defined tokens are found everywhere, the others inside marks. The longest names come first. No part is empty.
  std::vector<Part> split(std::string_view text, std::span<const MarkedText::Range> marks) const;

 private:
  bool trims_after(const Token& token) const;

  const Vocabulary& vocabulary_;
  std::vector<int32_t> ids_;  ///< [n] of the tokens that have names
  NameFinder finder_;         ///< of the n names
  bool trim_after_;
};

}  // namespace reattend
