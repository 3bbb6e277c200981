// Options of model, device, prompt and sampler, and their checks.
#include "cli/model_options.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/standard_streams.h"

namespace reattend::cli {
namespace {

namespace fs = std::filesystem;

/// Texts beyond this are not prompts: a million tokens of English are 5 MB.
constexpr uintmax_t kLongestPrompt = uintmax_t{64} << 20;

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
      fail({fmt::format("{}: entry {}", where, ids.size()), fmt::format("a token id in [0, {})", n_vocab), id.dump(),
            ""});
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

/// A text behind its first n characters. Bytes that are no UTF-8 are replaced and count as one.
std::string without_first(const std::string& bytes, const int64_t n, const std::string& where) {
  const std::string text = to_utf8(bytes);
  int64_t begun = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    begun += (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80 ? 1 : 0;
    if (begun > n) return text.substr(at);
  }
  fail({"--skip-chars", fmt::format("less than the {} characters of {}", begun, where), std::to_string(n), ""});
}

template <class T>
T one_of(const std::string& option, const std::string& value, const std::string& first, T first_value,
         const std::string& second, T second_value) {
  if (value == first) return first_value;
  if (value == second) return second_value;
  fail_usage({option, first + " or " + second, "'" + value + "'", ""});
}

KvType kv_type(const std::string& name) {
  std::string names;
  for (const KvType type : kKvTypes) {
    if (name == name_of(type)) return type;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name_of(type));
  }
  fail_usage({"--kv", "one of " + names, "'" + name + "'", ""});
}

/// An option whose number must lie in [low, high]; its value now is the default that the help tells.
template <class T>
void add_number(CLI::App& app, const std::string& name, T& target, const double low, const double high,
                const std::string& help) {
  app.add_option_function<double>(
         name,
         [&target, name, low, high](const double value) {
           if (!(value >= low && value <= high) || (std::is_integral_v<T> && value != std::floor(value))) {
             fail_usage({name,
                         fmt::format("{} in [{}, {}]", std::is_integral_v<T> ? "an integer" : "a number", low, high),
                         fmt::format("{}", value), ""});
           }
           target = static_cast<T>(value);
         },
         fmt::format("{} [{}]", help, target))
      ->type_name(std::is_integral_v<T> ? "N" : "X");
}

}  // namespace

fs::path model_store() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return fs::path(cache) / "reattend";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return fs::path(home) / ".cache" / "reattend";
  fail({"model store", "$HOME or $XDG_CACHE_HOME in the environment", "neither", "set one, or give --model a path"});
}

fs::path find_model(const std::string& model) {
  std::error_code error;
  fs::path given(model);
  if (fs::is_directory(given, error)) fail_usage({model, "a file", "a folder", ""});
  if (fs::exists(given, error)) return given;
  if (given.has_parent_path()) fail({model, "a file", "no such file", ""});
  fs::path stored = model_store() / given;
  if (fs::exists(stored, error)) return stored;
  fail({model, "a file here or in " + model_store().string(), "no such file",
        model == kDefaultModel ? "run `reattend get-model` first" : "check the path"});
}

void ModelOptions::add_to(CLI::App& app) {
  const std::string group = "Model";
  app.add_option("--model", model, "GGUF file: a path, or a name in the model store (~/.cache/reattend)")
      ->type_name("FILE")
      ->capture_default_str()
      ->group(group);
  app.add_option("--device", device, "cpu (fast) or reference (double precision, slow, judges the others)")
      ->type_name("NAME")
      ->capture_default_str()
      ->group(group);
  app.add_option("--kv", kv, "Keys and values in the cache: f32, f16, bf16, or q8 (int8 and a scale for each 32)")
      ->type_name("TYPE")
      ->capture_default_str()
      ->group(group);
  app.add_option("--activations", activations, "Activations in products with quantised weights: q8 or f32")
      ->type_name("TYPE")
      ->capture_default_str()
      ->group(group);
  app.add_option("--ctx", ctx, "Positions the cache has room for; 0: what the model was trained for")
      ->type_name("N")
      ->capture_default_str()
      ->group(group);
}

BackendOptions ModelOptions::backend() const {
  bool known = false;
  std::string names;
  for (const std::string_view name : backend_names()) {
    known = known || name == device;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
  }
  if (!known) fail_usage({"--device", "one of " + names, "'" + device + "'", ""});
  return {
      .device = device,
      .kv = kv_type(kv),
      .activations = one_of("--activations", activations, "q8", cpu::Activations::q8, "f32", cpu::Activations::f32)};
}

int32_t ModelOptions::n_ctx(const ModelShape& shape, const int64_t n_prompt, const int64_t n_step) const {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max() / 2;
  if (ctx < 0 || ctx > kMost) fail_usage({"--ctx", fmt::format("0 to {}", kMost), std::to_string(ctx), ""});
  if (n_step < 0 || n_step > kMost) fail_usage({"--steps", fmt::format("0 to {}", kMost), std::to_string(n_step), ""});
  const int64_t room = ctx > 0 ? ctx : shape.n_ctx_train;
  if (n_prompt + n_step > room) {
    fail({"prompt and steps", fmt::format("at most {} positions ({})", room, ctx > 0 ? "--ctx" : "the model's context"),
          fmt::format("{} tokens of prompt + {} steps", n_prompt, n_step),
          "shorten the prompt, ask for fewer --steps" + std::string(ctx > 0 ? ", or raise --ctx" : ", or give --ctx")});
  }
  if (ctx > shape.n_ctx_train) {
    print_note("reattend: warning: --ctx {} is beyond the {} positions the model was trained for; expect worse text\n",
               ctx, shape.n_ctx_train);
  }
  return static_cast<int32_t>(n_prompt + n_step);
}

std::string read_text_file(const std::string& option, const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) fail_usage({option + " " + path, "a file", "a folder", ""});
  std::ifstream in(path, std::ios::binary);
  if (!in)
    fail({option + " " + path, "a readable file", fs::exists(path, error) ? "one that can't be opened" : "no such file",
          ""});
  std::string text;
  std::vector<char> buffer(size_t{1} << 16);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    text.append(buffer.data(), static_cast<size_t>(in.gcount()));
    if (text.size() > kLongestPrompt) {
      fail({option + " " + path, fmt::format("at most {} bytes", kLongestPrompt), "more", "give a shorter prompt"});
    }
  }
  return text;
}

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
  tokens_option->excludes(text_option)->excludes(file_option);
  app.add_option("--system", system, "System message of the chat")->type_name("TEXT")->group(group);
  CLI::Option* const chat_option =
      app.add_flag("--chat", chat, "Put the prompt into the model's chat template (the default)")->group(group);
  app.add_flag("--raw", raw, "Continue the prompt's text as it stands")->excludes(chat_option)->group(group);
  app.add_option("--skip-chars", skip_chars, "Leave out that many characters at the text's beginning")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 30))
      ->group(group);
  app.add_option("--context", context, "Only the first N tokens are the prompt (with --raw or --prompt-tokens)")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 30))
      ->group(group);
  text_option_ = text_option;
}

PromptOptions::Split PromptOptions::split(const Tokenizer& tokenizer) const {
  if (context > 0 && !raw && tokens.empty()) {
    fail_usage({"--context", "--raw or --prompt-tokens: a chat can't be cut", "a chat prompt", "add --raw"});
  }
  if (skip_chars > 0 && !tokens.empty()) {
    fail_usage({"--skip-chars", "a prompt that is text", "--prompt-tokens", "leave one of them out"});
  }
  std::vector<int32_t> ids = read_all(tokenizer);
  if (context == 0) return {std::move(ids), {}};
  if (static_cast<int64_t>(ids.size()) < context) {
    fail({"--context", fmt::format("at most {} (the text's tokens)", ids.size()), std::to_string(context),
          "give a longer text, or skip less of it"});
  }
  const auto end = ids.begin() + static_cast<std::ptrdiff_t>(context);
  return {{ids.begin(), end}, {end, ids.end()}};
}

std::vector<int32_t> PromptOptions::read_all(const Tokenizer& tokenizer) const {
  const bool given = text_option_ != nullptr && text_option_->count() > 0;
  if (!given && file.empty() && tokens.empty()) {
    fail_usage({"prompt", "--prompt, --prompt-file or --prompt-tokens", "none of them", ""});
  }
  if (raw && !system.empty())
    fail_usage({"--system", "a chat prompt", "--raw, which has no messages", "leave one of them out"});
  const std::string where = given ? "--prompt" : !file.empty() ? "--prompt-file " + file : "--prompt-tokens " + tokens;
  const auto fail_empty = [&where] { fail_usage({where, "a prompt of at least one token", "an empty one", ""}); };
  std::vector<int32_t> ids;
  if (!tokens.empty()) {
    ids = read_ids(tokens, tokenizer.n_vocab());
  } else {
    std::string prompt = given ? text : read_text_file("--prompt-file", file);
    if (prompt.empty()) fail_empty();
    if (skip_chars > 0 || context > 0) prompt = without_first(prompt, skip_chars, where);
    if (raw) {
      ids = tokenizer.encode(prompt, true);
    } else {
      std::vector<Tokenizer::Message> messages;
      if (!system.empty()) messages.push_back({"system", system});
      messages.push_back({"user", prompt});
      ids = tokenizer.encode(tokenizer.chat(messages, true), true);
    }
  }
  if (ids.empty()) fail_empty();
  return ids;
}

void add_sampler_options(CLI::App& app, SamplerOptions& options) {
  add_number(app, "--temperature", options.temperature, 0, 100, "Of sampling; 0: always the likeliest token");
  add_number(app, "--top-k", options.top_k, 0, 1 << 24, "Sample among the k likeliest; 0: all");
  add_number(app, "--top-p", options.top_p, 0, 1, "Sample among the likeliest that together hold this probability");
  add_number(app, "--seed", options.seed, 0, 9007199254740992.0, "The same seed gives the same text");
}

}  // namespace reattend::cli
