// Names and files of templates.
#include "cli/options/tokenizer_choice.h"

#include <filesystem>

#include "base/error.h"
#include "cli/options/model_options.h"
#include "cli/options/warn.h"

namespace reattend::cli {
namespace {

/// A format's name before a file's; nothing for an empty choice.
void take_template(const std::string& choice, TokenizerOptions& options) {
  if (choice.empty()) return;
  options.chat_template_where = "--chat-template " + choice;
  std::string names;
  for (const NamedTemplate& format : named_templates()) {
    if (format.name == choice) {
      options.chat_template = format.jinja;
      options.chat_template_markers.assign(format.markers.begin(), format.markers.end());
      return;
    }
    names += ", " + std::string(format.name);
  }
  if (!std::filesystem::exists(choice)) {
    fail_usage({"--chat-template", "a file with a Jinja template, or one of" + names.substr(1), choice, ""});
  }
  options.chat_template = read_text_file("--chat-template", choice);
  if (options.chat_template.empty()) fail({options.chat_template_where, "a Jinja template", "an empty file", ""});
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
  TokenizerOptions options = {.pre_tokenizer = pre_tokenizer, .chat_template = ""};
  take_template(chat_template, options);
  Tokenizer tokenizer(file, options);
  for (const std::string& guess : tokenizer.guesses()) warn(guess);
  return tokenizer;
}

}  // namespace reattend::cli
