// Builds a Model from a GGUF file: every hyper-parameter in range, every tensor of the shape they imply, none left
// over.
#include "engine/model/model.h"

#include <array>
#include <cmath>
#include <cstring>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/sha256.h"
#include "engine/model/gguf.h"
#include "engine/model/model_keys.h"

namespace reattend {
namespace {

constexpr std::string_view kArchitecture = "llama";

/// Limits beyond any model of this kind; they keep products of sizes within 63 bits.
constexpr int64_t kMostLayers = 1024, kMostHeads = 1024, kWidestHead = 512, kWidestRow = int64_t{1} << 20;
constexpr int64_t kMostTokens = int64_t{1} << 24, kLongestContext = int64_t{1} << 30;

std::string shape_text(int64_t n_row, int64_t n_col) {
  return "[" + std::to_string(n_row) + "][" + std::to_string(n_col) + "]";
}

/// Takes tensors by name and shape, and remembers which were taken.
class TensorTaker {
 public:
  explicit TensorTaker(const Gguf& file) : file_(file) {}

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

  TensorView matrix(const std::string& name, int64_t n_row, int64_t n_col) {
    const GgufTensor* tensor = file_.find_tensor(name);
    const std::string where = file_.name() + ": tensor " + name;
    if (tensor == nullptr) fail({where, shape_text(n_row, n_col), "no such tensor", "the model is incomplete"});
    if (tensor->dims != std::array<int64_t, 4>{n_col, n_row, 1, 1}) {
      fail({where, shape_text(n_row, n_col), shape_text(tensor->view.n_row, tensor->view.n_col), ""});
    }
    taken_.insert(tensor->view.name);
    return tensor->view;
  }

  /// Norm weights and factors: f32 in every file of this architecture.
  TensorView vector(const std::string& name, int64_t n) {
    const TensorView view = matrix(name, 1, n);
    if (view.type != TensorType::f32) {
      fail({file_.name() + ": tensor " + name, "F32", std::string(format_of(view.type).name), ""});
    }
    return view;
  }

  /// A tensor that nobody asked for (a bias, an adapter) would change the model's results: it can't be left out in
  /// silence.
  void refuse_rest() const {
    for (const GgufTensor& tensor : file_.tensors()) {
      if (!taken_.contains(tensor.view.name)) {
        fail({file_.name() + ": tensor " + std::string(tensor.view.name), "only tensors of the llama architecture",
              "one more", "this program can't run the model exactly"});
      }
    }
  }

 private:
  const Gguf& file_;
  std::set<std::string_view> taken_;
};

ModelShape read_shape(const Gguf& file) {
  ModelShape shape;
  shape.architecture = file.string("general.architecture");
  shape.name = file.string_or("general.name", file.name());
  if (shape.architecture != kArchitecture) {
    fail({file.name() + ": general.architecture", "llama, the one that this program runs", shape.architecture,
          "choose a model of the llama architecture"});
  }
  const auto integer = [&](const char* key, int64_t most) { return static_cast<int32_t>(file.integer(key, 1, most)); };
  const auto integer_or = [&](const char* key, int64_t most, int64_t missing) {
    return static_cast<int32_t>(file.integer_or(key, 1, most, missing));
  };
  shape.n_layer = integer("llama.block_count", kMostLayers);
  shape.n_ctx_train = integer("llama.context_length", kLongestContext);
  shape.d_model = integer("llama.embedding_length", kWidestRow);
  shape.d_ffn = integer("llama.feed_forward_length", kWidestRow);
  shape.n_head = integer("llama.attention.head_count", kMostHeads);
  shape.n_kv_head = integer_or("llama.attention.head_count_kv", kMostHeads, shape.n_head);
  if (shape.n_head % shape.n_kv_head != 0) {
    fail({file.name() + ": llama.attention.head_count_kv",
          "a divisor of the " + std::to_string(shape.n_head) + " query heads", std::to_string(shape.n_kv_head), ""});
  }
  if (!file.has("llama.attention.key_length") && shape.d_model % shape.n_head != 0) {
    fail({file.name() + ": llama.embedding_length",
          "a multiple of the " + std::to_string(shape.n_head) + " query heads", std::to_string(shape.d_model), ""});
  }
  shape.d_head = integer_or("llama.attention.key_length", kWidestHead, shape.d_model / shape.n_head);
  if (shape.d_head < 2 || shape.d_head > kWidestHead || shape.d_head % 2 != 0) {
    fail({file.name() + ": width of a head", "an even number from 2 to " + std::to_string(kWidestHead),
          std::to_string(shape.d_head), ""});
  }
  const auto same = [&](const char* key) {
    const int64_t got = file.integer_or(key, 1, INT64_MAX, shape.d_head);
    if (got != shape.d_head) {
      fail({file.name() + ": " + key, std::to_string(shape.d_head) + ", the width of a head", std::to_string(got),
            "partial rotation and values of another width are not supported"});
    }
  };
  same("llama.attention.value_length");
  same("llama.rope.dimension_count");
  const double eps = file.real("llama.attention.layer_norm_rms_epsilon");
  if (eps < 0 || eps > 1) {
    fail({file.name() + ": llama.attention.layer_norm_rms_epsilon", "0 to 1", std::to_string(eps), ""});
  }
  shape.norm_eps = static_cast<float>(eps);
  shape.rope = {.layout = RopeLayout::pairs,
                .base = file.real_or("llama.rope.freq_base", 10000),
                .d_head = shape.d_head,
                .factors = {}};
  if (shape.rope.base < 1) {
    fail({file.name() + ": llama.rope.freq_base", "at least 1", std::to_string(shape.rope.base), ""});
  }
  refuse_unapplied_keys(file, shape);
  return shape;
}

/// Rows of the embedding; everything else in the file that counts tokens must agree with them.
int32_t vocabulary_size(const Gguf& file) {
  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr) fail({file.name() + ": tensor token_embd.weight", "an embedding", "no such tensor", ""});
  const int64_t n = embedding->dims[1];
  if (n > kMostTokens) {
    fail({file.name() + ": tensor token_embd.weight", "at most " + std::to_string(kMostTokens) + " rows",
          std::to_string(n), ""});
  }
  const auto same = [&](const char* key, int64_t got) {
    if (got != n) {
      fail({file.name() + ": " + key, std::to_string(n) + " tokens as token_embd.weight has rows", std::to_string(got),
            ""});
    }
  };
  same("llama.vocab_size", file.integer_or("llama.vocab_size", 0, INT64_MAX, n));
  const auto tokens = file.metadata().find("tokenizer.ggml.tokens");
  if (tokens != file.metadata().end()) same("tokenizer.ggml.tokens", static_cast<int64_t>(tokens->second.count));
  return static_cast<int32_t>(n);
}

/// What the angle of each pair is divided by: llama.cpp's rope_freqs, if the file has them, times the scale of
/// positions. Empty for all ones.
std::vector<float> read_factors(const Gguf& file, const ModelShape& shape, TensorTaker& take) {
  const double scale = position_scale(file, shape);
  std::vector<float> factors;
  if (take.has("rope_freqs.weight")) {
    const TensorView view = take.vector("rope_freqs.weight", shape.d_head / 2);
    factors.resize(static_cast<size_t>(view.n_col));
    std::memcpy(factors.data(), view.bytes.data(), view.bytes.size());
  } else if (scale != 1) {
    factors.assign(static_cast<size_t>(shape.d_head / 2), 1.0F);
  }
  for (float& factor : factors) {
    const float given = factor;
    factor = static_cast<float>(static_cast<double>(given) * scale);
    if (!std::isfinite(factor) || factor <= 0) {
      fail({file.name() + ": factors of the rotation (rope_freqs.weight, rope.scaling.factor)", "positive factors",
            std::to_string(given) + " times " + std::to_string(scale), ""});
    }
  }
  return factors;
}

}  // namespace

Model::Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model Model::open(const std::filesystem::path& path) {
  Model model = from(Gguf::open(path));
  model.path_ = path;
  return model;
}

Model Model::from(Gguf file) {
  Model model;
  model.file_ = std::make_unique<Gguf>(std::move(file));
  const Gguf& from = *model.file_;
  model.path_ = from.name();
  refuse_parts_of_models(from);
  ModelShape& shape = model.shape_;
  shape = read_shape(from);
  shape.n_vocab = vocabulary_size(from);

  TensorTaker take(from);
  const int64_t d_q = int64_t{shape.n_head} * shape.d_head, d_kv = int64_t{shape.n_kv_head} * shape.d_head;
  model.token_embd_ = take.matrix("token_embd.weight", shape.n_vocab, shape.d_model);
  model.output_norm_ = take.vector("output_norm.weight", shape.d_model);
  const bool tied = !take.has("output.weight");
  model.output_ = tied ? model.token_embd_ : take.matrix("output.weight", shape.n_vocab, shape.d_model);
  shape.rope.factors = read_factors(from, shape, take);
  for (int32_t i = 0; i < shape.n_layer; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    const auto name = [&](const char* part) { return block + part + ".weight"; };
    model.layers_.push_back({.attn_norm = take.vector(name("attn_norm"), shape.d_model),
                             .attn_q = take.matrix(name("attn_q"), d_q, shape.d_model),
                             .attn_k = take.matrix(name("attn_k"), d_kv, shape.d_model),
                             .attn_v = take.matrix(name("attn_v"), d_kv, shape.d_model),
                             .attn_output = take.matrix(name("attn_output"), shape.d_model, d_q),
                             .ffn_norm = take.vector(name("ffn_norm"), shape.d_model),
                             .ffn_gate = take.matrix(name("ffn_gate"), shape.d_ffn, shape.d_model),
                             .ffn_up = take.matrix(name("ffn_up"), shape.d_ffn, shape.d_model),
                             .ffn_down = take.matrix(name("ffn_down"), shape.d_model, shape.d_ffn)});
  }
  take.refuse_rest();
  return model;
}

const std::string& Model::sha256() const {
  if (sha256_.empty()) {
    sha256_ = reattend::sha256(file_->bytes());
    file_->forget_pages();
  }
  return sha256_;
}

}  // namespace reattend
