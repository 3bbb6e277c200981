// Writes GGUF files for tests: valid ones, and ones that are wrong in exactly one place.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/gguf.h"

namespace reattend::testing {

/// The bytes of a plain value.
template <class T>
std::string raw(T x) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &x, sizeof(T));
  return out;
}
/// A string as the format has it: 8 bytes of length, then the text.
inline std::string raw_string(std::string_view text) {
  return raw(uint64_t{text.size()}) + std::string(text);
}

class GgufWriter {
 public:
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> n_tensor, n_key;  ///< instead of the true counts
  uint64_t alignment = 32;                  ///< of the data as they are laid out; the metadata key is the test's matter

  struct Key {
    std::string name;
    uint32_t type;
    std::string payload;
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims;
    uint32_t type;
    std::string data;
    std::optional<uint64_t> offset;  ///< instead of the next free one
  };
  std::vector<Key> keys;
  std::vector<Tensor> tensors;

  /// Sets a key, replacing the one of that name.
  void put(const std::string& name, GgufType type, const std::string& payload) {
    erase(name);
    keys.push_back({name, static_cast<uint32_t>(type), payload});
  }
  void put_u32(const std::string& name, uint32_t x) { put(name, GgufType::u32, raw(x)); }
  void put_f32(const std::string& name, float x) { put(name, GgufType::f32, raw(x)); }
  void put_bool(const std::string& name, bool x) { put(name, GgufType::boolean, raw(static_cast<uint8_t>(x))); }
  void put_string(const std::string& name, std::string_view x) { put(name, GgufType::string, raw_string(x)); }
  void put_strings(const std::string& name, const std::vector<std::string>& list) {
    std::string payload = raw(static_cast<uint32_t>(GgufType::string)) + raw(uint64_t{list.size()});
    for (const std::string& text : list) payload += raw_string(text);
    put(name, GgufType::array, payload);
  }
  void put_i32s(const std::string& name, const std::vector<int32_t>& list) {
    std::string payload = raw(static_cast<uint32_t>(GgufType::i32)) + raw(uint64_t{list.size()});
    for (const int32_t x : list) payload += raw(x);
    put(name, GgufType::array, payload);
  }
  void put_f32s(const std::string& name, const std::vector<float>& list) {
    std::string payload = raw(static_cast<uint32_t>(GgufType::f32)) + raw(uint64_t{list.size()});
    for (const float x : list) payload += raw(x);
    put(name, GgufType::array, payload);
  }
  void erase(const std::string& name) {
    std::erase_if(keys, [&](const Key& key) { return key.name == name; });
  }

  /// An f32 tensor of zeros; dims in the file's order, fastest first. Replaces the one of that name.
  void put_zeros(const std::string& name, const std::vector<uint64_t>& dims) {
    uint64_t n = 1;
    for (const uint64_t dim : dims) n *= dim;
    std::erase_if(tensors, [&](const Tensor& tensor) { return tensor.name == name; });
    tensors.push_back({name, dims, 0, std::string(4 * n, '\0'), {}});
  }
  Tensor& tensor(const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t.name == name; });
  }

  std::string bytes() const {
    std::string out = magic + raw(version) + raw(n_tensor.value_or(tensors.size())) + raw(n_key.value_or(keys.size()));
    for (const Key& key : keys) out += raw_string(key.name) + raw(key.type) + key.payload;
    std::string data;
    for (const Tensor& tensor : tensors) {
      data.resize((data.size() + alignment - 1) / alignment * alignment);
      out += raw_string(tensor.name) + raw(static_cast<uint32_t>(tensor.dims.size()));
      for (const uint64_t dim : tensor.dims) out += raw(dim);
      out += raw(tensor.type) + raw(tensor.offset.value_or(data.size()));
      data += tensor.data;
    }
    out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data;
  }
};

/// A writer of what is in a file: every key and tensor as it is there.
inline GgufWriter copy_of(const Gguf& file) {
  GgufWriter out;
  const auto text = [](std::span<const std::byte> bytes) {
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  for (const auto& [key, value] : file.metadata()) {
    const std::string array =
        value.type == GgufType::array ? raw(static_cast<uint32_t>(value.element)) + raw(value.count) : std::string();
    out.put(std::string(key), value.type, array + text(value.bytes));
  }
  for (const GgufTensor& tensor : file.tensors()) {
    std::vector<uint64_t> dims(tensor.dims.begin(), tensor.dims.end());
    while (dims.size() > 1 && dims.back() == 1) dims.pop_back();
    out.tensors.push_back(
        {std::string(tensor.view.name), dims, format_of(tensor.view.type).gguf_id, text(tensor.view.bytes), {}});
  }
  return out;
}

/// The 256 byte tokens as a vocabulary writes them, byte b at index b.
inline std::vector<std::string> byte_tokens() {
  std::vector<std::string> out(256);
  unsigned next = 0x100;
  for (unsigned b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    const unsigned c = printable ? b : next++;
    out[b] = c < 0x80 ? std::string(1, static_cast<char>(c))
                      : std::string{static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
  }
  return out;
}

/// Metadata of a byte-level BPE: the bytes, then `more` tokens (of the kinds given, 1 is normal), with `merges`.
inline void put_tokenizer(GgufWriter& writer, const std::string& pre, const std::vector<std::string>& more,
                          const std::vector<int32_t>& kinds, const std::vector<std::string>& merges) {
  std::vector<std::string> tokens = byte_tokens();
  tokens.insert(tokens.end(), more.begin(), more.end());
  std::vector<int32_t> types(256, 1);
  types.insert(types.end(), kinds.begin(), kinds.end());
  writer.put_string("tokenizer.ggml.model", "gpt2");
  writer.put_string("tokenizer.ggml.pre", pre);
  writer.put_strings("tokenizer.ggml.tokens", tokens);
  writer.put_i32s("tokenizer.ggml.token_type", types);
  writer.put_strings("tokenizer.ggml.merges", merges);
}

struct Piece {
  std::string text;
  float score = 0;
  int32_t kind = 1;
};

/// Metadata of a SentencePiece tokenizer: <unk>, <s> and </s> (ids 0 to 2), the 256 bytes (from id 3), then `more`.
inline void put_sentencepiece(GgufWriter& writer, const std::vector<Piece>& more) {
  std::vector<Piece> pieces = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}};
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (size_t b = 0; b < 256; ++b) {
    pieces.push_back({std::string("<0x") + kDigits[b >> 4] + kDigits[b & 15] + ">", 0, 6});
  }
  pieces.insert(pieces.end(), more.begin(), more.end());
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<int32_t> kinds;
  for (const Piece& piece : pieces) {
    texts.push_back(piece.text);
    scores.push_back(piece.score);
    kinds.push_back(piece.kind);
  }
  writer.put_string("tokenizer.ggml.model", "llama");
  writer.put_strings("tokenizer.ggml.tokens", texts);
  writer.put_f32s("tokenizer.ggml.scores", scores);
  writer.put_i32s("tokenizer.ggml.token_type", kinds);
  writer.put_u32("tokenizer.ggml.bos_token_id", 1);
  writer.put_u32("tokenizer.ggml.eos_token_id", 2);
  writer.put_u32("tokenizer.ggml.unknown_token_id", 0);
}

/// The smallest model that opens: 1 layer, 2 query heads on 1 KV head of width 4, d_model 8, d_ffn 12, 5 tokens, tied.
inline GgufWriter small_llama() {
  GgufWriter w;
  w.put_string("general.architecture", "llama");
  w.put_u32("llama.block_count", 1);
  w.put_u32("llama.context_length", 64);
  w.put_u32("llama.embedding_length", 8);
  w.put_u32("llama.feed_forward_length", 12);
  w.put_u32("llama.attention.head_count", 2);
  w.put_u32("llama.attention.head_count_kv", 1);
  w.put_f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  w.put_u32("llama.rope.dimension_count", 4);
  w.put_f32("llama.rope.freq_base", 10000);
  w.put_zeros("token_embd.weight", {8, 5});
  w.put_zeros("output_norm.weight", {8});
  w.put_zeros("blk.0.attn_norm.weight", {8});
  w.put_zeros("blk.0.attn_q.weight", {8, 8});
  w.put_zeros("blk.0.attn_k.weight", {8, 4});
  w.put_zeros("blk.0.attn_v.weight", {8, 4});
  w.put_zeros("blk.0.attn_output.weight", {8, 8});
  w.put_zeros("blk.0.ffn_norm.weight", {8});
  w.put_zeros("blk.0.ffn_gate.weight", {8, 12});
  w.put_zeros("blk.0.ffn_up.weight", {8, 12});
  w.put_zeros("blk.0.ffn_down.weight", {12, 8});
  return w;
}

}  // namespace reattend::testing
