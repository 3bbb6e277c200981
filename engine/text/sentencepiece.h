// SentencePiece's BPE (tokenizer.ggml.model = llama): characters merged by the scores of what they form.
#pragma once
#include <memory>

#include "engine/text/vocabulary.h"

namespace reattend {

/// Kudo and Richardson 2018. Reads the scores and turns the texts of normal and byte tokens into the bytes they stand
/// for. Throws Error for tables that don't fit each other.
std::unique_ptr<TextEncoder> make_sentencepiece(const Gguf& file, Vocabulary& vocabulary);

}  // namespace reattend
