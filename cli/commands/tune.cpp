// `reattend tune`: sweeps a trace, shows the Pareto front and writes the recommended settings with their evidence.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "cli/command.h"
#include "cli/options/calibration_option.h"
#include "cli/options/engine_options.h"
#include "cli/options/grid_options.h"
#include "cli/options/memory_option.h"
#include "cli/options/old_names.h"
#include "cli/options/tune_inputs.h"
#include "cli/reports/tune.h"
#include "cli/reports/tune_words.h"
#include "evals/tune_engines.h"
#include "replay/estimates.h"
#include "traces/read/fingerprint.h"
#include "tune/settings_file.h"
#include "tune/tune.h"

namespace reattend::cli {
namespace {

struct Options {
  std::string out = "reattend.toml", estimate, report;
  std::vector<std::string> traces, verified, held_out;
  bool force = false;
  std::optional<int> measure;
  int schedules = TuneOptions().n_schedule;
  TuneBounds bounds;
  GridOptions grid;
  MemoryOption memory;
  EngineOptions engine;
  CalibrationOption calibration;
};

void check(const Options& options) {
  check_bounds(options.bounds);
  if (!options.estimate.empty()) estimate_named(options.estimate, "--estimate");
  if (options.bounds.min_agreement && options.engine.model.empty()) {
    fail_usage({"--min-agreement", "a --model to measure it with", "none", "a replay knows no agreement"});
  }
  options.calibration.check();
  refuse_to_replace_by_text(options.out, options.force);
  check_folder_of(options.out, "--out");
  if (options.report.empty()) return;
  const auto plain = [](const std::string& path) { return std::filesystem::absolute(path).lexically_normal(); };
  check_document_path(options.report, tune_charts(), options.force, "--report");
  for (const std::filesystem::path& file : document_files(options.report, tune_charts())) {
    if (plain(file) != plain(options.out)) continue;
    fail_usage({"--out", "another file than those of --report", options.out, "name one of them otherwise"});
  }
}

void write_report(const Options& options, const TuneResult& result, const TuneTimes& times, const Globals& globals) {
  const TuneReport report = {.tuned = result,
                             .settings_file = options.out,
                             .times_from = times.text,
                             .datasheet = times.datasheet,
                             .verified = options.verified,
                             .version = REATTEND_VERSION,
                             .command_line = globals.command_line};
  write_document(tune_document(report), options.report, options.force);
}

void warn_of(const TraceInfo& info, bool tuned_on) {
  const std::string path = info.path.string();
  if (!info.warning.empty()) print_note("reattend: {}: {}\n", path, info.warning);
  if (!tuned_on || info.is_of_full_attention()) return;
  print_note(
      "reattend: {}: recorded under {}, whose errors are in its queries and keys; a full-attention trace tunes "
      "better\n",
      path, info.policy_text());
}

/// Each trace's share of the memory that one would have.
std::vector<std::unique_ptr<Replayer>> make_replayers(std::span<const std::shared_ptr<TraceReader>> traces,  // [n]
                                                      ThreadPool& pool, int64_t memory) {
  std::vector<std::unique_ptr<Replayer>> replayers;
  for (const std::shared_ptr<TraceReader>& trace : traces) {
    replayers.push_back(std::make_unique<Replayer>(trace, pool, memory / static_cast<int64_t>(traces.size())));
  }
  return replayers;
}

TuneResult tune_traces(const Options& options, const TuneOptions& what, const Traces& traces, ThreadPool& pool,
                       const Globals& globals) {
  const ProgressFn progress = make_progress(globals.progress);
  const size_t n_tuned = options.traces.size();
  std::optional<TuneEngines> engines;
  if (!options.engine.model.empty()) {
    std::vector<const TraceInfo*> infos;
    for (const std::shared_ptr<TraceReader>& each : traces) infos.push_back(&each->info());
    engines.emplace(options.engine.traced(), traces, make_grid(what.grid, infos).settings, pool, progress,
                    globals.cancel);
  }
  const auto measure = [&](const Settings& settings, size_t trace) { return engines->measure(settings, trace); };
  std::vector<std::unique_ptr<Replayer>> replayers =
      make_replayers(std::span(traces).first(n_tuned), pool, options.memory.bytes());
  std::vector<Replayer*> tuned_on;
  for (const std::unique_ptr<Replayer>& each : replayers) tuned_on.push_back(each.get());
  TuneResult result = tune(tuned_on, what, engines ? MeasureFn(measure) : MeasureFn(), progress, globals.cancel);
  replayers.clear();
  for (size_t i = n_tuned; i < traces.size(); ++i) {
    Replayer replayer(traces[i], pool, options.memory.bytes());
    std::function<Score(const Settings&)> measure_there;
    if (engines) measure_there = [&](const Settings& settings) { return measure(settings, i); };
    const auto& other = what.calibrations;
    hold_out(result, replayer, other.empty() ? std::nullopt : std::optional(other[i]), measure_there, progress,
             globals.cancel);
  }
  return result;
}

void run(const Options& options, const Globals& globals) {
  TuneOptions what = {.grid = options.grid.grid(),
                      .bounds = options.bounds,
                      .estimate = options.estimate,
                      .verified = {},
                      .n_measure = options.measure,
                      .n_schedule = options.schedules};
  check(options);
  const size_t n_tuned = options.traces.size();
  const Traces traces = open_traces(options.traces, options.held_out);
  const auto tuned_on = std::span(traces).first(n_tuned);
  // `verify` predicts with the trace's own calibration: its ratio says nothing of times by another one.
  what.verified = read_verified(options.verified, tuned_on, !options.calibration.given());
  std::vector<const TraceInfo*> infos;
  for (const std::shared_ptr<TraceReader>& each : tuned_on) infos.push_back(&each->info());
  for (size_t i = n_tuned; i < traces.size(); ++i) check_held_out(traces[i]->info(), infos, what);
  options.grid.check_layers(what.grid, traces.front()->info().n_layer);
  for (size_t i = 0; i < traces.size(); ++i) warn_of(traces[i]->info(), i < n_tuned);
  ThreadPool pool(globals.threads);
  const TuneTimes times = tune_times(options.calibration, traces, n_tuned, options.engine.device, pool.n_thread());
  what.calibrations = times.calibrations, what.other_machine = times.other_machine;
  const TuneResult result = tune_traces(options, what, traces, pool, globals);
  for (const std::string& line : left_out_in_words(result.left_out)) print_note("reattend: left out: {}\n", line);
  write_text_file(options.out, settings_file(result, {.reason = reason_in_words(result), .times_from = times.text}),
                  options.force);
  if (globals.json) {
    nlohmann::json json = to_json(result);
    add_old_key(json, "held_out", "validation");
    json["times"] = times.json;
    for (size_t i = 0; i < n_tuned; ++i) json["traces"][i]["fingerprint"] = fingerprint(*traces[i]);
    json["settings_file"] = options.out;
    if (!options.report.empty()) json["report"] = options.report;
    print_out("{}\n", json_text(json, 2));
  } else {
    print_out("{}times: {}\nwritten to {}\n", to_text(result), times.text, options.out);
  }
  if (options.report.empty()) return;
  write_report(options, result, times, globals);  // last: what was found has been printed if this fails
  if (!globals.json) print_out("report in {}\n", options.report);
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  command
      ->add_option("traces", options->traces,
                   "Traces of full-attention runs of one model; with several, bounds hold on each of them")
      ->required()
      ->type_name("TRACE");
  command->add_option("--out,-o", options->out, "Settings file to write")->type_name("FILE")->capture_default_str();
  command->add_flag("--force", options->force, "Replace --out and --report if they exist");
  command
      ->add_option("--report", options->report,
                   "Also write a report: FILE.html (one page with its charts) or FILE.md (charts beside it)")
      ->type_name("FILE");
  const auto bound = [&](const char* name, std::optional<double>& target, const char* help) {
    command->add_option(name, target, help)->type_name("NUMBER")->group("Bounds");
  };
  command
      ->add_option("--max-kl", options->bounds.max_kl,
                   "Bound on the mean KL to full attention, nats: predicted where this model was studied, and measured")
      ->type_name("NUMBER")
      ->capture_default_str()
      ->group("Bounds");
  bound("--max-ms", options->bounds.max_ms,
        "Bound on ms/token: predicted, and measured (only the latter where a trace has no calibration)");
  bound("--min-agreement", options->bounds.min_agreement, "Bound on top-1 agreement, measured (needs --model)");
  bound("--max-lost-mass", options->bounds.max_lost_mass,
        "Bound on the mean lost attention mass (0.1 where no KL can be predicted)");
  bound("--max-output-error", options->bounds.max_output_error,
        "Bound on the 95th percentile of relative output error (0.5 where no KL can be predicted)");
  command->add_option("--estimate", options->estimate, "What settings are ranked by [the tuner's in docs/study.md]")
      ->type_name("NAME");
  options->calibration.add_to(*command);
  options->memory.add_to(*command);
  command
      ->add_option(
          "--verified", options->verified,
          "What `reattend verify --out` found: corrects KL, and times by the same trace's own calibration; may be "
          "repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  CLI::Option* const held_out =
      command
          ->add_option("--held-out", options->held_out,
                       "A trace to try the choice on that it was not tuned on; may be repeated")
          ->type_name("TRACE")
          ->allow_extra_args(false);
  add_old_name(*command, *held_out, "--validate");
  command
      ->add_option(
          "--measure", options->measure,
          "Candidates that are measured in the engine, with --model (default 3; of several policies the best of each)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command
      ->add_option("--schedules", options->schedules,
                   "Schedules that give each layer a budget and, where the policy has one, a stride of its own, tried "
                   "at most of "
                   "each policy; 0: none")
      ->type_name("N")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  options->engine.add_to(*command, "none: nothing is measured");
  options->engine.prompt_cache.add_to(*command);
  for (const char* const of_engine : {"--device", "--prompt-cache"}) {
    command->get_option(of_engine)->needs(command->get_option("--model"));
  }
  options->grid.add_to(*command);
  command->footer(
      "Examples:\n"
      "  reattend tune trace.h5\n"
      "  reattend tune trace.h5 --model SmolLM2-135M-Instruct.Q4_1.gguf --max-kl 0.05 --out careful.toml\n"
      "  reattend tune prose.h5 code.h5 --held-out list.h5 --model SmolLM2-135M-Instruct.Q4_1.gguf --report "
      "report.html\n"
      "  reattend tune trace.h5 --policies all --model SmolLM2-135M-Instruct.Q4_1.gguf --report report.html\n"
      "  reattend tune trace.h5 --policies h2o:K=L/4,snapkv:K=L/4 --verified verified.json\n"
      "  reattend tune trace.h5 --budgets 256,512,1024 --strides 8,16 --pool 15 --json\n"
      "  reattend tune trace.h5 --policy snapkv --sweep window=16,32,64 --out snapkv.toml\n\n"
      "The policy is `recycled` unless others are named; --policy NAME --help lists a policy's options. Options and "
      "lists\n"
      "hold for every policy of the run that takes them; --schedule restricts recycled to fixed or gated settings. "
      "The\n"
      "front is over predicted time, the estimate and lost mass; mass alone ranks settings wrongly.\n"
      "With --model the fastest candidates are run in the engine; without it the KL is a prediction, and the result\n"
      "says how far it may be off.\n"
      "With several traces bounds hold on each, times are means, and --prompt-cache FILE serves the first one's "
      "prompt;\n"
      "another's is kept in FILE with the trace's name and a digest before its suffix. docs/tune.md has a worked "
      "example.");
}

}  // namespace

const Command kTune = make_command<Options, add_options, run>(
    "tune", "Sweep a policy's settings, or all policies', on traces and write the best");

}  // namespace reattend::cli
