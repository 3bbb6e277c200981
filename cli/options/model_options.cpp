// Adds the options of model, device and sampler, and checks them.
#include "cli/options/model_options.h"

#include <cmath>
#include <fstream>
#include <limits>

#include <fmt/format.h>

#include "base/error.h"
#include "base/standard_streams.h"
#include "base/utf8.h"
#include "cli/options/model_catalogue.h"
#include "cli/options/warn.h"

namespace reattend::cli {
namespace {

namespace fs = std::filesystem;

/// Texts beyond this are neither prompts nor templates: a million tokens of English are 5 MB.
constexpr uintmax_t kLongestText = uintmax_t{64} << 20;

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

fs::path find_model(const std::string& model) {
  std::error_code error;
  fs::path given(model);
  if (fs::is_directory(given, error)) fail_usage({model, "a file", "a folder", ""});
  if (fs::exists(given, error)) return given;
  if (given.has_parent_path()) fail({model, "a file", "no such file", ""});
  const CatalogueModel* const known = find_in_catalogue(model);
  fs::path stored = model_store() / (known != nullptr ? fs::path(known->file) : given);
  if (fs::exists(stored, error)) return stored;
  const bool is_default = known == &model_catalogue().front();
  fail({model, "a file here or in " + model_store().string(), "no such file",
        known == nullptr ? "check the path"
                         : fmt::format("run `reattend get-model{}` first",
                                       is_default ? std::string() : " " + std::string(known->name))});
}

void ModelOptions::add_to(CLI::App& app) {
  const std::string group = "Model";
  app.add_option("--model", model,
                 "GGUF file: a path, or a name in the model store (~/.cache/reattend) or of get-model --list")
      ->type_name("FILE")
      ->capture_default_str()
      ->group(group);
  app.add_option("--device", device, devices_help())->type_name("NAME")->capture_default_str()->group(group);
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

void ModelOptions::add_prefill_to(CLI::App& app) {
  prefill.clear();
  app.add_option("--prefill", prefill,
                 "Products of a prompt's attention: f32, or bf16 (twice as fast, on CPUs with AVX512-BF16) [bf16 where "
                 "it is there]")
      ->type_name("TYPE")
      ->group("Model");
}

BackendOptions ModelOptions::backend() const {
  const DeviceInfo& on = device_of(device);
  return {.device = std::string(on.name),
          .kv = kv_type(kv),
          .activations = one_of("--activations", activations, "q8", Activations::q8, "f32", Activations::f32),
          .prefill = prefill.empty()
                         ? on.prefill()
                         : one_of("--prefill", prefill, "f32", PromptProducts::f32, "bf16", PromptProducts::bf16)};
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
    warn(fmt::format("--ctx {} is beyond the {} positions the model was trained for; expect worse text", ctx,
                     shape.n_ctx_train));
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
    if (text.size() > kLongestText) {
      fail({option + " " + path, fmt::format("at most {} bytes", kLongestText), "more", "give a shorter text"});
    }
  }
  return text;
}

void add_sampler_options(CLI::App& app, SamplerOptions& options) {
  add_number(app, "--temperature", options.temperature, 0, 100, "Of sampling; 0: always the likeliest token");
  add_number(app, "--top-k", options.top_k, 0, 1 << 24, "Sample among the k likeliest; 0: all");
  add_number(app, "--top-p", options.top_p, 0, 1, "Sample among the likeliest that together hold this probability");
  add_number(app, "--seed", options.seed, 0, 9007199254740992.0, "The same seed gives the same text");
}

}  // namespace reattend::cli
