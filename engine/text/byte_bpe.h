// Byte-level BPE (tokenizer.ggml.model = gpt2): words by the patterns of a pre-tokenizer, merged byte by byte.
#pragma once
#include <memory>
#include <string_view>

#include "engine/text/vocabulary.h"

namespace reattend {

/// Reads the merges and turns the texts of normal tokens into the bytes they stand for. `pre`: the pre-tokenizer that
/// takes the place of the file's own where it is not empty. Throws Error for tables that don't fit each other.
std::unique_ptr<TextEncoder> make_byte_bpe(const Gguf& file, Vocabulary& vocabulary, std::string_view pre);

}  // namespace reattend
