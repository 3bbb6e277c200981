// Chat templates: a model's own Jinja text, or one of those that this program brings, rendered within limits.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/marked_text.h"

namespace reattend {

struct ChatMessage {
  std::string role, content;
};

class ChatTemplate {
 public:
  /// jinja: the template; where: its place, for messages. bos, eos: names of the tokens that it may put into the text.
  /// names [n]: of all special tokens, at most NameFinder::kLongestName bytes each.
  ChatTemplate(std::string jinja, std::string where, std::string bos, std::string eos, std::vector<std::string> names)
      : jinja_(std::move(jinja)),
        where_(std::move(where)),
        bos_(std::move(bos)),
        eos_(std::move(eos)),
        names_(std::move(names)) {}

  /// What the template makes of the messages. The special tokens that it writes itself, in its literals, are marked;
  /// what comes from the messages is plain, whatever filters do to it.
  /// Throws Error where it is no template, refuses the messages, or runs out of time, memory or room for its text.
  MarkedText render(std::span<const ChatMessage> messages, bool add_generation_prompt) const;

  const std::string& where() const { return where_; }

 private:
  std::string jinja_, where_, bos_, eos_;
  std::vector<std::string> names_;  ///< [n]
};

/// A template of this program, by the name of the format.
struct NamedTemplate {
  std::string_view name, jinja;
  std::span<const std::string_view>
      markers;  ///< [n] tokens that a vocabulary of its models has; for some they are text
};
std::span<const NamedTemplate> named_templates();

}  // namespace reattend
