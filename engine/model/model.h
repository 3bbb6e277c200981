// A model as data: hyper-parameters and weights of one GGUF file, checked once, then trusted.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "kernels/quant.h"
#include "kernels/rope.h"
#include "kernels/types.h"

namespace reattend {

class Gguf;

/// What the gate of a feed-forward goes through: x sigmoid(x), or the tanh approximation of GELU (Hendrycks & Gimpel
/// 2016, "Gaussian Error Linear Units", section 2).
enum class Activation : uint8_t { silu, gelu };

/// What one layer does with its weights, llama's way unless said otherwise. An architecture's file says it; backends
/// read it.
struct LayerShape {
  int32_t rope = 0;         ///< index into ModelShape::ropes: how its queries and keys are rotated
  bool qkv_bias = false;    ///< of queries, keys and values, before the rotation
  bool qk_norm = false;     ///< RMS norm of every head of queries and keys, before the rotation
  bool post_norms = false;  ///< RMS norm of what attention and feed-forward give, before it joins the residual
  int32_t window = 0;       ///< positions that it attends to at most, its own the last; 0: all
  Activation activation = Activation::silu;
};

/// Hyper-parameters of a decoder.
struct ModelShape {
  std::string architecture, name;
  int32_t n_layer = 0, n_head = 0, n_kv_head = 0, d_head = 0, d_model = 0, d_ffn = 0, n_vocab = 0;
  int32_t n_ctx_train = 0;
  float norm_eps = 1e-5F;
  float embedding_scale = 1;   ///< embeddings are multiplied by it
  double attention_scale = 0;  ///< what scores are multiplied by; 0: 1 / sqrt(d_head)
  double attention_cap = 0;    ///< scores s become cap * tanh(s / cap); 0: they stay
  double logit_cap = 0;        ///< the same for logits
  /// The different rotations of its layers, mostly one. Scaling of positions and factors of frequencies are the
  /// first's.
  std::vector<Rope> ropes;
  std::vector<LayerShape> layers;  ///< [n_layer]

  int32_t group() const { return n_head / n_kv_head; }
  const Rope& rope_of(int32_t layer) const { return ropes[layers[layer].rope]; }
  /// [n_layer] LayerShape::window of all layers; empty where none has one.
  std::vector<int32_t> windows() const;
  /// Whether a policy acts on the layer: it has no window of its own.
  bool acts(int32_t layer) const { return layers[static_cast<size_t>(layer)].window == 0; }
  /// Layers on which a policy acts.
  int32_t n_acting() const;
  ScoreScale<double> score_scale() const { return reattend::score_scale(attention_scale, attention_cap, d_head); }
  /// All n_layer layers alike.
  void set_layers(Rope rope, const LayerShape& layer = {});
};

/// Weights of one layer; names as in the file without "blk.N." and ".weight". Matrices are [out][in]; vectors that the
/// layer's shape does not ask for are empty.
struct LayerWeights {
  TensorView attn_norm, attn_q, attn_k, attn_v, attn_output, ffn_norm, ffn_gate, ffn_up, ffn_down;
  TensorView attn_q_bias, attn_k_bias, attn_v_bias;  ///< [n_head * d_head], [n_kv_head * d_head] twice
  TensorView attn_q_norm, attn_k_norm;               ///< [d_head], for every head the same
  TensorView post_attention_norm, post_ffw_norm;     ///< [d_model]

  /// The matrices in the order of their use: the one place that lists them for whoever packs, counts or times them.
  std::array<const TensorView*, 7> matrices() const {
    return {&attn_q, &attn_k, &attn_v, &attn_output, &ffn_gate, &ffn_up, &ffn_down};
  }
  std::array<const TensorView*, 9> vectors() const {
    return {&attn_norm,   &ffn_norm,    &attn_q_bias,         &attn_k_bias,  &attn_v_bias,
            &attn_q_norm, &attn_k_norm, &post_attention_norm, &post_ffw_norm};
  }
};

/// Views into the mapped file, which lives as long as the Model.
class Model {
 public:
  /// Throws Error naming file, tensor or key, what was expected and what was found.
  static Model open(const std::filesystem::path& path);
  /// The same for a file that is open already, or lies in memory (Gguf::parse).
  static Model from(Gguf file);
  /// A model of this shape without a file: random weights of `type` (Q4_0, Q4_1 or Q8_0) that keep activations and
  /// scores near 1. Tensors are windows of one pool of bytes, each at a place of its own, so the pool is little larger
  /// than the largest tensor; backends pack copies. Throws Error where rows are no multiple of the type's block.
  static Model random(const ModelShape& shape, TensorType type, bool tied);
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  const ModelShape& shape() const { return shape_; }
  const std::vector<LayerWeights>& layers() const { return layers_; }
  const TensorView& token_embd() const { return token_embd_; }
  const TensorView& output_norm() const { return output_norm_; }
  /// The output matrix; the embedding where the two are tied.
  const TensorView& output() const { return output_; }
  const Gguf& file() const { return *file_; }
  const std::filesystem::path& path() const { return path_; }
  /// Hex SHA-256 of the file, of all parts in their order (computed on first use).
  const std::string& sha256() const;

 private:
  Model();
  std::vector<std::byte> bytes_;  ///< what a model without a file is made of
  std::unique_ptr<Gguf> file_;
  std::filesystem::path path_;
  ModelShape shape_;
  std::vector<LayerWeights> layers_;
  TensorView token_embd_, output_norm_, output_;
  mutable std::string sha256_;
};

}  // namespace reattend
