// Any text through each pre-tokenizer: it comes back byte for byte, and its stream shows whole characters only.
#include <array>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "engine/model/gguf.h"
#include "engine/text/tokenizer.h"
#include "tests/fuzz/targets.h"
#include "tests/support/gguf_writer.h"

namespace reattend::fuzz {
namespace {

constexpr std::array<const char*, 5> kPreTokenizers = {"smollm", "gpt-2", "default", "llama-bpe", "qwen2"};

Tokenizer make(const char* pre) {
  testing::GgufWriter writer;
  testing::put_tokenizer(
      writer, pre, {"th", "the", "\xC4\xA0the", "\xC4\xA0\xC4\xA0", "ab", "bab", "<|im_end|>", "<|im_|>", "<tool>"},
      {1, 1, 1, 1, 1, 1, 3, 3, 4}, {"t h", "th e", "\xC4\xA0 the", "\xC4\xA0 \xC4\xA0", "a b", "b ab"});
  writer.put_bool("tokenizer.ggml.add_bos_token", false);
  const std::string bytes = writer.bytes();
  return Tokenizer(Gguf::parse("FILE", std::as_bytes(std::span(bytes))));
}

const std::vector<Tokenizer>& tokenizers() {
  static const std::vector<Tokenizer> all = [] {
    std::vector<Tokenizer> out;
    for (const char* pre : kPreTokenizers) out.push_back(make(pre));
    return out;
  }();
  return all;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char c = first_utf8_char(text);
    if (c.status != Utf8Status::ok) return false;
    text.remove_prefix(c.length);
  }
  return true;
}

}  // namespace

void text(std::span<const uint8_t> data) {
  const std::string all(data.begin(), data.end());
  Utf8Stream at_once;
  std::string shown = at_once.push(all);
  shown += at_once.finish();
  promise(is_utf8(shown), "a stream shows UTF-8");
  promise(!is_utf8(all) || shown == all, "valid text is shown as it is");
  // Cut where the input itself says: what is plain and what is a template's must together be the text.
  MarkedText halves;
  const size_t cut = all.empty() ? 0 : static_cast<unsigned char>(all[0]) % (all.size() + 1);
  halves.add_marks(std::string_view(all).substr(0, cut));
  halves.add_plain(std::string_view(all).substr(cut));
  for (const Tokenizer& tokenizer : tokenizers()) {
    promise(tokenizer.decode(tokenizer.encode(halves), true) == all, "marked text comes back byte for byte");
    for (const bool parse_special : {false, true}) {
      const std::vector<int32_t> ids = tokenizer.encode(all, parse_special);
      std::string again, streamed;
      Utf8Stream stream;
      for (const int32_t id : ids) {
        const std::string piece = tokenizer.piece(id, true);
        again += piece;
        const std::string part = stream.push(piece);
        promise(is_utf8(part), "no character is cut");
        streamed += part;
      }
      streamed += stream.finish();
      promise(again == all, "text comes back byte for byte");
      promise(streamed == shown, "a stream does not depend on where it is cut");
    }
  }
}

}  // namespace reattend::fuzz
