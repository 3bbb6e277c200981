// Reads what is particular to no architecture; keys have the architecture's name in front.
#include "engine/model/decoder.h"

#include <cmath>
#include <cstring>
#include <string>

#include "base/error.h"
#include "engine/model/architecture.h"
#include "engine/model/gguf.h"
#include "engine/model/model_keys.h"

namespace reattend {
namespace {

/// Limits beyond any model of this kind; they keep products of sizes within 63 bits.
constexpr int64_t kMostLayers = 1024, kMostHeads = 1024, kWidestHead = 512, kWidestRow = int64_t{1} << 20;
constexpr int64_t kMostTokens = int64_t{1} << 24, kLongestContext = int64_t{1} << 30;

/// Rows of the embedding; everything else in the file that counts tokens must agree with them.
int32_t vocabulary_size(const Gguf& file, const std::string& architecture) {
  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr) fail({file.name() + ": tensor token_embd.weight", "an embedding", "no such tensor", ""});
  const int64_t n = embedding->dims[1];
  if (n > kMostTokens) {
    fail({file.name() + ": tensor token_embd.weight", "at most " + std::to_string(kMostTokens) + " rows",
          std::to_string(n), ""});
  }
  const auto same = [&](const std::string& key, int64_t got) {
    if (got != n) {
      fail({file.name() + ": " + key, std::to_string(n) + " tokens as token_embd.weight has rows", std::to_string(got),
            ""});
    }
  };
  const std::string key = architecture + ".vocab_size";
  same(key, file.integer_or(key, 0, INT64_MAX, n));
  const auto tokens = file.metadata().find("tokenizer.ggml.tokens");
  if (tokens != file.metadata().end()) same("tokenizer.ggml.tokens", static_cast<int64_t>(tokens->second.count));
  return static_cast<int32_t>(n);
}

}  // namespace

ModelShape read_decoder_shape(const Gguf& file, const Architecture& architecture) {
  ModelShape shape;
  shape.architecture = architecture.name;
  shape.name = file.string_or("general.name", file.name());
  const auto named = [&](const char* key) { return std::string(architecture.name) + "." + key; };
  const auto where = [&](const char* key) { return file.name() + ": " + named(key); };
  const auto integer = [&](const char* key, int64_t most) {
    return static_cast<int32_t>(file.integer(named(key), 1, most));
  };
  const auto integer_or = [&](const char* key, int64_t most, int64_t missing) {
    return static_cast<int32_t>(file.integer_or(named(key), 1, most, missing));
  };
  shape.n_layer = integer("block_count", kMostLayers);
  shape.n_ctx_train = integer("context_length", kLongestContext);
  shape.d_model = integer("embedding_length", kWidestRow);
  shape.d_ffn = integer("feed_forward_length", kWidestRow);
  shape.n_head = integer("attention.head_count", kMostHeads);
  shape.n_kv_head = integer_or("attention.head_count_kv", kMostHeads, shape.n_head);
  if (shape.n_head % shape.n_kv_head != 0) {
    fail({where("attention.head_count_kv"), "a divisor of the " + std::to_string(shape.n_head) + " query heads",
          std::to_string(shape.n_kv_head), ""});
  }
  if (!file.has(named("attention.key_length")) && shape.d_model % shape.n_head != 0) {
    fail({where("embedding_length"), "a multiple of the " + std::to_string(shape.n_head) + " query heads",
          std::to_string(shape.d_model), ""});
  }
  shape.d_head = integer_or("attention.key_length", kWidestHead, shape.d_model / shape.n_head);
  if (shape.d_head < 2 || shape.d_head > kWidestHead || shape.d_head % 2 != 0) {
    fail({file.name() + ": width of a head", "an even number from 2 to " + std::to_string(kWidestHead),
          std::to_string(shape.d_head), ""});
  }
  const auto same = [&](const char* key) {
    const int64_t got = file.integer_or(named(key), 1, INT64_MAX, shape.d_head);
    if (got != shape.d_head) {
      fail({where(key), std::to_string(shape.d_head) + ", the width of a head", std::to_string(got),
            "partial rotation and values of another width are not supported"});
    }
  };
  same("attention.value_length");
  same("rope.dimension_count");
  const double eps = file.real(named("attention.layer_norm_rms_epsilon"));
  if (eps < 0 || eps > 1) {
    fail({where("attention.layer_norm_rms_epsilon"), "0 to 1", std::to_string(eps), ""});
  }
  shape.norm_eps = static_cast<float>(eps);
  const double base = file.real_or(named("rope.freq_base"), 10000);
  if (base < 1) fail({where("rope.freq_base"), "at least 1", std::to_string(base), ""});
  shape.set_layers({.layout = architecture.rope_layout, .base = base, .d_head = shape.d_head, .factors = {}},
                   architecture.layer);
  refuse_unapplied_keys(file, shape, architecture.applies);
  shape.n_vocab = vocabulary_size(file, shape.architecture);
  return shape;
}

void read_rope_factors(const Gguf& file, TensorTaker& take, ModelShape& shape) {
  const RopeScaling scaling = rope_scaling(file, shape);
  Rope& rope = shape.ropes.front();
  rope.factors = scaling.factors(rope);
  if (take.has("rope_freqs.weight")) {
    const TensorView view = take.vector("rope_freqs.weight", shape.d_head / 2);
    if (rope.factors.empty()) rope.factors.assign(static_cast<size_t>(view.n_col), 1);
    for (size_t i = 0; i < rope.factors.size(); ++i) {
      float given = 0;
      std::memcpy(&given, view.bytes.data() + i * sizeof given, sizeof given);
      rope.factors[i] = static_cast<float>(static_cast<double>(given) * rope.factors[i]);
    }
  }
  for (const float factor : rope.factors) {
    if (std::isfinite(factor) && factor > 0) continue;
    fail({file.name() + ": factors of the rotation (rope_freqs.weight, rope.scaling.factor)", "positive factors",
          std::to_string(factor), ""});
  }
  const double magnitude = scaling.magnitude();
  if (magnitude == 1) return;
  if (shape.ropes.size() > 1) {
    fail({file.name() + ": " + shape.architecture + ".rope.scaling.type",
          "none or linear where layers rotate differently", "yarn", "this program can't run the model exactly"});
  }
  shape.attention_scale = magnitude * magnitude * shape.score_scale().by;
}

LayerWeights take_decoder_layer(TensorTaker& take, const ModelShape& shape, const int32_t i) {
  const LayerShape& layer = shape.layers[i];
  const std::string block = "blk." + std::to_string(i) + ".";
  const auto name = [&](const char* part) { return block + part + ".weight"; };
  const int64_t d_q = int64_t{shape.n_head} * shape.d_head, d_kv = int64_t{shape.n_kv_head} * shape.d_head;
  LayerWeights w = {.attn_norm = take.vector(name("attn_norm"), shape.d_model),
                    .attn_q = take.matrix(name("attn_q"), d_q, shape.d_model),
                    .attn_k = take.matrix(name("attn_k"), d_kv, shape.d_model),
                    .attn_v = take.matrix(name("attn_v"), d_kv, shape.d_model),
                    .attn_output = take.matrix(name("attn_output"), shape.d_model, d_q),
                    .ffn_norm = take.vector(name("ffn_norm"), shape.d_model),
                    .ffn_gate = take.matrix(name("ffn_gate"), shape.d_ffn, shape.d_model),
                    .ffn_up = take.matrix(name("ffn_up"), shape.d_ffn, shape.d_model),
                    .ffn_down = take.matrix(name("ffn_down"), shape.d_model, shape.d_ffn)};
  if (layer.qkv_bias) {
    w.attn_q_bias = take.vector(block + "attn_q.bias", d_q);
    w.attn_k_bias = take.vector(block + "attn_k.bias", d_kv);
    w.attn_v_bias = take.vector(block + "attn_v.bias", d_kv);
  }
  if (layer.qk_norm) {
    w.attn_q_norm = take.vector(name("attn_q_norm"), shape.d_head);
    w.attn_k_norm = take.vector(name("attn_k_norm"), shape.d_head);
  }
  if (layer.post_norms) {
    w.post_attention_norm = take.vector(name("post_attention_norm"), shape.d_model);
    w.post_ffw_norm = take.vector(name("post_ffw_norm"), shape.d_model);
  }
  return w;
}

}  // namespace reattend
