// What takes the place of a model file's own tokenizer settings: the options of commands that turn text into tokens.
#pragma once
#include <string>

#include <CLI/CLI.hpp>

#include "engine/text/tokenizer.h"

namespace reattend::cli {

struct TokenizerChoice {
  std::string pre_tokenizer;  ///< a name of tokenizer.ggml.pre; empty: the file's own
  std::string chat_template;  ///< a format's name or a file with Jinja; empty: the file's own

  /// Returns the option of the chat template, which makes no sense beside some others.
  CLI::Option* add_to(CLI::App& app, const std::string& group);
  /// The model's tokenizer; what it assumes is said on stderr. Throws Error for a name that there is not and a file
  /// that cannot be read.
  Tokenizer open(const Gguf& file) const;
};

}  // namespace reattend::cli
