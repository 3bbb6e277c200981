// Any chat template, names and messages: refused in one line, or rendered with special tokens that the template wrote.
#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include <jinja/lexer.h>

#include "engine/text/chat_template.h"
#include "engine/text/token_placeholders.h"
#include "tests/fuzz/targets.h"

namespace reattend::fuzz {
namespace {

/// Names in lines up to an empty one; the template; the contents of two messages, each behind a zero byte.
struct Input {
  std::vector<std::string> names;
  std::string jinja, first, second;

  explicit Input(std::string rest) {
    const auto take = [&rest](char end) {
      const size_t at = std::min(rest.find(end), rest.size());
      std::string out = rest.substr(0, at);
      rest.erase(0, at + 1);
      return out;
    };
    for (std::string name = take('\n'); !name.empty(); name = take('\n')) {
      const bool is_new = std::find(names.begin(), names.end(), name) == names.end();
      if (is_new && name.size() <= NameFinder::kLongestName) names.push_back(name);
    }
    jinja = take('\0'), first = take('\0'), second = rest;
  }

  bool has_name(std::string_view text) const {
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& name) { return text.find(name) != std::string_view::npos; });
  }
};

std::vector<jinja::token> tokens_of(const std::string& source) {
  try {
    jinja::lexer lexer;
    return lexer.tokenize(source).tokens;
  } catch (const std::exception&) {
    return {};  // no template
  }
}

/// What was put into a text comes out of it again.
void put_and_take(const Input& input, std::vector<jinja::token> tokens) {
  const std::string_view texts[] = {input.jinja, input.first, input.second};
  char mark = 0;
  try {
    mark = unused_byte(texts);
  } catch (const std::runtime_error&) {
    return;
  }
  TokenPlaceholders placeholders(input.names, mark);
  for (const std::string_view text : texts) {
    const MarkedText again = placeholders.taken_from(placeholders.put_into(text));
    promise(again.text == text, "a text comes back byte for byte");
    promise(again.marks.empty() != input.has_name(text), "names are marked");
  }
  const std::vector<jinja::token> before = tokens;
  placeholders.put_into(tokens);
  for (size_t i = 0; i < tokens.size(); ++i) {
    promise(placeholders.taken_from(tokens[i].value).text == before[i].value, "a literal comes back byte for byte");
  }
}

}  // namespace

void templates(std::span<const uint8_t> data) {
  const Input input(std::string(data.begin(), data.end()));
  const std::vector<jinja::token> tokens = tokens_of(input.jinja);
  put_and_take(input, tokens);
  const std::string bos = input.names.empty() ? "" : input.names.front(),
                    eos = input.names.empty() ? "" : input.names.back();
  const ChatTemplate chat(input.jinja, "FILE", bos, eos, input.names);
  const ChatMessage messages[] = {{"user", input.first}, {"assistant", input.second}};
  const bool writes_names = std::any_of(tokens.begin(), tokens.end(), [&](const jinja::token& token) {
    return input.has_name(token.value) || token.value.find("role") != std::string::npos || token.value == "bos_token" ||
           token.value == "eos_token";
  });
  try_to([&] {
    const MarkedText text = chat.render(messages, true);
    promise(writes_names || text.marks.empty(), "special tokens are the template's");
    for (const auto& [begin, end] : text.marks) {
      promise(input.has_name(std::string_view(text.text).substr(begin, end - begin)), "names are marked");
    }
  });
}

}  // namespace reattend::fuzz
