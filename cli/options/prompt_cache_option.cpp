// Adds `--prompt-cache`, and says how a prompt came about: a line for people, three numbers for programs.
#include "cli/options/prompt_cache_option.h"
#include "base/standard_streams.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace reattend::cli {

void PromptCacheOption::add_to(CLI::App& app) {
  CLI::Option* const cache =
      app.add_option("--prompt-cache", file,
                     "Keeps the prefilled prompt between runs: what FILE has of the prompt is loaded, the rest is "
                     "computed and added to it; a file of another prompt, device or type stays as it is. Changes no "
                     "bit of the results")
          ->type_name("FILE")
          ->group("Prompt");
  app.add_flag("--replace-prompt-cache", replace, "Such a file is made anew from this prompt, too")
      ->needs(cache)
      ->group("Prompt");
}

PromptCacheFile PromptCacheOption::cache() const {
  return {.path = file, .replace = replace, .tell = [](const std::string& notice) {
            print_note("reattend: {}\n", notice);
          }};
}

std::string PromptCacheOption::line(const CachedPrefill& made) const {
  const auto n_prompt = static_cast<int32_t>(made.prompt.size());
  const int32_t n_computed = n_prompt - made.n_loaded;
  const double seconds = made.seconds - made.load_seconds;
  const double rate = seconds > 0 ? n_computed / seconds : 0;
  if (made.n_loaded == 0) return fmt::format("prefill  {} tokens  {:.1f} tok/s  {:.2f} s", n_prompt, rate, seconds);
  std::string text =
      fmt::format("prefill  loaded {} tokens from {} in {:.2f} s", made.n_loaded, file, made.load_seconds);
  if (n_computed > 0) text += fmt::format(", computed {} tokens  {:.1f} tok/s  {:.2f} s", n_computed, rate, seconds);
  return text;
}

void PromptCacheOption::report(const CachedPrefill& made, nlohmann::json& json) {
  json["prefill_s"] = made.seconds;
  json["prompt_loaded"] = made.n_loaded;
  json["prompt_load_s"] = made.load_seconds;
}

}  // namespace reattend::cli
