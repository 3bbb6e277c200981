// ChatML as SmolLM2 and Qwen2 write it in their templates.
#include "engine/text/chat_template.h"

namespace reattend {
namespace {

constexpr std::string_view kLoop = "{% for message in messages %}";
constexpr std::string_view kSystemBefore =
    "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n";
constexpr std::string_view kSystemAfter = "<|im_end|>\n' }}{% endif %}";
constexpr std::string_view kRest =
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A line break in a template's string is written as itself or as \n.
std::string unescape_line_breaks(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text.substr(i, 2) == "\\n";
    out += escaped ? '\n' : text[i];
    i += escaped ? 1 : 0;
  }
  return out;
}

}  // namespace

std::optional<ChatMl> recognise_chatml(std::string_view jinja) {
  const std::string text = unescape_line_breaks(jinja);
  std::string_view rest = text;
  if (!rest.starts_with(kLoop)) return std::nullopt;
  rest.remove_prefix(kLoop.size());
  ChatMl out;
  if (rest.starts_with(kSystemBefore)) {
    rest.remove_prefix(kSystemBefore.size());
    const size_t end = rest.find(kSystemAfter);
    if (end == std::string_view::npos) return std::nullopt;
    out.default_system = rest.substr(0, end);
    // A quote, an escape or a brace would make this more than a plain string.
    if (out.default_system.empty() || out.default_system.find_first_of("'\\{}") != std::string::npos)
      return std::nullopt;
    rest.remove_prefix(end + kSystemAfter.size());
  }
  if (rest != kRest) return std::nullopt;
  return out;
}

MarkedText ChatMl::render(std::span<const Tokenizer::Message> messages, bool add_generation_prompt) const {
  MarkedText out;
  if (!messages.empty() && messages.front().role != "system" && !default_system.empty()) {
    out.add_marks("<|im_start|>system\n" + default_system + "<|im_end|>\n");
  }
  for (const Tokenizer::Message& message : messages) {
    out.add_marks("<|im_start|>");
    out.add_plain(message.role);
    out.add_marks("\n");
    out.add_plain(message.content);
    out.add_marks("<|im_end|>\n");
  }
  if (add_generation_prompt) out.add_marks("<|im_start|>assistant\n");
  return out;
}

}  // namespace reattend
