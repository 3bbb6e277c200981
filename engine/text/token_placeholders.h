// Placeholders that stand for special tokens while a template is rendered: which of them a text has is decided in the
// template's source, so that nothing that rendering does to a message can make one.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <jinja/lexer.h>

#include "engine/text/marked_text.h"
#include "engine/text/name_finder.h"

namespace reattend {

/// A byte that none of the texts holds, 0x80 or above, for no filter takes such a byte for a letter or white space.
/// Throws std::runtime_error where there is none.
char unused_byte(std::span<const std::string_view> texts);

class TokenPlaceholders {
 public:
  /// names [n]: of the special tokens; they must outlive this. mark: a byte that is neither in the template nor in a
  /// message.
  TokenPlaceholders(std::span<const std::string> names, char mark);

  /// The text with placeholders for the names in it.
  std::string put_into(std::string_view text);
  /// Puts them into the literals of a template. Left as they are: literals that are only compared with something or
  /// looked for in it, and keys. A name that is put together around a role ('<|' + message.role + '|>') is one, too.
  void put_into(std::vector<jinja::token>& tokens);
  /// The text that was rendered, with names again, which are marked. Throws std::runtime_error where a placeholder was
  /// taken apart.
  MarkedText taken_from(std::string_view rendered) const;

 private:
  enum class Part : uint8_t { whole, head, tail };
  /// Bytes of a name around a role: how many at the end of the literal before it, at the beginning of the one behind.
  struct Around {
    size_t head, tail;
  };
  std::string placeholder(Part part, std::string_view text);
  Around around(std::string_view before, std::string_view behind) const;
  const std::pair<Part, std::string>& entry_at(std::string_view rendered, size_t at) const;

  std::span<const std::string> names_;
  NameFinder finder_;
  char mark_;
  std::vector<std::pair<Part, std::string>> entries_;
  std::map<std::pair<Part, std::string>, size_t> index_;  ///< in entries_
};

}  // namespace reattend
