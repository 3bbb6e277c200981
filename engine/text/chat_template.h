// Known chat templates: recognised in the file's Jinja text, rendered by code.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/text/tokenizer.h"

namespace reattend {

/// ChatML: <|im_start|>ROLE\nCONTENT<|im_end|>\n for each message.
struct ChatMl {
  std::string default_system;  ///< put first when the messages don't begin with a system message; empty: nothing

  MarkedText render(std::span<const Tokenizer::Message> messages, bool add_generation_prompt) const;
};

/// Recognises the ChatML templates of SmolLM2, Qwen2 and the plain one, whatever their default system message is.
std::optional<ChatMl> recognise_chatml(std::string_view jinja);

}  // namespace reattend
