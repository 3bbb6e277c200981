// `reattend compare`: policies beside full attention on one prompt and one continuation, from one prefill.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "cli/command.h"
#include "cli/options/model_options.h"
#include "cli/options/next_token.h"
#include "cli/options/policy_options.h"
#include "cli/options/prompt_cache_option.h"
#include "cli/options/prompt_options.h"
#include "cli/options/prompt_text.h"
#include "cli/reports/compare.h"
#include "evals/compare.h"
#include "policies/policy_list.h"
#include "report/chart_file.h"
#include "traces/read/fingerprint.h"
#include "tune/settings_file.h"

namespace reattend::cli {
namespace {

struct Options {
  ModelOptions model;
  PromptOptions prompt;
  PromptCacheOption prompt_cache;
  SamplerOptions sampler{.temperature = 0.8F, .top_k = 40, .top_p = 0.95F, .seed = 1};
  std::string policies, continuation, csv, csv_steps, chart;
  std::vector<std::string> settings;
  ParameterValues given;
  int64_t steps = 128;
  int32_t repeats = 3;
  bool no_mass = false, force = false;
};

/// The policies that were asked for; all where none was. Settings files stand as they are.
std::vector<Settings> listed_policies(const Options& options) {
  ParameterValues common = options.given;
  common.emplace("K", std::string("L/8"));  // on equal terms unless somebody says otherwise
  const bool all = options.policies.empty() && options.settings.empty();
  std::vector<Settings> out = all                        ? all_policies(common)
                              : options.policies.empty() ? std::vector<Settings>{}
                                                         : parse_policies(options.policies, common);
  check_taken(options.given, out);
  for (const std::string& file : options.settings) out.push_back(Settings::from_toml_file(file));
  std::erase_if(out, [](const Settings& each) { return each.is_full(); });
  for (size_t i = 0; i < out.size(); ++i) {
    if (std::find(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(i), out[i]) ==
        out.begin() + static_cast<std::ptrdiff_t>(i)) {
      continue;
    }
    fail_usage({.where = "--policies",
                .expected = "entries that differ",
                .got = fmt::format("\"{}\" twice", out[i].summary())});
  }
  return out;
}

/// Refuses what does not fit the model or the prompt before any work is done; of a list that nobody wrote, such a
/// policy is left out.
void check_policies(std::vector<Settings>& policies, bool chosen, const ModelShape& shape, int32_t n_prompt) {
  const RunShape run = run_shape(shape, n_prompt);
  std::erase_if(policies, [&](const Settings& each) {
    try {
      make_policy(each, run);
      return false;
    } catch (const Error& error) {
      if (chosen) throw Error(fmt::format("{}: {}", each.summary(), error.what()), error.code());
      print_note("reattend: left out: {}: {}\n", each.summary(), error.what());
      return true;
    }
  });
  if (!chosen && policies.empty()) {
    fail_usage({"policies", "at least one that can have these values", "none", "the lines above say why"});
  }
  note_where_nothing_acts(policies, run);
  note_without_effect(policies);
}

/// Tokens that everybody is forced along, and where they come from. Empty: full attention's own, yet to be made.
struct Continuation {
  std::vector<int32_t> tokens;
  std::string from;
};
Continuation read_continuation(const Options& options, const Tokenizer& tokenizer, std::vector<int32_t> rest) {
  const bool goes_on = options.prompt.context > 0 || !options.prompt.trace.empty();
  if (!goes_on && options.continuation.empty()) {
    const SamplerOptions& s = options.sampler;
    return {{},
            s.temperature > 0
                ? fmt::format("full attention's own continuation (temperature {}, seed {})", s.temperature, s.seed)
                : "full attention's own greedy continuation"};
  }
  const std::string& trace = options.prompt.trace;
  Continuation out = {std::move(rest),
                      trace.empty() ? std::string("the text's own continuation") : "what was recorded in " + trace};
  std::string where = trace.empty() ? std::string("the text behind --context") : "--prompt-trace " + trace;
  if (!options.continuation.empty()) {
    if (goes_on) {
      fail_usage({"--continuation", "no --context and no --prompt-trace, whose text goes on by itself", "both",
                  "leave one of them out"});
    }
    where = "--continuation " + options.continuation, out.from = options.continuation;
    out.tokens =
        options.prompt.encode_on(tokenizer, take_text(read_text_file("--continuation", options.continuation), where));
  }
  const auto needed = static_cast<size_t>(options.steps) + 1;
  if (out.tokens.size() < needed) {
    fail({where, fmt::format("{} tokens ({} steps, and one to predict)", needed, options.steps),
          std::to_string(out.tokens.size()),
          out.tokens.size() < 2 ? "give a longer text"
                                : fmt::format("ask for --steps {} or fewer", out.tokens.size() - 1)});
  }
  out.tokens.resize(needed);
  return out;
}

void check_files(const Options& options) {
  const std::pair<const char*, const std::string&> files[] = {
      {"--csv", options.csv}, {"--csv-steps", options.csv_steps}, {"--chart", options.chart}};
  for (const auto& [option, path] : files) {
    if (path.empty()) continue;
    if (option == std::string_view("--chart")) {
      check_chart_path(path, options.force, option);
    } else {
      refuse_to_replace_by_text(path, options.force, option);
      check_folder_of(path, option);
    }
    for (const auto& [other, same] : files) {
      if (option != other && path == same) fail_usage({option, "a file of its own", fmt::format("that of {}", other)});
    }
  }
}

void run(const Options& options, const Globals& globals) {
  check_files(options);
  std::vector<Settings> policies = listed_policies(options);
  const BackendOptions device = options.model.backend();
  const Model model = Model::open(find_model(options.model.model));
  options.prompt.check_model(model);
  const ModelShape& shape = model.shape();
  const Tokenizer tokenizer = options.prompt.tokenizer_choice.open(model.file());
  PromptOptions::Split text = options.prompt.split(tokenizer, globals.json);
  const Continuation continuation = read_continuation(options, tokenizer, std::move(text.rest));
  const auto n_prompt = static_cast<int32_t>(text.prompt.size());
  const int32_t n_ctx = options.model.n_ctx(shape, n_prompt, options.steps);
  check_policies(policies, !options.policies.empty() || !options.settings.empty(), shape, n_prompt);

  ThreadPool pool(globals.threads);
  Backend backend = make_backend(device, model, pool);
  const ProgressFn progress = make_progress(globals.progress);
  const CachedPrefill prefilled = prefill_cached(backend, model, text.prompt,
                                                 {.n_ctx = n_ctx,
                                                  .needs = needs_of(policies, shape, backend.kv, n_prompt, n_ctx),
                                                  .progress = progress,
                                                  .cancel = globals.cancel},
                                                 options.prompt_cache.cache());
  NextToken own(tokenizer, options.sampler);
  const NextTokenFn next_token = continuation.tokens.empty()
                                     ? [&own](int32_t, StepLogits& logits) { return own(logits); }
                                     : follow(continuation.tokens);
  const ReferenceRun full = run_reference(backend, model, prefilled, static_cast<int32_t>(options.steps), next_token,
                                          progress, globals.cancel);
  const CompareReport report = {
      .model = model.path().filename().string(),
      .device = options.model.device,
      .along = continuation.from,
      .threads = pool.n_thread(),
      .n_prompt = n_prompt,
      .n_step = full.n_step,
      .repeats = options.repeats,
      .prefill = options.prompt_cache.line(prefilled),
      .compared = compare(
          backend, model, prefilled, full, policies,
          {.repeats = options.repeats, .mass = !options.no_mass, .progress = progress, .cancel = globals.cancel})};
  if (globals.json) {
    nlohmann::json json = to_json(report);
    PromptCacheOption::report(prefilled, json);
    options.prompt.report(tokenizer, text.prompt, json);
    if (!options.prompt.trace.empty()) {
      json["trace"] = options.prompt.trace;
      json["fingerprint"] = fingerprint(*TraceReader::open(options.prompt.trace));
    }
    print_out("{}\n", json_text(json));
  } else {
    print_out("{}", to_text(report));
  }
  if (!options.csv.empty()) write_text_file(options.csv, to_csv(report), options.force);
  if (!options.csv_steps.empty()) write_text_file(options.csv_steps, steps_to_csv(report), options.force);
  if (!options.chart.empty()) write_chart(to_chart(report), options.chart, options.force);
  if (report.compared.stopped) throw Cancelled{};
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  options->model.add_to(*command);
  options->model.add_prefill_to(*command);
  options->prompt.add_to(*command);
  options->prompt_cache.add_to(*command);
  command
      ->add_option("--continuation", options->continuation,
                   "Text that all are forced along; with --context and --prompt-trace it is what follows in the text, "
                   "otherwise what full attention writes")
      ->type_name("FILE");
  command->add_option("--steps,-n", options->steps, "Decode steps")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  command
      ->add_option("--policies", options->policies,
                   "NAME[:KEY=VALUE...], parted by commas; all policies if neither this nor --settings is given")
      ->type_name("LIST");
  command->add_option("--settings", options->settings, "Settings file of one more policy; may be repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command->add_option("--repeats", options->repeats, "Rounds of interleaved timing; 0: no times")
      ->type_name("N")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->add_flag("--no-mass", options->no_mass, "Do not measure recovered mass (most of the work)");
  command->add_option("--csv", options->csv, "Write a row for each policy")->type_name("FILE");
  command->add_option("--csv-steps", options->csv_steps, "Write a row for each policy and step")->type_name("FILE");
  command->add_option("--chart", options->chart, "Draw KL by generated position and against time")
      ->type_name("FILE.svg|png");
  command->add_flag("--force", options->force, "Replace files that exist");
  add_sampler_options(*command, options->sampler);
  add_parameter_options(*command, options->given);
  command->footer(
      "Examples:\n"
      "  reattend compare --prompt-file book.txt --raw --skip-chars 200000 --context 3000 --steps 48\n"
      "  reattend compare --prompt-file book.txt --raw --policies recycled:S=5,recycled:S=10:pool=1,h2o --budget 256\n"
      "  reattend compare --prompt \"Tell me a story.\" --settings out/reattend.toml --chart compare.svg\n"
      "  reattend compare --prompt-trace trace.h5 --steps 128 --policies recycled:S=8,h2o,snapkv\n\n"
      "Parameters given as options go to every listed policy that takes them; an entry's own KEY=VALUE goes first.\n"
      "Without --budget every policy gets K = L/8. Without --context or --continuation the text is full attention's\n"
      "own (temperature 0.8, top-k 40, top-p 0.95, seed 1).");
}

}  // namespace

const Command kCompare = make_command<Options, add_options, run>(
    "compare", "Policies beside full attention on one continuation: KL, mass, time");

}  // namespace reattend::cli
