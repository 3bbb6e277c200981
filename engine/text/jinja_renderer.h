// The Jinja engine as this program uses it: a template, messages, and the text with its origin.
#pragma once
#include <span>
#include <string>

#include "engine/text/chat_template.h"

namespace reattend {

/// What a template sees.
struct JinjaInput {
  const std::string& jinja;
  const std::string& bos;  ///< name of the token; empty: none
  const std::string& eos;
  std::span<const ChatMessage> messages;
  std::span<const std::string> names;  ///< [n] of the special tokens that the template may write
  bool add_generation_prompt;
};

struct JinjaOutput {
  MarkedText text;
  std::string refused;  ///< why there is no text: a syntax error, an exception of the template's own; one line
};

/// Has no limits, and crashes at templates that nest too deeply: to be called where that may happen. Throws
/// std::bad_alloc at the end of memory and nothing else.
JinjaOutput render_jinja(const JinjaInput& input);

}  // namespace reattend
