// Which prompt: the options that `run`, `record` and `compare` share.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>

#include "cli/options/tokenizer_choice.h"
#include "engine/model/model.h"
#include "engine/text/tokenizer.h"

namespace reattend::cli {

/// The prompt: exactly one of text, file of text, file of token ids, a trace, or the part of it that the options cut
/// out.
struct PromptOptions {
  std::string text, file, tokens, trace, system;
  bool chat = false, raw = false, parse_special = false, no_parse_special = false, show = false;
  int64_t skip_chars = 0;  ///< characters of the text that are left out at its beginning
  int64_t context = 0;     ///< tokens that are the prompt; 0: all
  TokenizerChoice tokenizer_choice;

  void add_to(CLI::App& app);
  /// Throws Error where the prompt is a trace's and the trace is of another model.
  void check_model(const Model& model) const;
  /// The prompt and, with --context or of a trace, the tokens that follow it in its text.
  struct Split {
    std::vector<int32_t> prompt, rest;
  };
  /// Text is put into the model's chat template unless --raw is given. Names of special tokens in it are text in a
  /// chat, and the tokens with --raw; --parse-special and --no-parse-special say otherwise. With --show-tokens the
  /// prompt is printed to stderr, unless `as_json`.
  /// Throws Error for an empty prompt, an unreadable file, ids outside the vocabulary, a text that is shorter than
  /// what is to be cut out of it.
  Split split(const Tokenizer& tokenizer, bool as_json) const;
  /// A text without a template and without a BOS token, which goes on behind a prompt.
  std::vector<int32_t> encode_on(const Tokenizer& tokenizer, const std::string& more) const;
  /// With --show-tokens: adds prompt_tokens, an id, its text and whether it is a special token each.
  void report(const Tokenizer& tokenizer, std::span<const int32_t> prompt, nlohmann::json& json) const;

 private:
  /// The option that gives token ids where it is one of these; empty where the prompt is text.
  std::string ids_option() const;
  std::vector<int32_t> read_all(const Tokenizer& tokenizer) const;
  /// Text without a template, or with it.
  std::vector<int32_t> encode(const Tokenizer& tokenizer, const std::string& prompt) const;

  const CLI::Option* text_option_ = nullptr;
  const CLI::Option* system_option_ = nullptr;  ///< an empty message is one, too
};

}  // namespace reattend::cli
