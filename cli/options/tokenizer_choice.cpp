// Names and files of templates.
#include "cli/options/tokenizer_choice.h"

#include <filesystem>

#include "base/error.h"
#include "cli/options/model_options.h"
#include "cli/options/warn.h"

namespace reattend::cli {
namespace {

/// A format's name before a file's; empty for an empty choice.
std::string template_text(const std::string& choice) {
  if (choice.empty()) return {};
  std::string names;
  for (const NamedTemplate& format : named_templates()) {
    if (format.name == choice) return std::string(format.jinja);
    names += ", " + std::string(format.name);
  }
  if (!std::filesystem::exists(choice)) {
    fail_usage({"--chat-template", "a file with a Jinja template, or one of" + names.substr(1), choice, ""});
  }
  std::string text = read_text_file("--chat-template", choice);
  if (text.empty()) fail({"--chat-template " + choice, "a Jinja template", "an empty file", ""});
  return text;
}

}  // namespace

CLI::Option* TokenizerChoice::add_to(CLI::App& app, const std::string& group) {
  app.add_option("--pre-tokenizer", pre_tokenizer,
                 "Cut words like the models of this name, whatever the file says (such as llama-bpe, qwen2, tekken)")
      ->type_name("NAME")
      ->group(group);
  return app
      .add_option("--chat-template", chat_template,
                  "Jinja template of the chat in place of the model's own: a file, or chatml, gemma, llama2, llama3, "
                  "mistral, phi3")
      ->type_name("FILE|NAME")
      ->group(group);
}

Tokenizer TokenizerChoice::open(const Gguf& file) const {
  Tokenizer tokenizer(file, {.pre_tokenizer = pre_tokenizer, .chat_template = template_text(chat_template)});
  for (const std::string& guess : tokenizer.guesses()) warn(guess);
  return tokenizer;
}

}  // namespace reattend::cli
