// `reattend verify`: the engine under a setting that was chosen by replay; predicted beside measured.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "cli/command.h"
#include "cli/options/engine_options.h"
#include "cli/options/memory_option.h"
#include "cli/options/old_names.h"
#include "cli/options/policy_options.h"
#include "cli/reports/verify.h"
#include "evals/verify.h"
#include "traces/read/fingerprint.h"
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

void run(const Options& options, const Globals& globals) {
  if (options.policy.file.empty() && options.policy.policy.empty() && options.policy.given.empty()) {
    fail_usage({"verify", "--settings FILE, or a --policy with its parameters", "neither",
                "`reattend tune` writes such a file"});
  }
  const Settings settings = options.policy.settings();
  note_without_effect({&settings, 1});
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
  TracedRun engine(options.engine.traced(), *trace, {settings}, pool, progress, globals.cancel);
  const bool calibrates = trace->info().n_step >= Calibrator::kFewestSteps;
  Calibrator calibrator(engine.backend(), engine.model(), engine.prefilled(), pool, trace->info().n_step);
  Verification found = verify(engine.backend(), engine.model(), engine.prefilled(), engine.full(), replay,
                              {.repeats = options.repeats,
                               .calibrator = calibrates ? &calibrator : nullptr,
                               .info = &trace->info(),
                               .progress = progress,
                               .cancel = globals.cancel});
  found.verified.trace = fingerprint(*trace), found.verified.model_sha256 = engine.model().sha256();
  nlohmann::json json = to_json(found, options.trace);
  add_old_key(json, "recalibrated_ms", "here_ms");
  add_old_key(json, "recalibrated_full_ms", "here_full_ms");
  if (!options.out.empty()) write_text_file(options.out, json_text(json, 1) + "\n", options.force);
  if (globals.json) {
    print_out("{}\n", json_text(json, 1));
  } else {
    print_out("{}", to_text(found, options.trace));
    if (!options.out.empty())
      print_out("written to {}; `reattend tune --verified {}` uses it\n", options.out, options.out);
  }
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
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
}

}  // namespace

const Command kVerify = make_command<Options, add_options, run>(
    "verify", "Run the engine under a setting: what the replay predicted beside what is measured");

}  // namespace reattend::cli
