// `reattend perplexity`: how well a model predicts a text, in windows as llama-perplexity takes them, or as one prompt.
#include <algorithm>
#include <chrono>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "cli/command.h"
#include "cli/options/model_options.h"
#include "cli/options/tokenizer_choice.h"
#include "evals/perplexity.h"

namespace reattend::cli {
namespace {

struct Options {
  ModelOptions model;
  TokenizerChoice tokenizer;
  std::string text;
  int32_t window = 2048;
  int32_t tokens = 0;
};

void run(const Options& options, const Globals& globals) {
  using Clock = std::chrono::steady_clock;
  const std::string text = read_text_file("text", options.text);
  const Model model = Model::open(find_model(options.model.model));
  const Tokenizer tokenizer = options.tokenizer.open(model.file());
  std::vector<int32_t> ids = tokenizer.encode(text, false);
  std::vector<int32_t> start;
  tokenizer.add_bos(start);
  const std::optional<int32_t> bos = start.empty() ? std::nullopt : std::optional(start.front());
  if (bos && (ids.empty() || ids.front() != *bos)) ids.insert(ids.begin(), *bos);
  if (options.tokens > 0) ids.resize(std::min(ids.size(), static_cast<size_t>(options.tokens)));
  const auto longest = options.window > 0 ? int64_t{options.window} : static_cast<int64_t>(ids.size());
  if (longest > model.shape().n_ctx_train) {
    print_note("reattend: {} tokens at once are beyond the {} positions the model was trained for\n", longest,
               model.shape().n_ctx_train);
  }
  ThreadPool pool(globals.threads);
  Backend backend = make_backend(options.model.backend(), model, pool);
  const ProgressFn progress = make_progress(globals.progress);
  const auto begin = Clock::now();
  const Perplexity found = options.window > 0
                               ? windowed_perplexity(backend, model, ids, options.window, bos, progress, globals.cancel)
                               : perplexity(backend, model, ids, progress, globals.cancel);
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  if (options.window > 0) ids.resize(ids.size() - ids.size() % static_cast<size_t>(options.window));  // those fed
  if (globals.json) {
    print_out("{}\n", json_text(nlohmann::json{{"model", model.path().string()},
                                               {"text", options.text},
                                               {"tokens", ids.size()},
                                               {"window", options.window},
                                               {"predicted", found.n_predicted},
                                               {"nll", found.nll},
                                               {"nll_error", found.nll_error},
                                               {"perplexity", found.perplexity},
                                               {"seconds", seconds}},
                                2));
    return;
  }
  print_out("perplexity {:.4f} +/- {:.4f}, of {} tokens predicted ({}; {} tokens in {:.1f} s)\n", found.perplexity,
            found.perplexity * found.nll_error, found.n_predicted,
            options.window > 0 ? fmt::format("the second halves of windows of {}", options.window)
                               : std::string("the text is one prompt"),
            ids.size(), seconds);
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  command->add_option("text", options->text, "A text file, plain prose")->required()->type_name("FILE");
  command
      ->add_option("--window", options->window,
                   "Tokens of a piece, each fed as a prompt of its own, whose second half counts (as llama-perplexity "
                   "--ctx-size); 0: the text is one prompt and all of it counts")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 28))
      ->capture_default_str();
  command->add_option("--tokens", options->tokens, "Only the first tokens of the text; 0: all")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 28))
      ->capture_default_str();
  options->model.add_to(*command);
  command->remove_option(command->get_option("--ctx"));  // a window is as long as it is asked to be
  options->model.add_prefill_to(*command);
  command->remove_option(options->tokenizer.add_to(*command, "Text"));  // a text is no chat
  command->footer(
      "Examples:\n  reattend perplexity book.txt\n"
      "  reattend perplexity book.txt --model qwen2.5-coder-0.5b --window 4096 --kv f32 --activations f32 --prefill "
      "f32");
}

}  // namespace

const Command kPerplexity = make_command<Options, add_options, run>(
    "perplexity", "How well a model predicts a text: what caches, activations and prefill products cost");

}  // namespace reattend::cli
