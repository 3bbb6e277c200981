// Any tokenizer tables: they are refused in words, or give ids inside the vocabulary.
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/model/gguf.h"
#include "engine/text/tokenizer.h"
#include "tests/fuzz/targets.h"
#include "tests/support/gguf_writer.h"

namespace reattend::fuzz {

/// The input is a list of lines, each with its meaning as first character: t a token, k its kind (a digit), m a merge,
/// c a score (a character less '0'), s SentencePiece in place of byte-level BPE (s1: with a space in front), p the
/// pre-tokenizer, b, e and u ids of begin, end and unknown, j the chat template; what follows an x is the text to
/// encode.
void tables(std::span<const uint8_t> data) {
  std::string rest(data.begin(), data.end()), input;
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> kinds;
  std::vector<float> scores;
  testing::GgufWriter writer;
  bool own_template = false;
  writer.put_string("tokenizer.ggml.model", "gpt2");
  while (!rest.empty()) {
    const char meaning = rest.front();
    if (meaning == 'x') {
      input = rest.substr(1);
      break;
    }
    const size_t end = rest.find('\n');
    const std::string line = rest.substr(1, end == std::string::npos ? end : end - 1);
    const auto number = static_cast<uint32_t>(line.empty() ? 0 : static_cast<unsigned char>(line[0]) - '0');
    switch (meaning) {
      case 't':
        tokens.push_back(line);
        break;
      case 'k':
        kinds.push_back(static_cast<int32_t>(number));
        break;
      case 'm':
        merges.push_back(line);
        break;
      case 'c':
        scores.push_back(static_cast<float>(number));
        break;
      case 's':
        writer.put_string("tokenizer.ggml.model", "llama");
        writer.put_bool("tokenizer.ggml.add_space_prefix", number == 1);
        break;
      case 'u':
        writer.put_u32("tokenizer.ggml.unknown_token_id", number);
        break;
      case 'p':
        writer.put_string("tokenizer.ggml.pre", line);
        break;
      case 'b':
        writer.put_bool("tokenizer.ggml.add_bos_token", true);
        writer.put_u32("tokenizer.ggml.bos_token_id", number);
        break;
      case 'e':
        writer.put_u32("tokenizer.ggml.eos_token_id", number);
        break;
      case 'j':
        writer.put_string("tokenizer.chat_template", line);
        own_template = true;  // which may say what it likes
        break;
      default:
        break;
    }
    rest.erase(0, end == std::string::npos ? rest.size() : end + 1);
  }
  writer.put_strings("tokenizer.ggml.tokens", tokens);
  writer.put_strings("tokenizer.ggml.merges", merges);
  scores.resize(tokens.size());
  writer.put_f32s("tokenizer.ggml.scores", scores);
  if (!kinds.empty()) {
    kinds.resize(tokens.size(), 1);
    writer.put_i32s("tokenizer.ggml.token_type", kinds);
  }
  const std::string bytes = writer.bytes();
  try {
    const Tokenizer tokenizer(Gguf::parse("FILE", std::as_bytes(std::span(bytes))));
    for (const bool parse_special : {false, true}) {
      for (const int32_t id : tokenizer.encode(input, parse_special)) {
        promise(id >= 0 && id < tokenizer.n_vocab(), "ids lie in the vocabulary");
        promise(tokenizer.piece(id, true).size() <= bytes.size(), "a piece is no longer than the file");
      }
    }
    const std::vector<Tokenizer::Message> messages = {{"user", input}};
    const MarkedText chat = tokenizer.chat(messages, true);
    promise(own_template || chat.text.find(input) != std::string::npos, "a chat holds its messages");
    for (const int32_t id : tokenizer.encode(chat)) {
      promise(id >= 0 && id < tokenizer.n_vocab(), "a chat's ids lie in the vocabulary");
    }
  } catch (const Error& error) {
    promise(std::string_view(error.what()).find('\n') == std::string_view::npos, "an error is one line");
  }
}

}  // namespace reattend::fuzz
