// Renders with llama.cpp's Jinja engine. Its own record of what came from messages is lost by filters that make new
// strings (join, tojson, split, ...), so that special tokens are placeholders on their way through it.
#include "engine/text/jinja_renderer.h"

#include <exception>
#include <new>
#include <string_view>

#include <jinja/lexer.h>
#include <jinja/parser.h>
#include <jinja/runtime.h>

#include "engine/text/token_placeholders.h"

namespace reattend {
namespace {

/// What the standard library throws where the engine does not look for it ("stoll") says nothing to a reader.
std::string in_words(std::string_view what) {
  std::string text(what);
  if (text.find(' ') != std::string::npos) return text;
  return (text.starts_with("sto") ? "a number that is out of range (" : "what the renderer cannot do (") + text + ")";
}

/// The engine's message, which has several lines with an excerpt of the template, as one: where and what.
std::string one_line(std::string_view what) {
  constexpr std::string_view kAt = " at line ", kIn = " in source:", kError = "\nError: ";
  constexpr size_t kLongest = 200;
  const size_t at = what.find(kAt), in = what.find(kIn), error = what.rfind(kError);
  if (at != std::string_view::npos && in != std::string_view::npos && in > at && error != std::string_view::npos) {
    const std::string place(what.substr(at + 4, in - at - 4));
    return "template: " + place + ": " + in_words(what.substr(error + kError.size(), kLongest));
  }
  return "template: " + in_words(what.substr(0, std::min(what.find('\n', 1), kLongest)));
}

jinja::value text_value(const std::string& text) {
  return jinja::mk_val<jinja::value_string>(jinja::string(text));
}

jinja::value messages_value(std::span<const ChatMessage> messages) {
  const auto list = jinja::mk_val<jinja::value_array>();
  for (const ChatMessage& message : messages) {
    const auto object = jinja::mk_val<jinja::value_object>();
    object->insert("role", text_value(message.role));
    object->insert("content", text_value(message.content));
    list->push_back(object);
  }
  return list;
}

TokenPlaceholders placeholders_for(const JinjaInput& input) {
  std::vector<std::string_view> texts = {input.jinja, input.bos, input.eos};
  for (const ChatMessage& message : input.messages) texts.insert(texts.end(), {message.role, message.content});
  return {input.names, unused_byte(texts)};
}

MarkedText render(const JinjaInput& input) {
  TokenPlaceholders placeholders = placeholders_for(input);
  jinja::lexer lexer;
  jinja::lexer_result source = lexer.tokenize(input.jinja);
  placeholders.put_into(source.tokens);
  const jinja::program program = jinja::parse_from_tokens(source);
  jinja::context context(input.jinja);
  context.set_val("messages", messages_value(input.messages));
  context.set_val("bos_token", text_value(placeholders.put_into(input.bos)));
  context.set_val("eos_token", text_value(placeholders.put_into(input.eos)));
  context.set_val("add_generation_prompt", jinja::mk_val<jinja::value_bool>(input.add_generation_prompt));
  const auto parts = jinja::runtime::gather_string_parts(jinja::runtime(context).execute(program));
  return placeholders.taken_from(parts->val_str.str());
}

}  // namespace

JinjaOutput render_jinja(const JinjaInput& input) {
  try {
    return {render(input), ""};
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    const std::string_view what = error.what();
    // The engine words every exception anew, this one too.
    if (what.find("std::bad_alloc") != std::string_view::npos) throw std::bad_alloc();
    return {{}, one_line(what)};
  }
}

}  // namespace reattend
