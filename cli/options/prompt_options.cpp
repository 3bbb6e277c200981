// Makes token ids of the prompt options, and shows the ids as a person or a program can read them.
#include "cli/options/prompt_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"
#include "base/json_text.h"
#include "base/standard_streams.h"
#include "base/utf8.h"
#include "cli/options/model_options.h"
#include "cli/options/prompt_text.h"
#include "cli/options/warn.h"
#include "evals/traced_run.h"
#include "report/table.h"

namespace reattend::cli {
namespace {

/// [1, 2, 3] or an object with that list as "prompt" or "ids" (case files have the first).
std::vector<int32_t> read_ids(const std::string& path, const int32_t n_vocab) {
  const std::string where = "--prompt-tokens " + path;
  const nlohmann::json json = nlohmann::json::parse(read_text_file("--prompt-tokens", path), nullptr, false);
  const nlohmann::json* list = &json;
  if (json.is_object()) {
    for (const char* key : {"prompt", "ids"}) {
      if (json.contains(key)) {
        list = &json[key];
        break;
      }
    }
  }
  if (!list->is_array()) {
    fail({where, "a JSON list of token ids, or an object with one as \"prompt\" or \"ids\"",
          json.is_discarded() ? "a file that is not JSON" : json.type_name(), ""});
  }
  std::vector<int32_t> ids;
  ids.reserve(list->size());
  for (const nlohmann::json& id : *list) {
    const bool fits = id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() < n_vocab;
    if (!fits) {
      fail({fmt::format("{}: entry {}", where, ids.size()), fmt::format("a token id in [0, {})", n_vocab),
            json_text(id), ""});
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

/// A token that is no text: decoding leaves it out.
bool is_special(const Tokenizer& tokenizer, int32_t id) {
  return tokenizer.piece(id).empty() && !tokenizer.piece(id, true).empty();
}

/// A piece on one line, bytes of cut characters as \x and two digits.
std::string shown(std::string_view piece) {
  std::string out;
  while (!piece.empty()) {
    const Utf8Char c = first_utf8_char(piece);
    const std::string_view bytes = piece.substr(0, c.length);
    if (c.status == Utf8Status::ok) {
      out += visible(std::string(bytes));
    } else {
      for (const char byte : bytes) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    }
    piece.remove_prefix(c.length);
  }
  return out;
}

/// Every token of the prompt: text in quotes, special tokens by their names without any.
void print_tokens(const Tokenizer& tokenizer, std::span<const int32_t> prompt) {
  Table tokens = {.name = "prompt_tokens",
                  .title = fmt::format("prompt: {} tokens (special tokens stand without quotes)", prompt.size()),
                  .columns = {{.key = "position"}, {.key = "id"}, {.key = "text", .left = true}},
                  .rows = {}};
  for (size_t i = 0; i < prompt.size(); ++i) {
    const std::string text = shown(tokenizer.piece(prompt[i], true));
    tokens.rows.push_back(
        {static_cast<int64_t>(i), int64_t{prompt[i]}, is_special(tokenizer, prompt[i]) ? text : "\"" + text + "\""});
  }
  constexpr size_t kWide = size_t{1} << 20;  // a token is one line, however long
  print_note("{}\n", to_text(tokens, kWide));
}

}  // namespace

void PromptOptions::add_to(CLI::App& app) {
  const std::string group = "Prompt";
  CLI::Option* const text_option =
      app.add_option("--prompt", text, "The prompt itself")->type_name("TEXT")->group(group);
  CLI::Option* const file_option =
      app.add_option("--prompt-file", file, "A file with the prompt's text")->type_name("FILE")->group(group);
  CLI::Option* const tokens_option =
      app.add_option("--prompt-tokens", tokens, "A JSON file with the prompt's token ids")
          ->type_name("FILE")
          ->group(group);
  file_option->excludes(text_option);
  CLI::Option* const trace_option =
      app.add_option("--prompt-trace", trace, "A trace whose prompt it is")->type_name("TRACE")->group(group);
  tokens_option->excludes(text_option)->excludes(file_option);
  trace_option->excludes(text_option)->excludes(file_option)->excludes(tokens_option);
  system_option_ = app.add_option("--system", system,
                                  "System message of the chat; an empty one ('') takes the place of the template's own")
                       ->type_name("TEXT")
                       ->group(group);
  CLI::Option* const chat_option =
      app.add_flag("--chat", chat, "Put the prompt into the model's chat template (the default)")->group(group);
  CLI::Option* const template_option = tokenizer_choice.add_to(app, group);
  app.add_flag("--raw", raw, "Continue the prompt's text as it stands")
      ->excludes(chat_option)
      ->excludes(template_option)
      ->group(group);
  CLI::Option* const parse_option =
      app.add_flag(
             "--parse-special", parse_special,
             "Names of special tokens, such as <|im_end|>, become the tokens also in a chat's messages, where they "
             "are plain text otherwise (with --raw they always do)")
          ->group(group);
  app.add_flag("--no-parse-special", no_parse_special, "They are plain text with --raw, too")
      ->excludes(parse_option)
      ->group(group);
  app.add_option("--skip-chars", skip_chars, "Leave out that many characters at the text's beginning")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 30))
      ->group(group);
  app.add_option("--context", context, "Only the first N tokens are the prompt (with --raw or --prompt-tokens)")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 30))
      ->group(group);
  app.add_flag("--show-tokens", show, "Print the prompt's token ids and their texts to stderr (with --json: as JSON)")
      ->group(group);
  text_option_ = text_option;
}

void PromptOptions::check_model(const Model& model) const {
  if (!trace.empty()) check_is_of(TraceReader::open(trace)->info(), model);
}

std::string PromptOptions::ids_option() const {
  return !tokens.empty() ? "--prompt-tokens" : !trace.empty() ? "--prompt-trace" : "";
}

PromptOptions::Split PromptOptions::split(const Tokenizer& tokenizer, bool as_json) const {
  if (context > 0 && !trace.empty()) {
    fail_usage({"--context", "a prompt that is cut", "--prompt-trace, whose prompt ends where it was recorded",
                "leave it out"});
  }
  if (context > 0 && !raw && tokens.empty()) {
    fail_usage({"--context", "--raw or --prompt-tokens: a chat can't be cut", "a chat prompt", "add --raw"});
  }
  if (skip_chars > 0 && !ids_option().empty()) {
    fail_usage({"--skip-chars", "a prompt that is text", ids_option(), "leave one of them out"});
  }
  Split out = {read_all(tokenizer), {}};
  const int64_t cut = trace.empty() ? context : int64_t{TraceReader::open(trace)->info().n_prompt};
  if (cut > 0) {
    if (static_cast<int64_t>(out.prompt.size()) < cut) {
      fail({"--context", fmt::format("at most {} (the text's tokens)", out.prompt.size()), std::to_string(cut),
            "give a longer text, or skip less of it"});
    }
    const auto end = out.prompt.begin() + static_cast<std::ptrdiff_t>(cut);
    out.rest.assign(end, out.prompt.end());
    out.prompt.erase(end, out.prompt.end());
  }
  if (show && !as_json) print_tokens(tokenizer, out.prompt);
  return out;
}

std::vector<int32_t> PromptOptions::read_all(const Tokenizer& tokenizer) const {
  const bool given = text_option_ != nullptr && text_option_->count() > 0;
  if (!given && file.empty() && ids_option().empty()) {
    fail_usage({"prompt", "--prompt, --prompt-file, --prompt-tokens or --prompt-trace", "none of them", ""});
  }
  const bool has_system = system_option_ != nullptr && system_option_->count() > 0;
  if (has_system && (raw || !ids_option().empty())) {
    fail_usage({"--system", "a chat prompt", fmt::format("{}, which has no messages", raw ? "--raw" : ids_option()),
                "leave one of them out"});
  }
  if ((parse_special || no_parse_special) && !ids_option().empty()) {
    fail_usage({parse_special ? "--parse-special" : "--no-parse-special", "a prompt that is text", ids_option(),
                "leave one of them out"});
  }
  if (!tokenizer_choice.chat_template.empty() && !ids_option().empty()) {
    fail_usage({"--chat-template", "a prompt that is text", ids_option(), "leave one of them out"});
  }
  const std::string where = given           ? "--prompt"
                            : !file.empty() ? "--prompt-file " + file
                                            : ids_option() + " " + tokens + trace;
  std::vector<int32_t> ids;
  if (!tokens.empty()) {
    ids = read_ids(tokens, tokenizer.n_vocab());
  } else if (!trace.empty()) {
    ids = TraceReader::open(trace)->tokens();
    const auto strange = std::ranges::find_if(ids, [&](int32_t id) { return id < 0 || id >= tokenizer.n_vocab(); });
    if (strange != ids.end()) {
      fail({where, fmt::format("token ids in [0, {})", tokenizer.n_vocab()), std::to_string(*strange),
            "name the model it was recorded with by --model"});
    }
  } else {
    const std::string prompt =
        without_first(take_text(given ? text : read_text_file("--prompt-file", file), where), skip_chars, where);
    if (!prompt.empty()) ids = encode(tokenizer, prompt);
    // A chat template that puts the BOS token itself is as it should be.
    if (!ids.empty() && !tokenizer.add_bos(ids) && raw) {
      warn(fmt::format("the prompt begins with {} by itself: the model's BOS token is not put before it again",
                       tokenizer.piece(ids.front(), true)));
    }
  }
  if (ids.empty()) fail_usage({where, "a prompt of at least one token", "an empty one", ""});
  return ids;
}

std::vector<int32_t> PromptOptions::encode_on(const Tokenizer& tokenizer, const std::string& more) const {
  std::vector<int32_t> ids = tokenizer.encode_on(more, !no_parse_special);
  warn_of_lost_bytes(tokenizer, ids, more.size());
  return ids;
}

std::vector<int32_t> PromptOptions::encode(const Tokenizer& tokenizer, const std::string& prompt) const {
  if (raw) {
    std::vector<int32_t> ids = tokenizer.encode(prompt, !no_parse_special);
    warn_of_lost_bytes(tokenizer, ids, prompt.size());
    return ids;
  }
  std::vector<Tokenizer::Message> messages;
  if (system_option_ != nullptr && system_option_->count() > 0) {
    messages.push_back({"system", take_text(system, "--system")});
  }
  messages.push_back({"user", prompt});
  const MarkedText whole = tokenizer.chat(messages, true);
  if (const std::string names = tokenizer.names_put_together(whole, messages); !parse_special && !names.empty()) {
    warn(names);
  }
  std::vector<int32_t> ids = parse_special ? tokenizer.encode(whole.text, true) : tokenizer.encode(whole);
  warn_of_lost_bytes(tokenizer, ids, whole.text.size());
  return ids;
}

void PromptOptions::report(const Tokenizer& tokenizer, std::span<const int32_t> prompt, nlohmann::json& json) const {
  if (!show) return;
  nlohmann::json& list = json["prompt_tokens"] = nlohmann::json::array();
  for (const int32_t id : prompt) {
    list.push_back({{"id", id}, {"text", tokenizer.piece(id, true)}, {"special", is_special(tokenizer, id)}});
  }
}

}  // namespace reattend::cli
