// `reattend verify`: the engine under a setting that was chosen by replay; predicted beside measured.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/standard_streams.h"
#include "cli/command.h"
#include "cli/commands/traced_run.h"
#include "cli/options/memory_option.h"
#include "cli/options/policy_options.h"
#include "cli/reports/results.h"
#include "evals/verify.h"
#include "tune/settings_file.h"

namespace reattend::cli {
namespace {

struct Options {
  std::string trace, out;
  PolicyOptions policy;
  MemoryOption memory;
  EngineOptions engine;
  int32_t repeats = 3;
  bool force = false;
};

nlohmann::json number(double x) {
  return std::isfinite(x) ? nlohmann::json(x) : nlohmann::json(nullptr);
}

nlohmann::json to_json(const Verification& v, const std::string& trace) {
  const Score& measured = v.point.measured;
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerCheck& each : v.layers) {
    layers.push_back({{"layer", each.layer},
                      {"decisions_equal", each.decisions_equal},
                      {"jaccard", each.jaccard},
                      {"predicted_mass", number(each.predicted_mass)},
                      {"measured_mass", number(each.measured_mass)}});
  }
  return {{"trace", trace},
          {"n_prompt", v.n_prompt},
          {"n_step", v.n_step},
          {"settings", v.settings.to_json()},
          {"summary", v.settings.summary()},
          {"decisions_equal", v.decisions_equal},
          {"predicted_full_share", v.predicted_full},
          {"measured_full_share", measured.full},
          {"jaccard", v.jaccard},
          {"identical_sets", v.identical},
          {"jaccard_of_step", v.jaccard_of_step},
          {"predicted_mass", number(v.predicted.recovered)},
          {"measured_mass", number(measured.recovered)},
          {"kl", number(measured.kl)},
          {"kl_p95", number(measured.kl_p95)},
          {"agreement", number(measured.agreement)},
          {"layers", layers},
          {"free",
           {{"n_step", v.free.n_step},
            {"n_common", v.free.n_common},
            {"mass", number(v.free.mass)},
            {"full_share", v.free.full},
            {"positions", v.free.positions}}},
          {"here_ms", v.here_ms},
          {"here_full_ms", v.here_full_ms},
          {"findings", findings(v)},
          {"verified", reattend::to_json(v.point)}};
}

std::string to_text(const Verification& v, const std::string& trace) {
  const Score& found = v.point.measured;
  std::string out =
      fmt::format("{}\n{}: {} tokens of prompt, {} steps\n\n", v.settings.summary(), trace, v.n_prompt, v.n_step);
  const auto row = [&](const char* name, const std::string& predicted, const std::string& measured,
                       const std::string& free) {
    out += fmt::format("{:<28}{:>12}{:>12}{:>14}\n", name, predicted, measured, free);
  };
  const auto real = [](double x, int digits) { return fmt::format("{:.{}f}", x, digits); };
  const auto time = [&](double x) { return x > 0 ? real(x, 2) : std::string("-"); };
  row("", "predicted", "measured", "running free");
  row("full steps, %", real(100 * v.predicted_full, 1), real(100 * found.full, 1), real(100 * v.free.full, 1));
  row("positions", real(v.predicted.positions, 1), real(found.positions, 1), real(v.free.positions, 1));
  row("recovered mass", real(v.predicted.recovered, 4), real(found.recovered, 4), real(v.free.mass, 4));
  row("KL to full attention", "", real(found.kl, 4), "");
  row("top-1 agreement", "", real(found.agreement, 3), "");
  row("ms/token", time(v.point.predicted_ms), time(found.ms), "");
  row("ms/token, full attention", time(v.point.predicted_full_ms), time(found.full_ms), "");
  out += "\n";
  for (const std::string& line : findings(v)) out += line + "\n";
  return out;
}

void run(const Options& options, const Globals& globals) {
  if (options.policy.file.empty() && options.policy.policy.empty() && options.policy.given.empty()) {
    fail_usage({"verify", "--settings FILE, or a --policy with its parameters", "neither",
                "`reattend tune` writes such a file"});
  }
  const Settings settings = options.policy.settings();
  if (!options.out.empty()) {
    refuse_to_replace_by_text(options.out, options.force);
    check_folder_of(options.out, "--out");
  }
  ThreadPool pool(globals.threads);
  const ProgressFn progress = make_progress(globals.progress);
  const std::shared_ptr<TraceReader> trace = TraceReader::open(options.trace);
  if (!trace->info().warning.empty()) print_note("reattend: {}: {}\n", options.trace, trace->info().warning);
  options.policy.check_layers(settings, trace->info().n_layer);
  const ReplayResult replay =
      Replayer(trace, pool, options.memory.bytes())
          .run({.settings = settings, .keep_sets = true, .estimates = true}, progress, globals.cancel);
  TracedRun engine(options.engine, *trace, {settings}, pool, progress, globals.cancel);
  const bool calibrates = trace->info().n_step >= Calibrator::kFewestSteps;
  Calibrator calibrator(engine.backend(), engine.model(), engine.prefilled(), pool, trace->info().n_step);
  Verification found = verify(engine.backend(), engine.model(), engine.prefilled(), engine.full(), replay,
                              {.repeats = options.repeats,
                               .calibrator = calibrates ? &calibrator : nullptr,
                               .info = &trace->info(),
                               .progress = progress,
                               .cancel = globals.cancel});
  found.point.trace = fingerprint(*trace), found.point.model_sha256 = engine.model().sha256();
  const nlohmann::json json = to_json(found, options.trace);
  if (!options.out.empty()) write_text_file(options.out, json.dump(1) + "\n", options.force);
  if (globals.json) {
    print_out("{}\n", json.dump(1));
  } else {
    print_out("{}", to_text(found, options.trace));
    if (!options.out.empty())
      print_out("written to {}; `reattend tune --verified {}` uses it\n", options.out, options.out);
  }
}

}  // namespace

void add_verify(CLI::App& app, const Globals& globals) {
  CLI::App* const command =
      app.add_subcommand("verify", "Run the engine under a setting: what the replay predicted beside what is measured");
  const auto options = std::make_shared<Options>();
  command->add_option("trace", options->trace, "Trace whose tokens are run again")->required()->type_name("TRACE");
  command->add_option("--out,-o", options->out, "Write what was found, for `reattend tune --verified`")
      ->type_name("FILE");
  command->add_flag("--force", options->force, "Replace --out if it exists");
  command->add_option("--repeats", options->repeats, "Rounds of timing; 0: no times")
      ->type_name("N")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  options->engine.add_to(*command);
  options->engine.prompt_cache.add_to(*command);
  options->policy.add_to(*command);
  options->memory.add_to(*command);
  command->footer(
      "Examples:\n"
      "  reattend verify trace.h5 --settings reattend.toml\n"
      "  reattend verify trace.h5 --settings reattend.toml --out verified.json\n"
      "  reattend verify trace.h5 --policy recycled --stride 8 --budget L/8 --json\n\n"
      "The engine runs the trace's prompt and steps under the setting (its errors feed back, the replay's do not), "
      "then\n"
      "goes on freely, greedily. Says where the replay was right and where it was wrong.");
  command->callback([options, &globals] { run(*options, globals); });
}

}  // namespace reattend::cli
