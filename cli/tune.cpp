// `reattend tune`: sweeps a trace, shows the Pareto front and writes the recommended settings with their evidence.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "cli/command.h"
#include "cli/lists.h"
#include "cli/policy_options.h"
#include "cli/traced_run.h"
#include "evals/policy_list.h"
#include "traces/export/report.h"
#include "traces/export/settings_file.h"
#include "traces/replay/estimates.h"
#include "traces/tune/calibration_file.h"
#include "traces/tune/tune.h"

namespace reattend::cli {
namespace {

struct Options {
  std::string trace, out = "reattend.toml", budgets, strides, gate_strides, thresholds, policies, estimate, calibration;
  std::vector<std::string> verified, validate;
  bool force = false;
  int measure = 3;
  TuneBounds bounds;
  PolicyOptions policy;
  EngineOptions engine;
};

TuneGrid grid_of(const Options& options) {
  TuneGrid grid = {.base = options.policy.settings(),
                   .budgets = parse_each("K", options.budgets),
                   .strides = parse_each("S", options.strides),
                   .gate_strides = parse_each("S", options.gate_strides)};
  for (const Value& each : parse_each("threshold", options.thresholds))
    grid.thresholds.push_back(std::get<double>(each));
  if (!options.policies.empty()) grid.more = parse_policies(options.policies, {});
  return grid;
}

/// The setting on a trace that it was not tuned on: what the replay says, and the engine where there is a model.
struct Validated {
  std::string trace;
  double estimate = 0, predicted_kl = 0, lost = 0;
  std::optional<Measured> measured;
};

Measured measure_on(TracedRun& run, const Settings& settings, const ProgressFn& progress, const Cancel& cancel) {
  const TracedScore found = score_on(run, settings, false, 1, progress, cancel);
  return {.kl = found.score.kl, .agreement = found.score.agreement, .ms_per_token = found.ms_per_token};
}

Validated validate(const std::string& path, const TuneResult& tuned, const Options& options, ThreadPool& pool,
                   const ProgressFn& progress, const Cancel& cancel) {
  const std::shared_ptr<TraceReader> trace = TraceReader::open(path);
  const Settings& settings = tuned.best().settings;
  const ReplayResult replay = Replayer(trace, pool).run({.settings = settings, .estimates = true}, progress, cancel);
  const double value = find_estimate(tuned.prediction.estimate)->value({trace->info().n_step, replay.layers});
  Validated out = {path, value, tuned.prediction.kl(value), replay.total.lost, {}};
  if (options.engine.model.empty()) return out;
  TracedRun run(options.engine, *trace, {settings}, pool, progress, cancel);
  out.measured = measure_on(run, settings, progress, cancel);
  return out;
}

/// What the setting was chosen for, and what it gives elsewhere.
std::string to_text(const std::vector<Validated>& validated, const TuneResult& tuned) {
  if (validated.empty()) return {};
  const TunePoint& best = tuned.best();
  std::string text =
      fmt::format("\nOn traces that it was not tuned on (here: {} {:.4f}{}):\n", tuned.prediction.estimate,
                  best.estimate, best.measured ? fmt::format(", KL {:.4f} measured", best.measured->kl) : "");
  for (const Validated& each : validated) {
    text += fmt::format("  {}: {} {:.4f}, lost mass {:.4f}", each.trace, tuned.prediction.estimate, each.estimate,
                        each.lost);
    if (!std::isnan(each.predicted_kl)) text += fmt::format(", KL {:.4f} predicted", each.predicted_kl);
    if (each.measured) {
      const double over = each.measured->kl / tuned.bounds.max_kl;
      text += fmt::format(", KL {:.4f} measured: {}", each.measured->kl,
                          over <= 1 ? "keeps the bound" : fmt::format("{:.1f} times the bound", over));
    }
    text += "\n";
  }
  return text;
}

nlohmann::json to_json(const std::vector<Validated>& validated, const TuneResult& tuned) {
  const auto number = [](double x) { return std::isfinite(x) ? nlohmann::json(x) : nlohmann::json(nullptr); };
  nlohmann::json out = nlohmann::json::array();
  for (const Validated& each : validated) {
    out.push_back({{"trace", each.trace},
                   {"estimate", number(each.estimate)},
                   {"predicted_kl", number(each.predicted_kl)},
                   {"lost", number(each.lost)}});
    if (!each.measured) continue;
    out.back()["measured"] = {{"kl", each.measured->kl},
                              {"agreement", each.measured->agreement},
                              {"ms_per_token", each.measured->ms_per_token}};
    out.back()["keeps_max_kl"] = each.measured->kl <= tuned.bounds.max_kl;
  }
  return out;
}

void check(const Options& options) {
  check_bounds(options.bounds);
  if (!options.estimate.empty()) estimate_named(options.estimate, "--estimate");
  if (options.bounds.min_agreement && options.engine.model.empty()) {
    fail_usage({"--min-agreement", "a --model to measure it with", "none", "a replay knows no agreement"});
  }
  refuse_to_replace(options.out, options.force);
}

void tune_trace(const Options& options, const Globals& globals) {
  check(options);
  TuneOptions what = {.grid = grid_of(options),
                      .bounds = options.bounds,
                      .estimate = options.estimate,
                      .verified = {},
                      .n_measure = options.measure};
  if (!options.calibration.empty()) what.calibration = read_calibration(options.calibration);
  for (const std::string& file : options.verified) what.verified.push_back(read_verified(file));
  ThreadPool pool(globals.threads);
  const ProgressFn progress = make_progress(globals.progress);
  const std::shared_ptr<TraceReader> trace = TraceReader::open(options.trace);
  Replayer replayer(trace, pool);
  const TraceInfo& info = replayer.info();
  if (!info.warning.empty()) fmt::print(stderr, "reattend: {}: {}\n", options.trace, info.warning);
  if (info.settings.policy() != "full" && !info.shadow) {
    fmt::print(stderr,
               "reattend: {}: recorded under {}, whose errors are in its queries and keys; a full-attention trace "
               "tunes better\n",
               options.trace, info.settings.summary());
  }
  std::unique_ptr<TracedRun> engine;
  MeasureFn measure;
  if (!options.engine.model.empty()) {
    engine =
        std::make_unique<TracedRun>(options.engine, *trace, make_grid(what.grid, info), pool, progress, globals.cancel);
    measure = [&](const Settings& settings) { return measure_on(*engine, settings, progress, globals.cancel); };
  }
  const TuneResult result = tune(replayer, what, measure, progress, globals.cancel);
  engine.reset();
  std::vector<Validated> validated;
  for (const std::string& path : options.validate) {
    validated.push_back(validate(path, result, options, pool, progress, globals.cancel));
  }
  write_text_file(options.out, settings_file(result, info), options.force);
  if (globals.json) {
    nlohmann::json json = reattend::to_json(result, info);
    json["settings_file"] = options.out;
    json["validation"] = to_json(validated, result);
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("{}{}written to {}\n", to_table(result, info), to_text(validated, result), options.out);
  }
}

}  // namespace

void add_tune(CLI::App& app, const Globals& globals) {
  CLI::App* const command =
      app.add_subcommand("tune", "Sweep S, K and threshold on a trace and write the best settings");
  const auto options = std::make_shared<Options>();
  options->policy.initial = "recycled";
  command->add_option("trace", options->trace, "Trace of a full-attention run")->required()->type_name("TRACE");
  command->add_option("--out,-o", options->out, "Settings file to write")->type_name("FILE")->capture_default_str();
  command->add_flag("--force", options->force, "Replace --out if it exists");
  const auto bound = [&](const char* name, std::optional<double>& target, const char* help) {
    command->add_option(name, target, help)->type_name("NUMBER")->group("Bounds");
  };
  command
      ->add_option("--max-kl", options->bounds.max_kl,
                   "Bound on the mean KL to full attention, nats: predicted where this model was studied, and measured")
      ->type_name("NUMBER")
      ->capture_default_str()
      ->group("Bounds");
  bound("--max-ms", options->bounds.max_ms, "Bound on ms/token: predicted, and measured");
  bound("--min-agreement", options->bounds.min_agreement, "Bound on top-1 agreement, measured (needs --model)");
  bound("--max-lost-mass", options->bounds.max_lost_mass,
        "Bound on the mean lost attention mass (0.1 where no KL can be predicted)");
  bound("--max-output-error", options->bounds.max_output_error,
        "Bound on the 95th percentile of relative output error (0.5 where no KL can be predicted)");
  command->add_option("--estimate", options->estimate, "What settings are ranked by [the tuner's in docs/study.md]")
      ->type_name("NAME");
  command
      ->add_option("--calibration", options->calibration,
                   "What `reattend calibrate --out` found: times are predicted for that machine")
      ->type_name("FILE");
  command
      ->add_option("--verified", options->verified,
                   "What `reattend verify --out` found: corrects times and KL; may be repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command
      ->add_option("--validate", options->validate,
                   "A trace to try the choice on that it was not tuned on; may be repeated")
      ->type_name("TRACE")
      ->allow_extra_args(false);
  command->add_option("--measure", options->measure, "Candidates that are measured in the engine, with --model")
      ->type_name("N")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--policies", options->policies, "Tried besides the sweep: NAME[:KEY=VALUE...] parted by commas")
      ->type_name("LIST");
  options->engine.add_to(*command, "none: nothing is measured");
  options->engine.prompt_cache.add_to(*command);
  command->add_option("--budgets", options->budgets, "Budgets to try, such as L/8,512 (default L/2 to L/32)")
      ->type_name("K,K,..");
  command->add_option("--strides", options->strides, "Strides of the fixed schedule (default 2 to 64)")
      ->type_name("S,S,..");
  command->add_option("--gate-strides", options->gate_strides, "Strides of the query schedule (default 2,4,8)")
      ->type_name("S,S,..");
  command->add_option("--thresholds", options->thresholds, "Thresholds of the query schedule (default 0.7 to 0.95)")
      ->type_name("X,X,..");
  options->policy.add_to(*command);
  command->footer(
      "Examples:\n"
      "  reattend tune trace.h5\n"
      "  reattend tune trace.h5 --model SmolLM2-135M-Instruct.Q4_1.gguf --max-kl 0.05 --out careful.toml\n"
      "  reattend tune prose.h5 --validate code.h5 --policies h2o:K=L/4,snapkv:K=L/4 --verified verified.json\n"
      "  reattend tune trace.h5 --budgets 256,512,1024 --strides 8,16 --pool 15 --json\n\n"
      "Options of the policy other than S, K, schedule and threshold hold for the whole sweep. The front is over "
      "predicted\n"
      "time, the estimate and lost mass; mass alone ranks settings wrongly. With --model the fastest candidates are "
      "run\n"
      "in the engine; without it the KL is a prediction, and the result says how far it may be off.");
  command->callback([options, &globals] { tune_trace(*options, globals); });
}

}  // namespace reattend::cli
