// `reattend record`: generates under a policy (full attention unless told otherwise) and writes the trace.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/options/model_options.h"
#include "cli/options/policy_options.h"
#include "cli/options/prompt_cache_option.h"
#include "cli/options/prompt_options.h"
#include "cli/options/prompt_text.h"
#include "cli/options/recording_options.h"
#include "engine/record/nvtx.h"
#include "engine/record/recording.h"
#include "replay/cost/cost.h"
#include "traces/parts.h"
#include "traces/read/reader.h"

namespace reattend::cli {
namespace {

struct Options {
  ModelOptions model;
  PromptOptions prompt;
  PromptCacheOption prompt_cache;
  PolicyOptions policy;
  SamplerOptions sampler;
  std::string out = "trace.h5";
  StorageOptions storage;
  bool force = false, shadow = false, ignore_end = false, no_values = false, prompt_rows = true, no_calibration = false;
};

/// Where the calibration in a finished trace of full attention is far off its own steps: whoever tunes on it should
/// know. Empty otherwise.
std::string calibration_doubt(const std::string& path, double ms) {
  constexpr int32_t kFewSteps = 16;
  constexpr double kFar = 1.25;
  const TraceInfo info = TraceReader::open(path)->info();
  if (!info.settings.is_full() || info.n_step < kFewSteps || !is_calibrated(info.calibration)) return {};
  const double predicted = predict_ms(info, full_work(info));
  if (predicted < kFar * ms && ms < kFar * predicted) return {};
  return fmt::format(
      "predicts {:.2f} ms/token where the steps took {:.2f}: the machine was busy during one of them. `reattend "
      "calibrate --out FILE` on a quiet one, then `tune --calibration FILE`",
      predicted, ms);
}

void run(const Options& options, const Globals& globals) {
  const Settings settings = options.policy.settings();
  note_without_effect({&settings, 1});
  if (const std::string parts = parts_beside(options.out); !parts.empty()) {
    print_note("reattend: {}: {}\n", options.out, parts);
  }
  const Model model = Model::open(find_model(options.model.model));
  options.prompt.check_model(model);
  options.policy.check_layers(settings, model.shape().n_layer);
  const Tokenizer tokenizer = options.prompt.tokenizer_choice.open(model.file());
  const std::vector<int32_t> prompt = options.prompt.split(tokenizer, globals.json).prompt;
  const StepRange steps = options.storage.range();
  const int32_t n_ctx = options.model.n_ctx(model.shape(), static_cast<int64_t>(prompt.size()), steps.last);
  ThreadPool pool(globals.threads);
  Backend backend = make_backend(options.model.backend(), model, pool);
  Sampler sampler(options.sampler);
  const std::unique_ptr<Observer> ranges = make_nvtx_observer();
  std::vector<Observer*> observers;
  if (ranges) observers.push_back(ranges.get());
  const Recording recording = record_run(backend, model, tokenizer, prompt,
                                         {.path = options.out,
                                          .force = options.force,
                                          .settings = settings,
                                          .shadow = options.shadow,
                                          .stored = options.storage.parts(model.shape()),
                                          .first_step = steps.first,
                                          .last_step = steps.last,
                                          .n_ctx = n_ctx,
                                          .prompt_cache = options.prompt_cache.cache(),
                                          .device = options.model.backend(),
                                          .values = !options.no_values,
                                          .row_sums = options.prompt_rows,
                                          .calibration = !options.no_calibration,
                                          .next_token =
                                              [&](int32_t /*t*/, StepLogits& logits) {
                                                const int32_t id = sampler.sample(logits);
                                                return tokenizer.is_end(id) && !options.ignore_end ? int32_t{-1} : id;
                                              },
                                          .command_line = globals.command_line,
                                          .observers = observers},
                                         pool, make_progress(globals.progress), globals.cancel);

  const size_t n_step = recording.run.tokens.size();
  const auto n_asked = static_cast<size_t>(steps.last - steps.first + 1);
  const bool ended = n_step < n_asked && !globals.cancel.raised();
  const std::string end = fmt::format("the model ended its text after {} of {} steps", n_step, n_asked);
  const auto per_step = [&](double seconds) { return n_step > 0 ? seconds * 1e3 / static_cast<double>(n_step) : 0; };
  const double ms = per_step(recording.run.seconds), wall_ms = per_step(recording.run.wall_seconds);
  const uintmax_t bytes = std::filesystem::file_size(options.out);
  const std::string text = to_utf8(tokenizer.decode(recording.run.tokens)), doubt = calibration_doubt(options.out, ms);
  if (globals.json) {
    nlohmann::json json = {{"trace", options.out},
                           {"bytes", bytes},
                           {"policy", settings.summary()},
                           {"shadow", options.shadow},
                           {"n_prompt", recording.prefilled.prompt.size()},
                           {"n_step", n_step},
                           {"ms_per_token", ms},
                           {"wall_ms_per_token", wall_ms},
                           {"logits_hash", fmt::format("{:016x}", recording.run.logits_hash)},
                           {"stopped", globals.cancel.raised()},
                           {"ended", ended},
                           {"text", text}};
    if (!recording.uncalibrated.empty()) json["uncalibrated"] = recording.uncalibrated;
    if (!doubt.empty()) json["calibration_doubt"] = doubt;
    PromptCacheOption::report(recording.prefilled, json);
    options.prompt.report(tokenizer, prompt, json);
    print_out("{}\n", json_text(json));
  } else {
    print_out("{}\n", text);
    flush_out();
    print_note(
        "\n{}\nrecord   {} steps under {}  {:.2f} ms/token, {:.2f} with what recording adds (+{:.0f} %)\n"
        "trace    {}  {:.1f} MB{}\n",
        options.prompt_cache.line(recording.prefilled), n_step, settings.summary(), ms, wall_ms,
        ms > 0 ? 100 * (wall_ms / ms - 1) : 0, options.out, static_cast<double>(bytes) / 1e6,
        globals.cancel.raised() ? "  (stopped early; finished steps are in it)" : "");
    if (!recording.uncalibrated.empty()) print_note("calibration  {}\n", recording.uncalibrated);
    if (!doubt.empty()) print_note("calibration  {}\n", doubt);
  }
  if (globals.cancel.raised()) throw Cancelled{};
  if (!ended) return;
  if (n_step == 0) {
    fail({.where = options.out,
          .expected = "at least one decode step",
          .got = "none: " + end,
          .remedy = "--ignore-end goes on; the trace holds the prompt alone"});
  }
  print_note("reattend: {}: {}; --ignore-end goes on\n", options.out, end);
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  options->model.add_to(*command);
  options->prompt.add_to(*command);
  options->prompt_cache.add_to(*command);
  add_sampler_options(*command, options->sampler);
  options->policy.add_to(*command);
  options->storage.add_to(*command);
  command->add_option("--out,-o", options->out, "Trace to write")->type_name("FILE")->capture_default_str();
  command->add_flag("--force", options->force, "Replace an existing trace");
  command->add_flag("--shadow", options->shadow, "The policy decides and is recorded, the output stays full attention");
  command->add_flag("--ignore-end", options->ignore_end, "Go on after the end-of-text token");
  command->add_flag("--no-values", options->no_values,
                    "Leave the values out: a smaller file, but no output error in a replay");
  CLI::Option* const rows = command->add_flag_callback(
      "--prompt-rows", [options] { options->prompt_rows = true; },
      "Store the sums of the prompt's attention rows, which a replay of h2o starts from (the default)");
  command
      ->add_flag_callback(
          "--no-prompt-rows", [options] { options->prompt_rows = false; },
          "Leave them out: saves about as much time as the prompt's attention takes")
      ->excludes(rows);
  command->add_flag("--no-calibration", options->no_calibration,
                    "Do not time this machine first; a replay then predicts no ms/token");
  command->footer(
      "Examples:\n"
      "  reattend record --prompt-file book.txt --raw --steps 256 --out trace.h5\n"
      "  reattend record --prompt-file book.txt --raw --policy recycled --stride 16 --budget 512 --out recycled.h5\n"
      "  reattend record --prompt-file book.txt --raw --steps 200:263 --layers 0,14 --maps dense --out close.h5\n"
      "  reattend record --prompt-file book.txt --raw --policy recycled --measure sampled:32 --out long.h5\n\n"
      "Ctrl-C ends the run; finished steps stay readable, also after a kill. Watch a trace grow with `reattend view`.");
}

}  // namespace

const Command kRecord =
    make_command<Options, add_options, run>("record", "Generate under a policy and write an HDF5 trace");

}  // namespace reattend::cli
