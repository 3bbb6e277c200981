// The default model as users have it: the file opens, text becomes the ids that two other tokenizers agreed on.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/model/gguf.h"
#include "engine/model/model.h"
#include "engine/text/tokenizer.h"
#include "tests/support/default_model.h"

namespace reattend {
namespace {

class SmolLm2 : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto path = testing::default_model();
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no model at " << path << "; get it with `reattend get-model`";
    file_ = std::make_unique<Gguf>(Gguf::open(path));
    tokenizer_ = std::make_unique<Tokenizer>(*file_);
    golden_ = nlohmann::json::parse(std::ifstream("tests/golden/tokenizer.json"));
  }
  std::unique_ptr<Gguf> file_;
  std::unique_ptr<Tokenizer> tokenizer_;
  nlohmann::json golden_;
};

using Ids = std::vector<int32_t>;

TEST_F(SmolLm2, TextsBecomeTheIdsOfOtherTokenizers) {
  ASSERT_GE(golden_["agree"].size(), 100U);
  for (const auto& c : golden_["agree"]) {
    EXPECT_EQ(tokenizer_->encode(c["text"].get<std::string>(), c["parse_special"].get<bool>()), c["ids"].get<Ids>())
        << c["text"];
  }
}

TEST_F(SmolLm2, NumbersOfEveryScriptAreSplitOffAsInLlamaCpp) {
  ASSERT_FALSE(golden_["disagree"].empty());
  for (const auto& c : golden_["disagree"]) {
    EXPECT_EQ(tokenizer_->encode(c["text"].get<std::string>(), c["parse_special"].get<bool>()),
              c["llama_cpp"].get<Ids>())
        << c["text"];
  }
}

TEST_F(SmolLm2, IdsBecomeTheTextAgain) {
  for (const auto& c : golden_["agree"]) {
    EXPECT_EQ(tokenizer_->decode(c["ids"].get<Ids>(), true), c["text"].get<std::string>()) << c["text"];
  }
}

TEST_F(SmolLm2, ConversationsAreRenderedAsTheModelWasTrained) {
  ASSERT_FALSE(golden_["chat"].empty());
  for (const auto& c : golden_["chat"]) {
    std::vector<Tokenizer::Message> messages;
    for (const auto& m : c["messages"]) messages.push_back({m["role"], m["content"]});
    const MarkedText text = tokenizer_->chat(messages, c["add_generation_prompt"].get<bool>());
    EXPECT_EQ(text.text, c["rendered"].get<std::string>());
    EXPECT_EQ(tokenizer_->encode(text), c["ids"].get<Ids>());
  }
}

// What is plain in a chat must change no token of texts without names of special tokens.
TEST_F(SmolLm2, PlainTextInAChatHasTheTokensItAlwaysHad) {
  size_t n_marked = 0;
  for (const auto& c : golden_["agree"]) {
    const std::string content = c["text"].get<std::string>();
    const std::vector<Tokenizer::Message> messages = {{"user", content}};
    const MarkedText text = tokenizer_->chat(messages, true);
    const Ids plain = tokenizer_->encode(text), parsed = tokenizer_->encode(text.text, true);
    const bool marked = tokenizer_->encode(content, true) != tokenizer_->encode(content, false);
    EXPECT_EQ(plain == parsed, !marked) << content;
    EXPECT_EQ(tokenizer_->decode(plain, true), text.text);
    n_marked += marked ? 1 : 0;
  }
  EXPECT_GT(n_marked, 10U);
}

TEST_F(SmolLm2, GenerationStopsAtTheEndOfATurnAndOfTheText) {
  EXPECT_TRUE(tokenizer_->is_end(tokenizer_->encode("<|im_end|>", true).at(0)));
  EXPECT_TRUE(tokenizer_->is_end(tokenizer_->encode("<|endoftext|>", true).at(0)));
  EXPECT_FALSE(tokenizer_->is_end(tokenizer_->encode("<|im_start|>", true).at(0)));
  EXPECT_FALSE(tokenizer_->is_end(tokenizer_->encode("a", true).at(0)));
}

TEST_F(SmolLm2, ModelHasThePublishedShapeAndChecksum) {
  const Model model = Model::open(testing::default_model());
  const ModelShape& shape = model.shape();
  EXPECT_EQ(shape.n_layer, 30);
  EXPECT_EQ(shape.n_head, 9);
  EXPECT_EQ(shape.n_kv_head, 3);
  EXPECT_EQ(shape.d_head, 64);
  EXPECT_EQ(shape.d_model, 576);
  EXPECT_EQ(shape.d_ffn, 1536);
  EXPECT_EQ(shape.n_vocab, 49152);
  EXPECT_EQ(shape.n_ctx_train, 8192);
  EXPECT_EQ(shape.ropes.front().base, 100000);
  EXPECT_EQ(shape.norm_eps, 1e-5F);
  EXPECT_EQ(model.token_embd().type, TensorType::q8_0);
  EXPECT_EQ(model.layers().back().ffn_down.type, TensorType::q4_1);
  EXPECT_EQ(model.output().bytes.data(), model.token_embd().bytes.data()) << "the output matrix is the embedding";
  EXPECT_EQ(model.sha256(), "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
}

}  // namespace
}  // namespace reattend
