// What a user's text becomes before the model sees it: the tokens that its author meant, or a line that says otherwise.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "tests/support/gguf_writer.h"
#include "tests/support/program.h"

namespace reattend::test {
namespace {

using nlohmann::json;
using reattend::testing::GgufWriter;
using Ids = std::vector<int32_t>;

const std::string kTiny = "tests/golden/models/tiny_llama.gguf";
/// ChatML with a default system message, as files of SmolLM2 and Qwen2 carry it.
constexpr const char* kTemplate =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe "
    "kind."
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// What a command read as its prompt.
struct Read {
  int code = 0;
  Ids ids;
  std::string text, err;
  std::vector<bool> special;
};

class Prompt : public ::testing::Test {
 protected:
  std::string file(const std::string& name) const { return (folder_ / name).string(); }

  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
    return file(name);
  }

  /// The tiny model with something else in it.
  std::string model(const std::function<void(GgufWriter&)>& change) const {
    GgufWriter writer = reattend::testing::copy_of(Gguf::open(kTiny));
    change(writer);
    return write("model.gguf", writer.bytes());
  }
  std::string chat_model() const {
    return model([](GgufWriter& w) { w.put_string("tokenizer.chat_template", kTemplate); });
  }

  static ProgramResult reattend(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), REATTEND_PROGRAM);
    return run_program(std::move(arguments));
  }

  Read read(const std::string& model, const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"record", "--model",       model,          "--steps",
                                          "1",      "--force",       "--out",        file("trace.h5"),
                                          "--json", "--show-tokens", "--ignore-end", "--no-calibration"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = reattend(std::move(arguments));
    Read out = {.code = result.code, .err = result.err};
    const json report = json::parse(result.out, nullptr, false);
    if (!report.is_object()) return out;
    for (const json& token : report["prompt_tokens"]) {
      out.ids.push_back(token["id"]);
      out.text += token["text"];
      out.special.push_back(token["special"]);
    }
    return out;
  }

  ScratchFolder folder_;
};

size_t n_line(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}
#define EXPECT_SAYS(err, words) EXPECT_NE((err).find(words), std::string::npos) << (err)

// ---- what a file leaves open

TEST_F(Prompt, AMissingPreTokenizerIsAGuessThatIsSaid) {
  const std::string without = model([](GgufWriter& w) { w.erase("tokenizer.ggml.pre"); });
  const Read guessed = read(without, {"--raw", "--prompt", "'the"});
  EXPECT_EQ(guessed.code, 0);
  EXPECT_SAYS(guessed.err, "reattend: warning: " + without + ": tokenizer.ggml.pre");
  EXPECT_SAYS(guessed.err, "\"default\" is assumed");
  EXPECT_EQ(n_line(guessed.err), 1U) << guessed.err;
  const Read named = read(kTiny, {"--raw", "--prompt", "'the"});
  EXPECT_EQ(named.err, "");
  EXPECT_NE(named.ids, guessed.ids) << "the guess matters for this text";
  const ProgramResult info = reattend({"info", without});
  EXPECT_EQ(info.code, 0) << info.err;
  EXPECT_SAYS(info.out, "default (assumed)");
  EXPECT_SAYS(info.out, "tokens may be wrong");
}

TEST_F(Prompt, InfoTellsHowTextBecomesTokens) {
  const json facts = json::parse(reattend({"info", kTiny, "--json"}).out)["tokenizer"];
  EXPECT_EQ(facts["pre-tokenizer"], "smollm");
  EXPECT_EQ(facts["put before prompts"], "nothing");
  EXPECT_EQ(facts["chat template"], "none: use --raw or --chat-template FILE|NAME");
  EXPECT_EQ(json::parse(reattend({"info", chat_model(), "--json"}).out)["tokenizer"]["chat template"],
            "the file's own");
  const std::string other = model([](GgufWriter& w) { w.put_string("tokenizer.ggml.pre", "of-next-year"); });
  EXPECT_SAYS(json::parse(reattend({"info", other, "--json"}).out)["tokenizer"]["refused"].get<std::string>(),
              "of-next-year");
}

TEST_F(Prompt, AnUnknownPreTokenizerIsRefusedUnlessOneIsNamed) {
  const std::string other = model([](GgufWriter& w) { w.put_string("tokenizer.ggml.pre", "of-next-year"); });
  const Read refused = read(other, {"--raw", "--prompt", "the"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_SAYS(refused.err, "tokenizer.ggml.pre: expected one of smollm");
  EXPECT_SAYS(refused.err, "--pre-tokenizer");
  EXPECT_EQ(read(other, {"--raw", "--prompt", "the", "--pre-tokenizer", "smollm"}).ids,
            read(kTiny, {"--raw", "--prompt", "the"}).ids);
  const Read slip = read(kTiny, {"--raw", "--prompt", "the", "--pre-tokenizer", "smolm"});
  EXPECT_EQ(slip.code, 2);
  EXPECT_SAYS(slip.err, "--pre-tokenizer: expected one of smollm");
}

TEST_F(Prompt, ABeginTokenIsNotDoubled) {
  const std::string begins = model([](GgufWriter& w) {
    w.put_bool("tokenizer.ggml.add_bos_token", true);  // token 1, <|im_start|>
    w.put_string("tokenizer.chat_template", kTemplate);
  });
  const Read added = read(begins, {"--raw", "--prompt", "user"});
  ASSERT_GE(added.ids.size(), 2U);
  EXPECT_EQ(added.ids[0], 1);
  EXPECT_NE(added.ids[1], 1);
  EXPECT_EQ(added.err, "");
  const Read typed = read(begins, {"--raw", "--prompt", "<|im_start|>user"});
  EXPECT_EQ(typed.ids, added.ids);
  EXPECT_SAYS(typed.err, "begins with <|im_start|> by itself");
  EXPECT_EQ(n_line(typed.err), 1U) << typed.err;
  EXPECT_EQ(read(begins, {"--prompt", "hi"}).ids, read(chat_model(), {"--prompt", "hi"}).ids)
      << "the template begins with it by itself";
}

// ---- chats

TEST_F(Prompt, AnEmptySystemMessageIsOne) {
  const std::string chat = chat_model();
  EXPECT_EQ(read(chat, {"--prompt", "hi", "--system", ""}).text,
            "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(read(chat, {"--prompt", "hi"}).text,
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(Prompt, UsersAndSystemTextIsPlainInAChatUnlessAskedOtherwise) {
  const std::string chat = chat_model();
  const std::vector<std::string> text = {"--prompt", "what is <|im_end|> for", "--system", "<|im_start|>"};
  const auto with = [&](std::vector<std::string> arguments, const std::string& more) {
    arguments.push_back(more);
    return read(chat, arguments);
  };
  const Read plain = read(chat, text), parsed = with(text, "--parse-special");
  EXPECT_EQ(plain.text, parsed.text);
  EXPECT_EQ(std::count(plain.ids.begin(), plain.ids.end(), 2), 2) << "the template's own ends of turns";
  EXPECT_EQ(std::count(plain.special.begin(), plain.special.end(), true), 5);
  EXPECT_EQ(std::count(parsed.ids.begin(), parsed.ids.end(), 2), 3);
  EXPECT_EQ(std::count(parsed.special.begin(), parsed.special.end(), true), 7);
  EXPECT_EQ(with(text, "--no-parse-special").ids, plain.ids) << "the default of chats";

  const std::vector<std::string> raw = {"--raw", "--prompt", "a<|im_end|>b"};
  const Read as_before = read(chat, raw), spelled = with(raw, "--no-parse-special");
  EXPECT_EQ(std::count(as_before.ids.begin(), as_before.ids.end(), 2), 1);
  EXPECT_EQ(with(raw, "--parse-special").ids, as_before.ids) << "the default of raw prompts";
  EXPECT_EQ(std::count(spelled.ids.begin(), spelled.ids.end(), 2), 0);
  EXPECT_EQ(spelled.text, as_before.text);
}

TEST_F(Prompt, AModelWithoutATemplateNamesTheWayAroundIt) {
  const Read chat = read(kTiny, {"--prompt", "hi"});
  EXPECT_EQ(chat.code, 1);
  EXPECT_SAYS(chat.err, "--raw");
  const ProgramResult demo = reattend({"demo", "--model", kTiny, "--text", "assets/prose.txt", "--out", file("demo")});
  EXPECT_EQ(demo.code, 1);
  EXPECT_SAYS(demo.err, "--model: expected one with a chat template");
}

TEST_F(Prompt, AnEmptyTemplateIsNone) {
  const std::string empty = model([](GgufWriter& w) { w.put_string("tokenizer.chat_template", ""); });
  EXPECT_SAYS(read(empty, {"--prompt", "hi"}).err, "tokenizer.chat_template: expected a chat template, got none");
  EXPECT_EQ(json::parse(reattend({"info", empty, "--json"}).out)["tokenizer"]["chat template"],
            "none: use --raw or --chat-template FILE|NAME");
  const std::string silent =
      model([](GgufWriter& w) { w.put_string("tokenizer.chat_template", "{% if tools %}x{% endif %}"); });
  const Read refused = read(silent, {"--prompt", "hi"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_SAYS(refused.err, silent + ": tokenizer.chat_template: expected a template that renders these messages");
  EXPECT_SAYS(refused.err, "writes nothing");
}

TEST_F(Prompt, ATemplateIsNamedOrComesFromAFile) {
  const std::string chatml = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n";
  EXPECT_EQ(read(kTiny, {"--prompt", "hi", "--chat-template", "chatml"}).text, chatml);
  EXPECT_EQ(read(chat_model(), {"--prompt", "hi", "--chat-template", "chatml"}).text, chatml) << "not the file's own";
  const Read other = read(kTiny, {"--prompt", "hi", "--chat-template", "llama3"});
  EXPECT_EQ(other.code, 0);
  EXPECT_SAYS(other.err, "warning: --chat-template llama3: expected a vocabulary with its special tokens");
  EXPECT_SAYS(other.err, "which lacks <|start_header_id|>, <|end_header_id|>, <|eot_id|>");
  EXPECT_EQ(n_line(other.err), 1U) << other.err;
  const std::string path = write("own.jinja", "<|im_start|>{{ messages[0].content | upper }}");
  const Read own = read(kTiny, {"--prompt", "hi<|im_end|>", "--chat-template", path});
  EXPECT_EQ(own.text, "<|im_start|>HI<|IM_END|>");
  EXPECT_EQ(std::count(own.special.begin(), own.special.end(), true), 1);
}

TEST_F(Prompt, ATemplateThatCannotBeIsRefused) {
  const auto refused = [&](std::vector<std::string> more, int code, const std::string& says) {
    more.insert(more.begin(), {"--prompt", "hi"});
    const Read chat = read(kTiny, more);
    EXPECT_EQ(chat.code, code) << chat.err;
    EXPECT_SAYS(chat.err, says);
    EXPECT_EQ(n_line(chat.err), 1U) << chat.err;
  };
  refused({"--chat-template", "no-such-format"}, 2, "or one of chatml, gemma");
  refused({"--chat-template", write("empty.jinja", "")}, 1, "an empty file");
  refused({"--chat-template", write("bad.jinja", "{{ messages | x }}")}, 1,
          "bad.jinja: expected a template that renders these messages, got template: line 1");
  refused({"--chat-template", "/dev/zero"}, 1, "more; give a shorter text");
  refused({"--chat-template", write("deep.jinja", "{{" + std::string(1 << 20, '('))}, 1, "nests too deeply");
}

// ---- bytes

TEST_F(Prompt, AContextIsTheBeginningOfTheSameTokens) {
  for (const std::string& bytes : {std::string("h\xE9llo caf\xE9 world"), std::string("ab \xE6\x97\xA5\xE6"),
                                   std::string("\xC3 the clock"), std::string("the caf\xC3\xA9 and the clock")}) {
    const std::string text = write("text", bytes);
    const Read whole = read(kTiny, {"--raw", "--prompt-file", text});
    const Read part = read(kTiny, {"--raw", "--prompt-file", text, "--context", "4"});
    ASSERT_GE(whole.ids.size(), 4U);
    EXPECT_EQ(part.ids, Ids(whole.ids.begin(), whole.ids.begin() + 4)) << bytes;
    const Read behind = read(kTiny, {"--raw", "--prompt-file", text, "--skip-chars", "2"});
    const std::string rest = write("rest", bytes.substr(2));
    EXPECT_EQ(behind.ids, read(kTiny, {"--raw", "--prompt-file", rest}).ids) << bytes;
  }
}

TEST_F(Prompt, BytesThatAreNoTextAreSaid) {
  const Read latin = read(kTiny, {"--raw", "--prompt-file", write("latin", "h\xE9llo caf\xE9")});
  EXPECT_EQ(latin.code, 0);
  EXPECT_SAYS(latin.err, "2 bytes that are none, the first at offset 1");
  const Read zeros = read(kTiny, {"--raw", "--prompt-file", write("zeros", std::string("h\0i\0", 4))});
  EXPECT_SAYS(zeros.err, "2 of them");
  EXPECT_SAYS(zeros.err, "iconv -f UTF-16LE");
}

TEST_F(Prompt, AByteOrderMarkIsNoPartOfTheText) {
  const Read marked = read(kTiny, {"--raw", "--prompt-file", write("marked", "\xEF\xBB\xBFthe clock")});
  EXPECT_EQ(marked.ids, read(kTiny, {"--raw", "--prompt", "the clock"}).ids);
  EXPECT_SAYS(marked.err, "byte order mark");
  EXPECT_EQ(n_line(marked.err), 1U) << marked.err;
  for (const auto& [bytes, encoding] : {std::pair{std::string("\xFF\xFEh\0i\0", 6), "UTF-16"},
                                        {std::string("\xFE\xFF\0h\0i", 6), "UTF-16"},
                                        {std::string("\xFF\xFE\0\0h\0\0\0", 8), "UTF-32"}}) {
    const Read wide = read(kTiny, {"--raw", "--prompt-file", write("wide", bytes)});
    EXPECT_EQ(wide.code, 1);
    EXPECT_SAYS(wide.err, std::string("iconv -f ") + encoding + " -t UTF-8");
    EXPECT_EQ(n_line(wide.err), 1U) << wide.err;
  }
}

// ---- options that would do nothing

TEST_F(Prompt, AnOptionWithAnEmptyTextIsNotTakenAsLeftOut) {
  const std::vector<std::string> compare = {"compare", "--model", kTiny, "--raw", "--prompt", "hi", "--steps", "2"};
  for (const char* option : {"--continuation", "--csv", "--csv-steps", "--chart", "--policies", "--settings",
                             "--device", "--prompt-cache", "--budget"}) {
    std::vector<std::string> arguments = compare;
    arguments.insert(arguments.end(), {option, ""});
    const ProgramResult result = reattend(arguments);
    EXPECT_EQ(result.code, 2) << option << result.err;
    EXPECT_SAYS(result.err, std::string(option) + ": expected a value, got an empty text");
  }
  EXPECT_EQ(reattend({"info", ""}).code, 2) << "would be the machine's";
  EXPECT_EQ(reattend({"run", "--model", kTiny, "--raw", "--prompt-file", ""}).code, 2);
  const std::string ids = write("ids.json", "[1, 2]");
  const Read system = read(kTiny, {"--prompt-tokens", ids, "--system", "x"});
  EXPECT_EQ(system.code, 2);
  EXPECT_SAYS(system.err, "--system");
}

// ---- showing it

TEST_F(Prompt, TokensAreShownToAPersonByEveryCommandThatTakesAPrompt) {
  const std::string text = write("text", "<|im_start|>the\n\xE6\x97\xA5\" \xE6");
  const std::vector<std::string> prompt = {"--model", kTiny,           "--raw",   "--prompt-file",
                                           text,      "--show-tokens", "--steps", "2"};
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"run"},
        {"record", "--no-calibration", "--out", file("shown.h5"), "--force"},
        {"compare", "--policies", "streaming", "--budget", "4", "--repeats", "0"}}) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), prompt.begin(), prompt.end());
    const ProgramResult result = reattend(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out.find("im_start"), std::string::npos) << result.out;
    EXPECT_SAYS(result.err, "       0    1  <|im_start|>\n");
    EXPECT_SAYS(result.err, "       1  259  \"th\"\n");
    EXPECT_SAYS(result.err, "\"\\n\"\n");
    EXPECT_SAYS(result.err, "\"\\xe6\"\n");
    arguments.push_back("--json");
    const json report = json::parse(reattend(arguments).out, nullptr, false);
    ASSERT_TRUE(report.is_object()) << command[0];
    EXPECT_EQ(report["prompt_tokens"][0], (json{{"id", 1}, {"text", "<|im_start|>"}, {"special", true}}));
    EXPECT_EQ(report["prompt_tokens"][1]["text"], "th");
  }
}

// ---- model files

std::string hash(const std::string& model, const std::string& prompt) {
  const ProgramResult result =
      run_program({REATTEND_PROGRAM, "run", "--model", model, "--prompt-tokens", prompt, "--steps", "3", "--ignore-end",
                   "--kv", "f32", "--activations", "f32", "--device", "reference", "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  const json report = json::parse(result.out, nullptr, false);
  return report.is_object() ? report["logits_hash"].get<std::string>() : "";
}

// A file that says "positions / 4" by one key must compute as one whose frequencies are all divided by 4.
TEST_F(Prompt, AScaleOfPositionsIsAppliedWhateverKeyHoldsIt) {
  const std::string ids = write("ids.json", "[5,17,99,200,43,12,77,150,31,9,250,60]");
  const std::string by_tensor = hash(model([](GgufWriter& w) {
                                       w.put_zeros("rope_freqs.weight", {4});
                                       std::string& data = w.tensor("rope_freqs.weight").data;
                                       data.clear();
                                       for (int i = 0; i < 4; ++i) data += reattend::testing::raw(4.0F);
                                     }),
                                     ids);
  const std::string by_factor = hash(model([](GgufWriter& w) { w.put_f32("llama.rope.scaling.factor", 4); }), ids);
  const std::string by_old_key = hash(model([](GgufWriter& w) { w.put_f32("llama.rope.scale_linear", 4); }), ids);
  EXPECT_EQ(by_factor, by_tensor);
  EXPECT_EQ(by_old_key, by_tensor);
  EXPECT_NE(by_factor, hash(kTiny, ids));
}

TEST_F(Prompt, AModelInPartsIsOneModel) {
  const json facts =
      json::parse(reattend({"info", "tests/golden/models/tiny_llama_split-00001-of-00002.gguf", "--json"}).out);
  EXPECT_EQ(facts["layers"], 3);
  EXPECT_EQ(facts["parts"], 2);
}

TEST_F(Prompt, APartOfASplitModelIsCalledThat) {
  const std::string part = model([](GgufWriter& w) {
    w.put("split.no", GgufType::u16, reattend::testing::raw(uint16_t{0}));
    w.put("split.count", GgufType::u16, reattend::testing::raw(uint16_t{2}));
    std::erase_if(w.tensors, [](const GgufWriter::Tensor& t) { return t.name.starts_with("blk.2"); });
  });
  const ProgramResult result = reattend({"info", part});
  EXPECT_EQ(result.code, 1);
  EXPECT_SAYS(result.err, "expected a name that ends with -00001-of-00002.gguf");
  EXPECT_SAYS(result.err, "llama-gguf-split --merge");
}

}  // namespace
}  // namespace reattend::test
