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

const std::vector<std::string> kNames = {"<s>",      "</s>",          "<|im_start|>", "<|im_end|>",
                                         "<|user|>", "<|assistant|>", "<|end|>",      "<start_of_turn>",
                                         "<a>",      "<b>",           "<\u0394>",     "system"};

ChatTemplate made_of(std::string_view jinja) {
  return {std::string(jinja), "FILE: tokenizer.chat_template", "<s>", "</s>", kNames};
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

/// The special tokens of a text, with a bar behind each run of them.
std::string marked(std::string_view jinja, const Messages& messages, bool add_generation_prompt = false) {
  const MarkedText text = made_of(jinja).render(messages, add_generation_prompt);
  std::string out;
  for (const auto& [begin, end] : text.marks) out += text.text.substr(begin, end - begin) + "/";
  return out;
}

TEST(ChatTemplate, OnlyTheTemplateHasSpecialTokens) {
  const MarkedText text = made_of(named("chatml")).render(Messages{{"system", ""}, {"user", "a<|im_end|>b"}}, false);
  EXPECT_EQ(text.text, "<|im_start|>system\n<|im_end|>\n<|im_start|>user\na<|im_end|>b<|im_end|>\n");
  EXPECT_EQ(marked(named("chatml"), {{"system", ""}, {"user", "a<|im_end|>b"}}),
            "<|im_start|>/<|im_end|>/<|im_start|>/<|im_end|>/");
}

// A user could otherwise end a turn, and speak as the system, in every model whose template uses the filter.
TEST(ChatTemplate, NothingThatIsDoneToAMessageMakesASpecialToken) {
  struct Case {
    const char *jinja, *content, *text;
  };
  const Case cases[] = {
      {"{{ [messages[0].content, 'a'] | join('-') }}", "<|im_end|>", "<|im_end|>-a"},
      {"{{ messages | map(attribute='content') | join('') }}", "<|im_end|>", "<|im_end|>"},
      {"{{ messages | map(attribute='content') | list | join('') }}", "<|im_end|>", "<|im_end|>"},
      {"{{ messages | join('', attribute='content') }}", "<|im_end|>", "<|im_end|>"},
      {"{{ ['<', messages[0].content, '>'] | join }}", "|im_end|", "<|im_end|>"},
      {"{{ messages[0].content | list | join('') if false else messages[0].content }}", "<a>", "<a>"},
      {"{{ messages[0].content | tojson }}", "<|im_end|>", "\"<|im_end|>\""},
      {"{{ messages[0].content | tojson(ensure_ascii=true) }}", "<a>\u0394", "\"<a>\\u0394\""},
      {"{{ messages | tojson }}", "<|im_end|>", R"([{"role": "user", "content": "<|im_end|>"}])"},
      {"{{ messages[0] | tojson(indent=1) }}", "<a>", "{\n \"role\": \"user\",\n \"content\": \"<a>\"\n}"},
      {"{{ messages[0].content.split('/')[0] }}", "<|im_end|>/x", "<|im_end|>"},
      {"{{ messages[0].content.split('/')[1] }}", "x/<|im_end|>", "<|im_end|>"},
      {"{{ messages[0].content.rsplit('/', 1)[1] }}", "x/<|im_end|>", "<|im_end|>"},
      {"{{ messages[0].content | replace(' ', '') }}", "<|im _end|>", "<|im_end|>"},
      {"{{ messages[0].content | replace('x', '<|im_end|') }}", "x>", "<|im_end|>"},
      {"{{ 'x' | replace('x', messages[0].content) }}", "<|im_end|>", "<|im_end|>"},
      {"{{ ('=' + messages[0].content) | replace('=', '') }}", "<|im_end|>", "<|im_end|>"},
      {"{{ messages[0].content[1:] }}", "x<|im_end|>", "<|im_end|>"},
      {"{{ messages[0].content[::-1] }}", ">|dne_mi|<", "<|im_end|>"},
      {"{{ messages[0].content[0] ~ messages[0].content[1] ~ messages[0].content[2] }}", "<a>", "<a>"},
      {"{{ messages[0].content.0 + 'a>' }}", "<", "<a>"},
      {"{{ ('x' + messages[0].content)[1:] }}", "<a>", "<a>"},
      {"{{ messages[0].content | indent(2, true) }}", "<a>\n<b>", "  <a>\n  <b>"},
      {"{{ ('=' + messages[0].content) | indent(1) }}", "<a>\n<b>", "=<a>\n <b>"},
      {"{{ '{}{}'.format(messages[0].content, '') }}", "<a>", "<a>"},
      {"{{ messages[0].content.format('a') }}", "<{}>", "<a>"},
      {"{{ messages[0].content | lower }}", "<|IM_END|>", "<|im_end|>"},
      {"{{ messages[0].content | upper | lower }}", "<|im_end|>", "<|im_end|>"},
      {"{{ messages[0].content | title | lower }}", "<A>", "<a>"},
      {"{{ messages[0].content | capitalize }}", "<A>", "<a>"},
      {"{{ messages[0].content | trim }}", " <a> ", "<a>"},
      {"{{ messages[0].content.strip('x') }}", "x<a>x", "<a>"},
      {"{{ messages[0].content.lstrip() + messages[0].content.rstrip() }}", "<a>", "<a><a>"},
      {"{{ messages[0].content | string | safe | default('') }}", "<a>", "<a>"},
      {"{{ messages[0].content * 2 }}", "<a>", "<a><a>"},
      {"{{ '<' ~ messages[0].content ~ '>' }}", "a", "<a>"},
      {"<{{ messages[0].content }}>", "a", "<a>"},
      {"{{ [messages[0].content] | string }}", "<a>", "['<a>']"},
      {"{{ {'k': messages[0].content} | string }}", "<a>", "{'k': '<a>'}"},
      {"{{ {'k': messages[0].content} | items | first | last }}", "<a>", "<a>"},
      {"{{ {messages[0].content: 1} | dictsort | first | first if false else messages[0].content }}", "<a>", "<a>"},
      {"{% for key in {messages[0].content: 1} %}{{ key }}{% endfor %}", "<a>", "<a>"},
      {"{{ [messages[0].content, 'z'] | sort | first }}", "<a>", "<a>"},
      {"{{ [messages[0].content, 'z'] | min }}{{ [messages[0].content, ' '] | max }}", "<a>", "<a><a>"},
      {"{{ [messages[0].content] | reverse | last }}", "<a>", "<a>"},
      {"{% set x %}{{ messages[0].content }}{% endset %}{{ [x] | join }}", "<a>", "<a>"},
      {"{% set n = namespace(x='') %}{% for m in messages %}{% set n.x = n.x ~ m.content[0] %}{% endfor %}"
       "{{ n.x + 'a>' }}",
       "<", "<a>"},
      {"{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(messages[0].content) }}", "a", "<a>"},
      {"{% filter lower %}{{ messages[0].content }}{% endfilter %}", "<A>", "<a>"},
      {"{{ messages[0].content | replace('<a>', '-') }}", "<a><b>", "-<b>"},
  };
  for (const Case& each : cases) {
    const Messages messages = {{"user", each.content}};
    const MarkedText text = made_of(each.jinja).render(messages, false);
    EXPECT_EQ(text.text, each.text) << each.jinja;
    EXPECT_TRUE(text.marks.empty()) << each.jinja;
    EXPECT_EQ(marked(std::string(each.jinja) + "{{ '<|im_end|>' }}", messages), "<|im_end|>/") << each.jinja;
  }
}

// The other way round: what a template does to its own tokens leaves them tokens.
TEST(ChatTemplate, SpecialTokensOfTheTemplateSurviveFilters) {
  const Messages hi = {{"user", "Hi"}};
  EXPECT_EQ(marked("{{ ['<a>', messages[0].content, '<b>'] | join(' ') }}", hi), "<a>/<b>/");
  EXPECT_EQ(marked("{{ ('<a>' ~ messages[0].content) | upper | trim | indent | tojson }}", hi), "<a>/");
  EXPECT_EQ(marked("{{ 'x-<a>'.split('-')[1] }}{{ 'x' | replace('x', '<b>') }}", hi), "<a><b>/");
  EXPECT_EQ(marked("{% set n = namespace(x='<a>') %}{{ n.x }}{{ bos_token + '-' + eos_token }}", hi), "<a><s>/</s>/");
  EXPECT_EQ(marked("{% macro f(x='<a>') %}{{ x }}<\u0394>{% endmacro %}{{ f() }}", hi), "<a><\u0394>/");
  EXPECT_EQ(marked("{{ {'user': '<a>'}[messages[0].role] }}", hi), "<a>/");
}

TEST(ChatTemplate, ANameThatIsMadeOfARoleIsASpecialToken) {
  const Messages talk = {{"user", "user"}, {"assistant", "<|user|>"}, {"tool", "x"}};
  const std::string expected = "<|user|>/<|end|>/<|assistant|>/<|end|>/<|end|>/";  // there is none for a tool
  EXPECT_EQ(marked(named("phi3"), talk), expected);
  EXPECT_EQ(marked("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|> {% endfor %}", talk), expected);
  EXPECT_EQ(marked("{% for m in messages %}{{ '<|' ~ m.role }}|>{{ m.content }}{{ '<|end|> ' }}{% endfor %}", talk),
            expected);
  EXPECT_EQ(made_of(named("phi3")).render(Messages{{"tool", "x"}}, false).text, "<|tool|>\nx<|end|>\n");
  EXPECT_EQ(marked("{% for m in messages %}{{ '<|' + m.content + '|>' }}{% endfor %}", talk), "");
}

// A template that cuts a message at a name, or looks for one in it, means what stands there.
TEST(ChatTemplate, NamesThatAreLookedForAreText) {
  const Messages messages = {{"user", "x<a>y"}};
  EXPECT_EQ(rendered("{{ messages[0].content.split('<a>')[1] }}", messages), "y");
  EXPECT_EQ(rendered("{{ '<a>' in messages[0].content }}{{ '<b>' not in messages[0].content }}", messages), "TrueTrue");
  EXPECT_EQ(rendered("{{ messages[0].content == 'x<a>y' }}{{ 'x<a>' != messages[0].content }}", messages), "TrueTrue");
  EXPECT_EQ(rendered("{{ messages[0].content.startswith('x<a>') }}", messages), "True");
  EXPECT_EQ(rendered("{{ messages[0].content.endswith('<a>y') }}", messages), "True");
  EXPECT_EQ(rendered("{{ messages[0].content | length }}", messages), "5");
  EXPECT_EQ(rendered("{{ {'system': 1}['system'] }}", messages), "1") << "though there is a token of that name";
}

TEST(ChatTemplate, MessagesOfAnyBytesComeThrough) {
  std::string bytes;
  for (int b = 1; b < 255; ++b) bytes += static_cast<char>(b);
  EXPECT_EQ(rendered("{{ messages[0].content }}", {{"user", bytes}}), bytes);
  EXPECT_EQ(marked("<a>{{ messages[0].content }}", {{"user", bytes}}), "<a>/");
  EXPECT_NE(message_of("{{ messages[0].content }}", {{"user", bytes + "\xFF"}}).find("every byte from 0x80"),
            std::string::npos);
}

TEST(ChatTemplate, ATemplateThatTakesItsTokensApartIsRefused) {
  for (const char* jinja : {"{{ '<a>'[1:] }}", "{{ '<a>'[:2] }}", "{{ '<a>'[0] }}"}) {
    EXPECT_NE(message_of(jinja).find("takes apart"), std::string::npos) << jinja;
  }
}

TEST(ChatTemplate, VariablesThatAreMissingAreEmpty) {
  EXPECT_EQ(rendered("{% if tools %}x{% endif %}{{ nothing }}{{ eos_token }}", kTalk), "</s>");
}

TEST(ChatTemplate, ATemplateThatWritesNothingIsRefused) {
  for (const char* jinja : {"{% if false %}x{% endif %}", "{# nothing #}", "{{ '' }}", "\n"}) {
    EXPECT_NE(message_of(jinja).find("writes nothing"), std::string::npos) << jinja;
  }
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
  EXPECT_NE(message_of("{{ 99999999999999999999 }}").find("got template: a number that is out of range (stoll)"),
            std::string::npos);
  EXPECT_NE(message_of("{{ 'a' | indent(-1) }}").find("template: line 1, column 8: what the renderer cannot do ("),
            std::string::npos);
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

// Such as '<|user{}|>'.format(suffix): that the model then sees text must not go unsaid.
TEST(Chat, NamesThatATemplatePutsTogetherAreToldOf) {
  const auto told = [](const std::string& jinja, const std::string& content) {
    const Tokenizer tokenizer = with_template(jinja);
    const std::vector<Tokenizer::Message> messages = {{"user", content}};
    return tokenizer.names_put_together(tokenizer.chat(messages, true), messages);
  };
  const std::string line = told("{{ '<{}>'.format('turn') }}{{ messages[0].content }}", "x");
  EXPECT_NE(line.find("FILE: tokenizer.chat_template: "), std::string::npos) << line;
  EXPECT_NE(line.find("got <turn>, put together"), std::string::npos) << line;
  EXPECT_EQ(told("<turn>{{ messages[0].content }}", "x"), "");
  EXPECT_EQ(told("<turn>{{ messages[0].content }}", "a <turn> of the user's"), "");
  EXPECT_EQ(told("<turn>{{ messages[0].content | lower }}", "a <TURN> of the user's"), "")
      << "not the template's doing";
}

TEST(Chat, FilesOwnTemplateSeesTheNamesOfItsTokens) {
  EXPECT_EQ(with_template("{{ bos_token }}<turn>{{ messages[0].content }}{{ eos_token }}").chat(kTalk, true).text,
            "<s><turn>Be brief.</s>");
}

TEST(Chat, TemplateOfTheOptionsTakesThePlaceOfTheFilesOwn) {
  EXPECT_EQ(with_template("a", {.pre_tokenizer = "", .chat_template = "b"}).chat(kTalk, true).text, "b");
  EXPECT_TRUE(with_template("", {.pre_tokenizer = "", .chat_template = "b"}).has_chat());
}

TEST(Chat, AnEmptyTemplateOfAFileIsNone) {
  testing::GgufWriter w;
  testing::put_sentencepiece(w, {});
  w.put_string("tokenizer.chat_template", "");
  const std::string bytes = w.bytes();
  EXPECT_FALSE(Tokenizer(Gguf::parse("FILE", std::as_bytes(std::span(bytes)))).has_chat());
}

// A format of other models is text that this one has never seen; its answers would be worse for no visible reason.
TEST(Chat, AFormatWhoseTokensTheVocabularyLacksIsWarnedOf) {
  const auto guesses = [](std::vector<std::string_view> markers) {
    return with_template("", {.pre_tokenizer = "",
                              .chat_template = "b",
                              .chat_template_where = "--chat-template b",
                              .chat_template_markers = std::move(markers)})
        .guesses();
  };
  EXPECT_TRUE(guesses({}).empty());
  EXPECT_TRUE(guesses({"<turn>", "<s>"}).empty());
  const std::vector<std::string> lines = guesses({"<turn>", "<|user|>", "<|end|>"});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("--chat-template b: "), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("FILE, which lacks <|user|>, <|end|>"), std::string::npos) << lines[0];
}

TEST(Chat, MarkersOfANamedFormatStandInItsTemplate) {
  for (const NamedTemplate& format : named_templates()) {
    const std::string text = made_of(format.jinja).render(Messages{{"user", "x"}, {"assistant", "y"}}, true).text;
    for (const std::string_view marker : format.markers) {
      EXPECT_NE(text.find(marker), std::string::npos) << format.name << ": " << marker;
    }
  }
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
