// A model of any shape with random weights: what a step costs depends on sizes and types, not on what was learnt.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <string>

#include "base/error.h"
#include "base/half.h"
#include "engine/model/gguf.h"
#include "engine/model/model.h"

namespace reattend {
namespace {

/// xorshift64*: a gigabyte in about half a second.
class Bits {
 public:
  uint64_t operator()() {
    state_ ^= state_ >> 12, state_ ^= state_ << 25, state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1DULL;
  }

 private:
  uint64_t state_ = 0x9E3779B97F4A7C15ULL;
};

/// Step between quants that gives weights the standard deviation `sigma`: quants are uniform over all their values.
float step_for(TensorType type, float sigma) {
  const float n_value = type == TensorType::q8_0 ? 256 : 16;
  return sigma * std::sqrt(12.0F) / n_value;
}

/// Blocks of random quants; scales differ in their sign alone, a minimum centres q4_1.
void fill_blocks(TensorType type, float sigma, std::span<std::byte> out) {
  Bits bits;
  size_t at = 0;
  for (; at + sizeof(uint64_t) <= out.size(); at += sizeof(uint64_t)) {
    const uint64_t word = bits();
    std::memcpy(out.data() + at, &word, sizeof word);
  }
  for (; at < out.size(); ++at) out[at] = static_cast<std::byte>(bits());
  const float step = step_for(type, sigma);
  const auto block = static_cast<size_t>(format_of(type).block_bytes);
  for (at = 0; at < out.size(); at += block) {
    // q4_0 has a value more below 0 than above: signs that change keep all weights' mean at 0. With a mean, hidden
    // states would turn towards it layer by layer.
    const float d = bits() % 2 == 0 ? step : -step;
    const Half scale = to_half(d), minimum = to_half(-7.5F * d);
    std::memcpy(out.data() + at, &scale, sizeof scale);
    if (type == TensorType::q4_1) std::memcpy(out.data() + at + sizeof scale, &minimum, sizeof minimum);
  }
}

/// The smallest GGUF there is: version 3, no tensors, no metadata.
std::span<const std::byte> empty_gguf() {
  static constexpr unsigned char kBytes[32] = {'G', 'G', 'U', 'F', 3};
  return std::as_bytes(std::span(kBytes));
}

}  // namespace

Model Model::random(const ModelShape& shape, TensorType type, bool tied) {
  const int64_t d_q = int64_t{shape.n_head} * shape.d_head, d_kv = int64_t{shape.n_kv_head} * shape.d_head;
  const int64_t d = shape.d_model, f = shape.d_ffn;
  const TensorFormat& format = format_of(type);
  if (type != TensorType::q4_0 && type != TensorType::q4_1 && type != TensorType::q8_0) {
    fail_usage({"random weights", "Q4_0, Q4_1 or Q8_0", std::string(format.name), ""});
  }
  for (const int64_t n_col : {d, f, d_q}) {
    if (n_col % format.block_size == 0) continue;
    fail_usage({"random weights of " + std::string(format.name),
                "rows of a multiple of " + std::to_string(format.block_size), std::to_string(n_col), ""});
  }
  Model model;
  model.shape_ = shape;
  model.path_ = shape.name;
  model.file_ = std::make_unique<Gguf>(Gguf::parse(shape.name, empty_gguf()));

  // Windows begin at blocks that are far apart from one matrix to the next. None but the embedding's holds the rows of
  // the first tokens: a matrix with a token's embedding among its rows would single that token out.
  constexpr int64_t kShift = 1021, kTokens = 4096;
  const int64_t first = std::min<int64_t>(kTokens, shape.n_vocab) * d / format.block_size;
  const int64_t n_matrix = static_cast<int64_t>(LayerWeights{}.matrices().size()) * shape.n_layer + 2;
  const int64_t longest =
      first + std::max({shape.n_vocab * d, d_q * d, d_kv * d, f * d}) / format.block_size + n_matrix * kShift;
  const int64_t blocks_bytes = longest * format.block_bytes;
  const int64_t n_one = std::max({d, d_q, int64_t{shape.d_head}}), floats_at = (blocks_bytes + 63) / 64 * 64;
  model.bytes_.resize(static_cast<size_t>(floats_at + 2 * n_one * int64_t{sizeof(float)}));  // ones, then zeros
  fill_blocks(type, 1 / std::sqrt(static_cast<float>(d)),
              std::span(model.bytes_).first(static_cast<size_t>(blocks_bytes)));
  for (int64_t i = 0; i < n_one; ++i) {
    constexpr float kOne = 1;
    std::memcpy(model.bytes_.data() + floats_at + i * int64_t{sizeof(float)}, &kOne, sizeof kOne);
  }
  int64_t n_taken = 0;
  const auto matrix = [&](int64_t n_row, int64_t n_col) {
    const int64_t begin = n_taken == 0 ? 0 : first + n_taken * kShift;
    ++n_taken;
    const auto at = static_cast<size_t>(begin * format.block_bytes);
    const auto size = static_cast<size_t>(matrix_bytes(type, n_row, n_col));
    return TensorView{.name = "random",
                      .type = type,
                      .n_row = n_row,
                      .n_col = n_col,
                      .bytes = std::span(model.bytes_).subspan(at, size)};
  };
  const auto floats = [&](const char* name, int64_t at, int64_t n) {
    return TensorView{.name = name,
                      .type = TensorType::f32,
                      .n_row = 1,
                      .n_col = n,
                      .bytes = std::span(model.bytes_)
                                   .subspan(static_cast<size_t>(floats_at) + static_cast<size_t>(at) * sizeof(float),
                                            static_cast<size_t>(n) * sizeof(float))};
  };
  const auto norm = [&](bool there, int64_t n) { return there ? floats("ones", 0, n) : TensorView{}; };
  const auto bias = [&](bool there, int64_t n) { return there ? floats("zeros", n_one, n) : TensorView{}; };
  model.token_embd_ = matrix(shape.n_vocab, d);
  model.output_ = tied ? model.token_embd_ : matrix(shape.n_vocab, d);
  model.output_norm_ = norm(true, d);
  for (const LayerShape& layer : shape.layers) {
    model.layers_.push_back({.attn_norm = norm(true, d),
                             .attn_q = matrix(d_q, d),
                             .attn_k = matrix(d_kv, d),
                             .attn_v = matrix(d_kv, d),
                             .attn_output = matrix(d, d_q),
                             .ffn_norm = norm(true, d),
                             .ffn_gate = matrix(f, d),
                             .ffn_up = matrix(f, d),
                             .ffn_down = matrix(d, f),
                             .attn_q_bias = bias(layer.qkv_bias, d_q),
                             .attn_k_bias = bias(layer.qkv_bias, d_kv),
                             .attn_v_bias = bias(layer.qkv_bias, d_kv),
                             .attn_q_norm = norm(layer.qk_norm, shape.d_head),
                             .attn_k_norm = norm(layer.qk_norm, shape.d_head),
                             .post_attention_norm = norm(layer.post_norms, d),
                             .post_ffw_norm = norm(layer.post_norms, d)});
  }
  return model;
}

}  // namespace reattend
