// A SentencePiece vocabulary of 400 tokens: llama.cpp's ids and texts, with a space put in front and a BOS token.
#include <gtest/gtest.h>

#include "engine/model/gguf.h"
#include "engine/text/tokenizer.h"
#include "tests/engine/text/token_list.h"

namespace reattend {
namespace {

TEST(SentencePieceGolden, TextsHaveTheIdsOfLlamaCppAndComeBack) {
  const Gguf file = Gguf::open("tests/golden/models/tiny_mistral.gguf");
  const Tokenizer tokenizer(file);
  EXPECT_TRUE(tokenizer.guesses().empty());
  EXPECT_TRUE(tokenizer.knows_every_byte());
  testing::expect_token_list(tokenizer, "tests/golden/tokenizers/tiny_mistral.json", true);
}

}  // namespace
}  // namespace reattend
