// The tokenizers of two models that others made: llama.cpp's ids for 100 texts each, and the chats of the one with a
// template.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/model/gguf.h"
#include "engine/text/tokenizer.h"
#include "tests/engine/text/token_list.h"
#include "tests/support/default_model.h"

namespace reattend {
namespace {

#define NEEDS(path)                   \
  if (!std::filesystem::exists(path)) \
  GTEST_SKIP() << "no model at " << (path) << "; `reattend get-model --list` names those that it gets"

TEST(StoredModels, GemmaHasTheIdsOfLlamaCpp) {
  NEEDS(testing::gemma_model());
  const Gguf file = Gguf::open(testing::gemma_model());
  const Tokenizer tokenizer(file);
  testing::expect_token_list(tokenizer, "tests/golden/tokenizers/gemma.json", true);
  EXPECT_TRUE(tokenizer.is_end(1));
  EXPECT_TRUE(tokenizer.is_end(106)) << "the end of a turn";
  EXPECT_FALSE(tokenizer.is_end(212)) << "</s> is an HTML tag there";
  EXPECT_FALSE(tokenizer.has_chat());
}

TEST(StoredModels, QwenHasTheIdsOfLlamaCpp) {
  NEEDS(testing::qwen_model());
  const Gguf file = Gguf::open(testing::qwen_model());
  testing::expect_token_list(Tokenizer(file), "tests/golden/tokenizers/qwen.json", false);
}

TEST(StoredModels, QwensOwnTemplateRendersAsJinja2Does) {
  NEEDS(testing::qwen_model());
  const Gguf file = Gguf::open(testing::qwen_model());
  const Tokenizer tokenizer(file);
  const nlohmann::json golden = nlohmann::json::parse(std::ifstream("tests/golden/chat/qwen.json"));
  ASSERT_GE(golden.at("items").size(), 5U);
  for (const nlohmann::json& item : golden["items"]) {
    std::vector<Tokenizer::Message> messages;
    for (const nlohmann::json& m : item["messages"]) messages.push_back({m["role"], m["content"]});
    const MarkedText text = tokenizer.chat(messages, item["add_generation_prompt"].get<bool>());
    EXPECT_EQ(text.text, item["rendered"].get<std::string>());
    EXPECT_EQ(tokenizer.encode(text.text, true), item["ids"].get<std::vector<int32_t>>());
    const bool named = item.dump().find("<|im_end|> in the") != std::string::npos;  // by the user: plain, in ours
    EXPECT_EQ(tokenizer.encode(text) == tokenizer.encode(text.text, true), !named);
  }
}

}  // namespace
}  // namespace reattend
