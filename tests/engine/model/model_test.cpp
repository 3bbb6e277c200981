// Only models that this program computes exactly are opened: other sizes, features and extra tensors are refused in
// words.
#include "engine/model/model.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/sha256.h"
#include "engine/model/gguf.h"
#include "tests/support/gguf_writer.h"

namespace reattend {
namespace {

using testing::GgufWriter;
using testing::raw;
using testing::small_llama;

std::string message_of(const GgufWriter& writer) {
  const std::string bytes = writer.bytes();
  try {
    Model::from(Gguf::parse("FILE", std::as_bytes(std::span(bytes))));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

struct Strange {
  const char* name;
  std::function<void(GgufWriter&)> apply;
  std::vector<const char*> says;
};

class StrangeModel : public ::testing::TestWithParam<Strange> {};

TEST_P(StrangeModel, IsRefusedInOneLineThatNamesThePlace) {
  GgufWriter w = small_llama();
  GetParam().apply(w);
  const std::string message = message_of(w);
  for (const char* word : GetParam().says)
    EXPECT_NE(message.find(word), std::string::npos) << word << "\nin: " << message;
}

const std::vector<Strange> kStrange = {
    {"Architecture",
     [](GgufWriter& w) { w.put_string("general.architecture", "mamba"); },
     {"FILE", "general.architecture", "llama", "mamba"}},
    {"NoArchitecture", [](GgufWriter& w) { w.erase("general.architecture"); }, {"general.architecture", "no such key"}},
    {"NoLayers", [](GgufWriter& w) { w.put_u32("llama.block_count", 0); }, {"llama.block_count", "1 to", "0"}},
    {"TooManyLayers",
     [](GgufWriter& w) { w.put_u32("llama.block_count", 2); },
     {"blk.1.attn_norm.weight", "no such tensor"}},
    {"AbsurdLayers",
     [](GgufWriter& w) { w.put_u32("llama.block_count", UINT32_MAX); },
     {"llama.block_count", "4294967295"}},
    {"HeadsPerLayer",
     [](GgufWriter& w) { w.put_i32s("llama.attention.head_count", {2}); },
     {"llama.attention.head_count", "integer", "array"}},
    {"HeadsDontDivide",
     [](GgufWriter& w) { w.put_u32("llama.attention.head_count_kv", 3); },
     {"llama.attention.head_count_kv", "divisor of the 2", "3"}},
    {"WidthDoesNotDivide",
     [](GgufWriter& w) { w.put_u32("llama.attention.head_count", 3); },
     {"llama.embedding_length", "multiple of the 3", "8"}},
    {"OddHead", [](GgufWriter& w) { w.put_u32("llama.attention.key_length", 3); }, {"even", "3"}},
    {"PartialRotation",
     [](GgufWriter& w) { w.put_u32("llama.rope.dimension_count", 2); },
     {"llama.rope.dimension_count", "4", "2", "partial rotation"}},
    {"ValuesOfAnotherWidth",
     [](GgufWriter& w) { w.put_u32("llama.attention.value_length", 8); },
     {"llama.attention.value_length", "4", "8"}},
    {"RopeScaling",
     [](GgufWriter& w) { w.put_string("llama.rope.scaling.type", "longrope"); },
     {"llama.rope.scaling.type", "none, linear or yarn", "longrope"}},
    {"RopeScalesThatDiffer",
     [](GgufWriter& w) {
       w.put_f32("llama.rope.scaling.factor", 4);
       w.put_f32("llama.rope.scale_linear", 2);
     },
     {"llama.rope.scale_linear", "llama.rope.scaling.factor, 4", "got 2"}},
    {"NegativeRopeScale",
     [](GgufWriter& w) { w.put_f32("llama.rope.scaling.factor", -4); },
     {"llama.rope.scaling.factor", "above 0", "-4"}},
    {"RopeScaleBeyondFloat",
     [](GgufWriter& w) { w.put("llama.rope.scaling.factor", GgufType::f64, raw(1e300)); },
     {"rope.scaling.factor", "positive factors"}},
    {"RopeBase", [](GgufWriter& w) { w.put_f32("llama.rope.freq_base", 0); }, {"llama.rope.freq_base"}},
    {"RopeFactors",
     [](GgufWriter& w) { w.put_zeros("rope_freqs.weight", {2}); },
     {"rope_freqs.weight", "positive factors"}},
    {"Epsilon",
     [](GgufWriter& w) { w.put_f32("llama.attention.layer_norm_rms_epsilon", -1); },
     {"llama.attention.layer_norm_rms_epsilon", "0 to 1"}},
    {"UnknownKey",
     [](GgufWriter& w) { w.put_u32("llama.attention.telepathy", 3); },
     {"llama.attention.telepathy", "got 3", "--remove-metadata"}},
    {"PartOfASplitModel",
     [](GgufWriter& w) {
       w.put("split.count", GgufType::u16, raw(uint16_t{3}));
       w.put("split.no", GgufType::u16, raw(uint16_t{1}));
     },
     {"FILE", "part 2 of 3 of a split model", "llama-gguf-split --merge"}},
    {"LaterPartOfASplitModel",
     [](GgufWriter& w) {
       w.keys.clear();
       w.put("split.count", GgufType::u16, raw(uint16_t{2}));
       w.put("split.no", GgufType::u16, raw(uint16_t{1}));
     },
     {"part 2 of 2"}},
    {"Adapter",
     [](GgufWriter& w) { w.put_string("general.type", "adapter"); },
     {"general.type", "adapter", "llama-export-lora"}},
    {"OldBlocks",
     [](GgufWriter& w) { w.put_u32("general.quantization_version", 1); },
     {"general.quantization_version", "2", "got 1"}},
    {"Bias",
     [](GgufWriter& w) { w.put_zeros("blk.0.attn_q.bias", {8}); },
     {"blk.0.attn_q.bias", "llama", "can't run the model exactly"}},
    {"LayerBeyondTheLast",
     [](GgufWriter& w) { w.put_zeros("blk.1.attn_norm.weight", {8}); },
     {"blk.1.attn_norm.weight"}},
    {"NoEmbedding", [](GgufWriter& w) { w.tensors.erase(w.tensors.begin()); }, {"token_embd.weight", "no such tensor"}},
    {"EmbeddingWidth",
     [](GgufWriter& w) {
       w.put_zeros("token_embd.weight", {4, 5});
     },
     {"token_embd.weight", "[5][8]", "[5][4]"}},
    {"TransposedMatrix",
     [](GgufWriter& w) {
       w.put_zeros("blk.0.ffn_up.weight", {12, 8});
     },
     {"blk.0.ffn_up.weight", "[12][8]", "[8][12]"}},
    {"ThreeDimensions",
     [](GgufWriter& w) {
       w.put_zeros("blk.0.ffn_up.weight", {8, 6, 2});
     },
     {"blk.0.ffn_up.weight", "[12][8]"}},
    {"HalfNorm", [](GgufWriter& w) { w.tensor("output_norm.weight").type = 1; }, {"output_norm.weight", "F32", "F16"}},
    {"VocabularySize", [](GgufWriter& w) { w.put_u32("llama.vocab_size", 6); }, {"llama.vocab_size", "5", "6"}},
    {"TokensOfAnotherModel",
     [](GgufWriter& w) {
       w.put_strings("tokenizer.ggml.tokens", {"a", "b"});
     },
     {"tokenizer.ggml.tokens", "5", "2"}},
};

INSTANTIATE_TEST_SUITE_P(Model, StrangeModel, ::testing::ValuesIn(kStrange),
                         [](const auto& strange) { return std::string(strange.param.name); });

/// A key at a value that changes what a model computes, and at one that changes nothing.
struct ResultKey {
  const char* key;
  double changing, neutral;
};
constexpr ResultKey kResultKeys[] = {
    {"attention.clamp_kqv", 8, 0},
    {"attention.group_norm_groups", 4, 0},
    {"attention.key_length_mla", 8, 0},
    {"attention.key_length_swa", 8, 4},
    {"attention.kv_lora_rank", 2, 0},
    {"attention.max_alibi_bias", 8, 0},
    {"attention.output_scale", 0.5, 1},
    {"attention.q_lora_rank", 2, 0},
    {"attention.relative_buckets_count", 32, 0},
    {"attention.scale", 0.25, 0.5},  // heads are 4 wide
    {"attention.shared_kv_layers", 1, 0},
    {"attention.sliding_window", 32, 64},  // the context is 64
    {"attention.temperature_scale", 0.1, 0},
    {"attention.value_length_mla", 8, 0},
    {"attention.value_length_swa", 8, 4},
    {"attn_logit_softcapping", 50, 0},
    {"embedding_scale", 12, 1},
    {"expert_count", 8, 0},
    {"expert_shared_count", 1, 0},
    {"final_logit_softcapping", 30, 0},
    {"logit_scale", 0.0625, 1},
    {"nextn_predict_layers", 1, 0},
    {"num_deepstack_layers", 1, 0},
    {"rescale_every_n_layers", 6, 0},
    {"residual_scale", 0.22, 1},
    {"rope.dimension_count_swa", 8, 4},
    {"rope.freq_base_swa", 5e5, 1e4},
    {"rope.scaling.attn_factor", 1.5, 1},
    {"rope.scaling.yarn_attn_factor", 1.5, 1},
    {"rope.scaling.yarn_ext_factor", 1, -1},
    {"rope.scaling.yarn_log_multiplier", 0.1, 0},
};

// Windows, caps and bases that only Gemma's files have: applied within bounds, refused by name beyond them, and where
// the kind of model does not have them.
TEST(Model, GemmasOwnKeysAreAppliedOrRefused) {
  const auto open = [](const char* model, const std::string& key, auto value) {
    testing::GgufWriter w = testing::copy_of(Gguf::open(std::string("tests/golden/models/") + model + ".gguf"));
    if constexpr (std::is_integral_v<decltype(value)>) {
      w.put_u32(key, value);
    } else {
      w.put_f32(key, value);
    }
    return w.bytes();
  };
  const auto shape_of = [](const std::string& bytes) {
    return Model::from(Gguf::parse("FILE", std::as_bytes(std::span(bytes)))).shape();
  };
  EXPECT_EQ(shape_of(open("tiny_gemma2", "gemma2.attention.sliding_window", 9U)).layers[0].window, 9);
  EXPECT_EQ(shape_of(open("tiny_gemma2", "gemma2.attn_logit_softcapping", 20.0F)).attention_cap, 20);
  EXPECT_EQ(shape_of(open("tiny_gemma2", "gemma2.final_logit_softcapping", 0.0F)).logit_cap, 0);
  EXPECT_EQ(shape_of(open("tiny_gemma3", "gemma3.rope.freq_base_swa", 5000.0F)).ropes[1].base, 5000);
  const ModelShape periods = shape_of(open("tiny_gemma3", "gemma3.attention.sliding_window_pattern", 2U));
  EXPECT_EQ(periods.windows(), (std::vector<int32_t>{8, 0, 8, 0, 8, 0, 8, 0}));
  EXPECT_EQ(shape_of(open("tiny_gemma3", "gemma3.attention.sliding_window_pattern", 0U)).n_acting(), 0);
  const auto refused = [&](const char* model, const std::string& key, auto value) {
    try {
      shape_of(open(model, key, value));
    } catch (const Error& error) {
      return std::string(error.what()).find(key) != std::string::npos;
    }
    return false;
  };
  EXPECT_TRUE(refused("tiny_gemma2", "gemma2.attn_logit_softcapping", 1e6F));
  EXPECT_TRUE(refused("tiny_gemma2", "gemma2.final_logit_softcapping", -1.0F));
  EXPECT_TRUE(refused("tiny_gemma2", "gemma2.attention.sliding_window", 1U << 30));
  EXPECT_TRUE(refused("tiny_gemma2", "gemma2.rope.freq_base_swa", 1e6F));
  EXPECT_TRUE(refused("tiny_gemma3", "gemma3.attention.key_length_swa", 8U));
  EXPECT_TRUE(refused("tiny_gemma3", "gemma3.attn_logit_softcapping", 50.0F));
  EXPECT_TRUE(refused("tiny_gemma3", "gemma3.rope.freq_base_swa", 0.5F));
}

// A key that is ignored gives logits of another model without a word.
TEST(Model, KeysThatChangeResultsAreRefusedByNameAndTakenWhereTheyChangeNothing) {
  for (const ResultKey& row : kResultKeys) {
    const std::string key = std::string("llama.") + row.key;
    GgufWriter w = small_llama();
    w.put_f32(key, static_cast<float>(row.changing));
    EXPECT_NE(message_of(w).find("FILE: " + key), std::string::npos) << key << ": " << message_of(w);
    w.put_f32(key, static_cast<float>(row.neutral));
    EXPECT_EQ(message_of(w), "");
    w.put_f32(key, std::numeric_limits<float>::quiet_NaN());
    EXPECT_NE(message_of(w), "") << key;
    w.put_i32s(key, {0, 1});
    EXPECT_NE(message_of(w).find("an array of 2 i32"), std::string::npos) << key << ": " << message_of(w);
  }
  for (const auto& [name, changing] :
       {std::pair{"attention.causal", false}, {"use_parallel_residual", true}, {"swin_norm", true}}) {
    const std::string key = std::string("llama.") + name;
    GgufWriter w = small_llama();
    w.put_bool(key, changing);
    EXPECT_NE(message_of(w).find("FILE: " + key), std::string::npos) << key << ": " << message_of(w);
    w.put_bool(key, !changing);
    EXPECT_EQ(message_of(w), "");
  }
}

TEST(Model, FiguresOfWhatTheModelLacksChangeNothing) {
  GgufWriter w = small_llama();
  w.put_u32("llama.expert_count", 0);
  w.put_u32("llama.expert_used_count", 2);
  w.put_u32("llama.rope.scaling.original_context_length", 16);
  w.put_bool("llama.rope.scaling.finetuned", true);
  w.put_string("llama.tensor_data_layout", "Meta AI original pth");
  w.put_string("general.type", "model");
  w.put_u32("general.quantization_version", 2);
  w.put("split.count", GgufType::u16, raw(uint16_t{1}));
  EXPECT_EQ(message_of(w), "");
}

Model open(const std::string& bytes) {
  return Model::from(Gguf::parse("FILE", std::as_bytes(std::span(bytes))));
}

TEST(Model, SmallestModelOpens) {
  const std::string bytes = small_llama().bytes();
  const Model model = open(bytes);
  EXPECT_EQ(model.shape().n_vocab, 5);
  EXPECT_EQ(model.shape().d_head, 4);
  EXPECT_EQ(model.shape().group(), 2);
  EXPECT_TRUE(model.shape().ropes.front().factors.empty());
  EXPECT_EQ(model.output().bytes.data(), model.token_embd().bytes.data()) << "tied";
}

TEST(Model, OwnOutputMatrixAndRopeFactorsAreUsed) {
  GgufWriter w = small_llama();
  w.put_zeros("output.weight", {8, 5});
  w.put_zeros("rope_freqs.weight", {2});
  w.tensor("rope_freqs.weight").data = raw(1.0F) + raw(8.0F);
  const std::string bytes = w.bytes();
  const Model model = open(bytes);
  EXPECT_EQ(model.output().name, "output.weight");
  EXPECT_EQ(model.shape().ropes.front().factors, (std::vector<float>{1, 8}));
}

/// Factors of the rotation with these keys: a text is the type, a number the factor.
std::vector<float> factors_with(std::optional<std::string> type, std::optional<float> factor,
                                std::optional<float> old = {}, bool tensor = false) {
  GgufWriter w = small_llama();
  if (type) w.put_string("llama.rope.scaling.type", *type);
  if (factor) w.put_f32("llama.rope.scaling.factor", *factor);
  if (old) w.put_f32("llama.rope.scale_linear", *old);
  if (tensor) {
    w.put_zeros("rope_freqs.weight", {2});
    w.tensor("rope_freqs.weight").data = raw(1.0F) + raw(8.0F);
  }
  const std::string bytes = w.bytes();
  return open(bytes).shape().ropes.front().factors;
}

// As llama.cpp has it: a factor without a type divides positions, "none" switches it off, the old key is the same
// factor, and the frequencies' own factors are multiplied.
TEST(Model, PositionsAreDividedByTheFileFactor) {
  using Factors = std::vector<float>;
  EXPECT_EQ(factors_with({}, 4.0F), (Factors{4, 4}));
  EXPECT_EQ(factors_with("linear", 4.0F), (Factors{4, 4}));
  EXPECT_EQ(factors_with({}, {}, 2.5F), (Factors{2.5F, 2.5F}));
  EXPECT_EQ(factors_with("linear", 2.0F, 2.0F), (Factors{2, 2}));
  EXPECT_EQ(factors_with({}, 4.0F, {}, true), (Factors{4, 32}));
  EXPECT_EQ(factors_with("none", 4.0F), Factors{});
  EXPECT_EQ(factors_with("linear", 1.0F), Factors{}) << "changes nothing";
  EXPECT_EQ(factors_with("linear", {}), Factors{});
  EXPECT_EQ(factors_with({}, 0.0F), Factors{}) << "written by converters that have none";
}

TEST(Model, ADividedPositionTurnsAsThePositionItIsDividedTo) {
  GgufWriter w = small_llama();
  w.put_f32("llama.rope.scaling.factor", 4);
  const std::string bytes = w.bytes(), plain = small_llama().bytes();
  std::vector<double> scaled = {1, 2, 3, 4}, unscaled = scaled;
  open(bytes).shape().ropes.front().rotate(scaled.data(), 1, 4 * 7);
  open(plain).shape().ropes.front().rotate(unscaled.data(), 1, 7);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(scaled[i], unscaled[i], 1e-14);
}

TEST(Model, ChecksumIsThatOfTheWholeFile) {
  // printf abc | sha256sum
  const std::string abc = "abc";
  EXPECT_EQ(reattend::sha256(std::as_bytes(std::span(abc))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const Model model = Model::open("tests/golden/models/tiny_llama.gguf");
  EXPECT_EQ(model.sha256(), reattend::sha256(MappedFile(model.path()).bytes()));
  EXPECT_EQ(model.shape().n_layer, 3);
}

}  // namespace
}  // namespace reattend
