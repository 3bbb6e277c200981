// Only models that this program computes exactly are opened: other sizes, features and extra tensors are refused in
// words.
#include "engine/model/model.h"

#include <gtest/gtest.h>

#include <functional>

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
     [](GgufWriter& w) { w.put_string("llama.rope.scaling.type", "yarn"); },
     {"llama.rope.scaling.type", "none", "yarn"}},
    {"OldRopeScaling",
     [](GgufWriter& w) { w.put_f32("llama.rope.scale_linear", 2); },
     {"llama.rope.scale_linear", "1"}},
    {"RopeBase", [](GgufWriter& w) { w.put_f32("llama.rope.freq_base", 0); }, {"llama.rope.freq_base"}},
    {"RopeFactors",
     [](GgufWriter& w) { w.put_zeros("rope_freqs.weight", {2}); },
     {"rope_freqs.weight", "positive factors"}},
    {"Epsilon",
     [](GgufWriter& w) { w.put_f32("llama.attention.layer_norm_rms_epsilon", -1); },
     {"llama.attention.layer_norm_rms_epsilon", "0 to 1"}},
    {"Experts", [](GgufWriter& w) { w.put_u32("llama.expert_count", 8); }, {"llama.expert_count", "dense", "8"}},
    {"SlidingWindow",
     [](GgufWriter& w) { w.put_u32("llama.attention.sliding_window", 32); },
     {"llama.attention.sliding_window", "full attention", "32"}},
    {"NotCausal", [](GgufWriter& w) { w.put_bool("llama.attention.causal", false); }, {"llama.attention.causal"}},
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

Model open(const std::string& bytes) {
  return Model::from(Gguf::parse("FILE", std::as_bytes(std::span(bytes))));
}

TEST(Model, SmallestModelOpens) {
  const std::string bytes = small_llama().bytes();
  const Model model = open(bytes);
  EXPECT_EQ(model.shape().n_vocab, 5);
  EXPECT_EQ(model.shape().d_head, 4);
  EXPECT_EQ(model.shape().group(), 2);
  EXPECT_TRUE(model.shape().rope.factors.empty());
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
  EXPECT_EQ(model.shape().rope.factors, (std::vector<float>{1, 8}));
}

TEST(Model, WindowAsLongAsTheContextIsFullAttention) {
  GgufWriter w = small_llama();
  w.put_u32("llama.attention.sliding_window", 64);
  EXPECT_EQ(message_of(w), "");
}

TEST(Model, ChecksumIsThatOfTheWholeFile) {
  // printf abc | sha256sum
  const std::string abc = "abc";
  EXPECT_EQ(reattend::sha256(std::as_bytes(std::span(abc))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const Model model = Model::open("tests/golden/models/tiny_llama.gguf");
  EXPECT_EQ(model.sha256(), reattend::sha256(model.file().bytes()));
  EXPECT_EQ(model.shape().n_layer, 3);
}

}  // namespace
}  // namespace reattend
