// Chat templates: what they write is marked, what they refuse is said, and hostile ones end in one line.
#include "engine/text/chat_template.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "engine/model/gguf.h"
#include "engine/text/tokenizer.h"
#include "tests/support/gguf_writer.h"

namespace reattend {
namespace {

using Messages = std::vector<ChatMessage>;
const Messages kTalk = {{"system", "Be brief."}, {"user", " Hi "}, {"assistant", "Yes?"}, {"user", "Bye"}};

ChatTemplate made_of(std::string_view jinja) {
  return {std::string(jinja), "FILE: tokenizer.chat_template", "<s>", "</s>"};
}

std::string rendered(std::string_view jinja, const Messages& messages, bool add_generation_prompt = true) {
  return made_of(jinja).render(messages, add_generation_prompt).text;
}

/// The error of rendering, which must be one line that says what to do.
std::string message_of(std::string_view jinja, const Messages& messages = kTalk) {
  try {
    const MarkedText text = made_of(jinja).render(messages, true);
    ADD_FAILURE() << jinja.substr(0, 80) << " gave " << text.text.substr(0, 80);
  } catch (const Error& error) {
    const std::string line = error.what();
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    EXPECT_NE(line.find("FILE: tokenizer.chat_template"), std::string::npos) << line;
    EXPECT_NE(line.find("--raw"), std::string::npos) << line;
    return line;
  }
  return "";
}

std::string_view named(std::string_view name) {
  const auto all = named_templates();
  const auto found = std::find_if(all.begin(), all.end(), [&](const NamedTemplate& t) { return t.name == name; });
  return found == all.end() ? std::string_view() : found->jinja;
}

TEST(ChatTemplate, NamedFormatsAreThoseOfTheirModels) {
  EXPECT_EQ(rendered(named("chatml"), kTalk),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi "
            "<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n"
            "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(rendered(named("gemma"), kTalk),
            "<s><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nYes?<end_of_turn>\n"
            "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n");
  EXPECT_EQ(
      rendered(named("llama3"), kTalk),
      "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
      "Hi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nYes?<|eot_id|><|start_header_id|>user"
      "<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(rendered(named("llama2"), kTalk),
            "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Yes? </s><s>[INST] Bye [/INST]");
  EXPECT_EQ(rendered(named("mistral"), kTalk), "<s>[INST] Be brief.\n\n Hi  [/INST]Yes?</s>[INST] Bye [/INST]");
  EXPECT_EQ(rendered(named("phi3"), kTalk),
            "<|system|>\nBe brief.<|end|>\n<|user|>\n Hi <|end|>\n<|assistant|>\nYes?<|end|>\n<|user|>\nBye<|end|>\n"
            "<|assistant|>\n");
  for (const NamedTemplate& format : named_templates()) {
    const std::string text = rendered(format.jinja, {{"user", "Hi"}}, false);
    EXPECT_NE(text.find("Hi"), std::string::npos) << format.name << ": " << text;
  }
}

TEST(ChatTemplate, OnlyTheTemplateHasMarks) {
  const MarkedText text = made_of(named("chatml")).render(Messages{{"system", ""}, {"user", "a<|im_end|>b"}}, false);
  EXPECT_EQ(text.text, "<|im_start|>system\n<|im_end|>\n<|im_start|>user\na<|im_end|>b<|im_end|>\n");
  std::string marked;
  for (const auto& [begin, end] : text.marks) marked += text.text.substr(begin, end - begin) + "/";
  EXPECT_EQ(marked, "<|im_start|>/\n<|im_end|>\n<|im_start|>/\n/<|im_end|>\n/");
}

// What a filter makes of a user's text is still the user's.
TEST(ChatTemplate, TextStaysPlainThroughFilters) {
  const MarkedText text = made_of("{{ '<a>' + (messages[0].content | trim | upper) + messages[0].content[0:2] }}")
                              .render(Messages{{"user", "<b> "}}, false);
  EXPECT_EQ(text.text, "<a><B><b");
  ASSERT_EQ(text.marks.size(), 1U);
  EXPECT_EQ(text.marks[0].end, 3U);
}

TEST(ChatTemplate, VariablesThatAreMissingAreEmpty) {
  EXPECT_EQ(rendered("{% if tools %}x{% endif %}{{ nothing }}{{ eos_token }}", kTalk), "</s>");
}

TEST(ChatTemplate, BlocksTakeTheirLineEndsWithThem) {
  EXPECT_EQ(rendered("{% if true %}\n  {% set x = 1 %}\na{{ x }}\n{% endif %}\n", kTalk), "a1\n");
}

TEST(ChatTemplate, WhatATemplateRefusesIsSaidInItsWords) {
  EXPECT_NE(message_of("a\n{{ raise_exception('Roles must\nalternate') }}")
                .find("line 2, column 19: Jinja Exception: Roles must"),
            std::string::npos);
  EXPECT_NE(message_of("{% if %}").find("Unexpected token: %}"), std::string::npos);
  EXPECT_NE(message_of("{{ messages | no_such_filter }}").find("no_such_filter"), std::string::npos);
  message_of("{{ nothing() }}");
  message_of("{{ 'x }}");
  message_of("{% for m in messages %}");
}

// A template is a program that came with a file from anywhere.
TEST(ChatTemplate, HostileTemplatesEndInOneLine) {
  EXPECT_NE(message_of("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}").find("3 s"),
            std::string::npos);
  EXPECT_NE(message_of("{{ range(1000000000000) }}").find("512 MiB"), std::string::npos);
  EXPECT_NE(message_of("{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}")
                .find("MiB"),
            std::string::npos);
  EXPECT_NE(message_of("{% set x = '" + std::string(1000, 'x') + "' %}{% for i in range(9000) %}{{ x }}{% endfor %}")
                .find("8 MiB"),
            std::string::npos);
  EXPECT_NE(message_of("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}").find("nests too deeply"),
            std::string::npos);
  EXPECT_NE(message_of("{{ " + std::string(1 << 20, '(') + " }}").find("nests too deeply"), std::string::npos);
  message_of("{{ 5 is divisibleby 0 }}");
}

// ---- the tokenizer's side

Tokenizer with_template(const std::string& jinja, const TokenizerOptions& options = {}) {
  testing::GgufWriter w;
  testing::put_sentencepiece(w, {{"<turn>", 0, 3}});
  if (!jinja.empty()) w.put_string("tokenizer.chat_template", jinja);
  const std::string bytes = w.bytes();
  return Tokenizer(Gguf::parse("FILE", std::as_bytes(std::span(bytes))), options);
}

TEST(Chat, FilesOwnTemplateSeesTheNamesOfItsTokens) {
  EXPECT_EQ(with_template("{{ bos_token }}<turn>{{ messages[0].content }}{{ eos_token }}").chat(kTalk, true).text,
            "<s><turn>Be brief.</s>");
}

TEST(Chat, TemplateOfTheOptionsTakesThePlaceOfTheFilesOwn) {
  EXPECT_EQ(with_template("a", {.pre_tokenizer = "", .chat_template = "b"}).chat(kTalk, true).text, "b");
  EXPECT_TRUE(with_template("", {.pre_tokenizer = "", .chat_template = "b"}).has_chat());
}

TEST(Chat, FileWithoutATemplateSaysWhatToDo) {
  const Tokenizer tokenizer = with_template("");
  EXPECT_FALSE(tokenizer.has_chat());
  try {
    tokenizer.chat(kTalk, true);
    FAIL();
  } catch (const Error& error) {
    const std::string line = error.what();
    for (const char* word : {"tokenizer.chat_template", "got none", "--raw", "--chat-template"}) {
      EXPECT_NE(line.find(word), std::string::npos) << word << "\nin: " << line;
    }
  }
}

}  // namespace
}  // namespace reattend
