// Tables of metadata keys, each with what it does here. Names are those of llama.cpp's files, without the architecture
// in front.
#include "engine/model/model_keys.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "engine/model/gguf.h"
#include "engine/model/model.h"

namespace reattend {
namespace {

constexpr const char* kNotExact = "this program can't run the model exactly";

/// Read into ModelShape or Rope, with checks of their own.
constexpr auto kApplied = std::to_array<std::string_view>({
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_ext_factor",
    "vocab_size",
});

/// Without effect on a dense decoder's logits as long as kNeutral holds: descriptions, figures of experts where there
/// are none, of a window where there is none, of norms of other kinds.
constexpr auto kWithoutEffect = std::to_array<std::string_view>({
    "attention.group_norm_epsilon",
    "attention.layer_norm_epsilon",
    "attention.sliding_window_pattern",
    "attention.temperature_length",
    "classifier.output_labels",
    "decoder_start_token_id",
    "expert_chunk_feed_forward_length",
    "expert_feed_forward_length",
    "expert_gating_func",
    "expert_group_count",
    "expert_group_scale",
    "expert_group_used_count",
    "expert_shared_feed_forward_length",
    "expert_used_count",
    "expert_weights_norm",
    "expert_weights_scale",
    "experts_per_group",
    "interleave_moe_layer_step",
    "leading_dense_block_count",
    "moe_every_n_layers",
    "pooling_type",
    "rope.scaling.finetuned",
    "router_logit_softcapping",
    "tensor_data_layout",
});

bool zero(double x, const ModelShape& /*shape*/) {
  return x == 0;
}
bool one(double x, const ModelShape& /*shape*/) {
  return x == 1;
}
/// A factor that is 0 where a file's writer had none to write.
bool zero_or_one(double x, const ModelShape& /*shape*/) {
  return x == 0 || x == 1;
}
bool no_window(double x, const ModelShape& shape) {
  return x == 0 || x >= shape.n_ctx_train;
}
bool width_of_a_head(double x, const ModelShape& shape) {
  return x == shape.d_head;
}
bool same_base(double x, const ModelShape& shape) {
  return x == shape.ropes.front().base;
}
bool usual_attention_scale(double x, const ModelShape& shape) {
  const double usual = 1 / std::sqrt(static_cast<double>(shape.d_head));
  return x == 0 || std::abs(x - usual) <= 1e-6 * usual;
}

/// A key with the values that change nothing; any other is refused. Booleans are 0 and 1.
struct NeutralKey {
  std::string_view key, expected;
  bool (*neutral)(double x, const ModelShape& shape);
};
constexpr auto kNeutral = std::to_array<NeutralKey>({
    {"attention.causal", "true", one},
    {"attention.clamp_kqv", "0 (keys, queries and values as they are)", zero},
    {"attention.group_norm_groups", "0 (no group norm)", zero},
    {"attention.key_length_mla", "0 (keys stored as they are)", zero},
    {"attention.kv_lora_rank", "0 (keys and values stored as they are)", zero},
    {"attention.key_length_swa", "the width of a head in every layer", width_of_a_head},
    {"attention.value_length_swa", "the width of a head in every layer", width_of_a_head},
    {"rope.dimension_count_swa", "the width of a head in every layer", width_of_a_head},
    {"rope.freq_base_swa", "rope.freq_base (one base in every layer)", same_base},
    {"attention.max_alibi_bias", "0 (no bias by distance)", zero},
    {"attention.output_scale", "1 (attention's output as it is)", zero_or_one},
    {"attention.q_lora_rank", "0 (whole query matrices)", zero},
    {"attention.relative_buckets_count", "0 (no relative positions)", zero},
    {"attention.scale", "1 / sqrt(width of a head)", usual_attention_scale},
    {"attention.shared_kv_layers", "0 (keys and values of its own in every layer)", zero},
    {"attention.sliding_window", "full attention over the model's context (0)", no_window},
    {"attention.temperature_scale", "0 (one temperature at every position)", zero},
    {"attention.value_length_mla", "0 (values stored as they are)", zero},
    {"attn_logit_softcapping", "0 (scores as they are)", zero},
    {"embedding_scale", "1 (embeddings as they are)", zero_or_one},
    {"expert_count", "a dense model (0)", zero},
    {"expert_shared_count", "a dense model (0)", zero},
    {"final_logit_softcapping", "0 (logits as they are)", zero},
    {"logit_scale", "1 (logits as they are)", zero_or_one},
    {"nextn_predict_layers", "0 (one token a step)", zero},
    {"num_deepstack_layers", "0 (text alone)", zero},
    {"rescale_every_n_layers", "0 (weights as they are)", zero},
    {"residual_scale", "1 (layers' outputs as they are)", zero_or_one},
    {"rope.scaling.attn_factor", "1 (scores as they are)", zero_or_one},
    {"rope.scaling.yarn_attn_factor", "1 (scores as they are)", zero_or_one},
    {"rope.scaling.yarn_log_multiplier", "0 (YaRN as it was published)", zero},
    {"swin_norm", "false (norms before the matrices)", zero},
    {"use_parallel_residual", "false (attention, then feed-forward)", zero},
});

/// The same for keys of every file, with their whole names.
constexpr auto kNeutralGeneral = std::to_array<NeutralKey>({
    {"general.quantization_version", "2 (the blocks of today's files)",
     [](double x, const ModelShape&) { return x == 2; }},
});

bool contains(std::span<const std::string_view> keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

[[noreturn]] void refuse(const Gguf& file, std::string_view key, std::string_view expected, const char* remedy) {
  fail({file.name() + ": " + std::string(key), std::string(expected), file.text_of(key), remedy});
}

void refuse_unless_neutral(const Gguf& file, std::string_view key, const NeutralKey& row, const ModelShape& shape) {
  const std::optional<double> x = file.number(key);
  if (!x || !row.neutral(*x, shape)) refuse(file, key, row.expected, kNotExact);
}

}  // namespace

void refuse_parts_of_models(const Gguf& file) {
  const int64_t n_part = file.integer_or("split.count", 0, INT64_MAX, 0);
  if (n_part > file.n_part()) {
    const int64_t part = file.integer_or("split.no", 0, INT64_MAX - 1, 0);
    fail({file.name(), "a whole model",
          "part " + std::to_string(part + 1) + " of " + std::to_string(n_part) + " of a split model",
          "join the parts: llama-gguf-split --merge FIRST-PART WHOLE"});
  }
  const std::string_view type = file.string_or("general.type", "model");
  if (type != "model") {
    fail({file.name() + ": general.type", "model", std::string(type),
          "give the language model itself; adapters are merged into it before (llama-export-lora)"});
  }
}

void refuse_unapplied_keys(const Gguf& file, const ModelShape& shape, std::span<const std::string_view> applied) {
  for (const NeutralKey& row : kNeutralGeneral) {
    if (file.has(row.key)) refuse_unless_neutral(file, row.key, row, shape);
  }
  const std::string prefix = shape.architecture + ".";
  for (const auto& [key, value] : file.metadata()) {
    if (!key.starts_with(prefix)) continue;
    const std::string_view name = key.substr(prefix.size());
    if (contains(kApplied, name) || contains(applied, name) || contains(kWithoutEffect, name)) continue;
    const auto* const row =
        std::find_if(kNeutral.begin(), kNeutral.end(), [&](const auto& k) { return k.key == name; });
    if (row == kNeutral.end()) {
      refuse(file, key, "keys whose effect this program knows",
             "take the key out if it changes no results (gguf-new-metadata --remove-metadata KEY)");
    }
    refuse_unless_neutral(file, key, *row, shape);
  }
}

RopeScaling rope_scaling(const Gguf& file, const ModelShape& shape) {
  const std::string scaling = shape.architecture + ".rope.scaling.";
  const std::string type_key = scaling + "type", factor_key = scaling + "factor";
  const std::string old_key = shape.architecture + ".rope.scale_linear";
  const std::string_view type = file.string_or(type_key, "linear");
  if (type != "none" && type != "linear" && type != "yarn") refuse(file, type_key, "none, linear or yarn", kNotExact);
  for (const std::string& key : {factor_key, old_key}) {
    if (file.real_or(key, 1) < 0) refuse(file, key, "a factor above 0", "");
  }
  if (file.has(factor_key) && file.has(old_key) && file.real(factor_key) != file.real(old_key)) {
    refuse(file, old_key, "the value of " + factor_key + ", " + file.text_of(factor_key), "take one of them out");
  }
  // The share of YaRN: all of it or, with other types, nothing; below 0 it is the type's.
  const std::string share_key = scaling + "yarn_ext_factor";
  const double share = file.real_or(share_key, -1), usual = type == "yarn" ? 1 : 0;
  if (share >= 0 && share != usual) refuse(file, share_key, usual == 1 ? "1" : "0 (no YaRN)", kNotExact);
  const double factor = file.real_or(factor_key, file.real_or(old_key, 1));
  if (type == "none" || factor == 0) return {};
  RopeScaling out{.factor = factor};
  if (type == "linear") return out;
  out.yarn = true;
  out.original_context =
      static_cast<double>(file.integer_or(scaling + "original_context_length", 1, INT32_MAX, shape.n_ctx_train));
  out.beta_fast = file.real_or(scaling + "yarn_beta_fast", 32);
  out.beta_slow = file.real_or(scaling + "yarn_beta_slow", 1);
  for (const auto& [key, x] :
       {std::pair{"original_context_length", out.original_context}, std::pair{"yarn_beta_fast", out.beta_fast},
        std::pair{"yarn_beta_slow", out.beta_slow}}) {
    if (!(x > 0)) refuse(file, scaling + key, "a number above 0", "");
  }
  if (factor < 1) refuse(file, factor_key, "at least 1 with yarn", kNotExact);
  return out;
}

std::vector<float> RopeScaling::factors(const Rope& rope) const {
  const int32_t n = rope.d_head / 2;
  if (factor == 1) return {};
  if (!yarn) return std::vector<float>(static_cast<size_t>(n), static_cast<float>(factor));
  // The pair that makes `turns` rotations over the original context.
  const auto pair_of = [&](double turns) {
    return rope.d_head * std::log(original_context / (turns * 2 * std::numbers::pi)) / (2 * std::log(rope.base));
  };
  const double low = std::max(0.0, std::floor(pair_of(beta_fast)));
  const double high = std::min(rope.d_head - 1.0, std::ceil(pair_of(beta_slow)));
  std::vector<float> out;
  for (int32_t i = 0; i < n; ++i) {
    const double slow = std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0);  // 0: kept, 1: scaled
    out.push_back(static_cast<float>(1 / (slow / factor + (1 - slow))));
  }
  return out;
}

double RopeScaling::magnitude() const {
  return yarn ? 1 + 0.1 * std::log(factor) : 1;
}

}  // namespace reattend
