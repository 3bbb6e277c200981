// `reattend tune`: sweeps a trace, shows the Pareto front and writes the recommended settings with their evidence.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "cli/command.h"
#include "cli/policy_options.h"
#include "traces/export/report.h"
#include "traces/export/settings_file.h"
#include "traces/tune/tune.h"

namespace reattend::cli {
namespace {

struct Options {
  std::string trace, out = "reattend.toml", budgets, strides, gate_strides, thresholds;
  bool force = false;
  TuneBounds bounds;
  PolicyOptions policy;
};

/// "L/8,512" -> a value per entry, each checked as the parameter's own option is.
std::vector<Value> parse_each(const char* key, const std::string& text) {
  std::vector<Value> values;
  for (size_t begin = 0; !text.empty() && begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    values.push_back(parse_value(*find_parameter(key), text.substr(begin, comma - begin)));
    begin = comma + 1;
  }
  return values;
}

TuneGrid grid_of(const Options& options) {
  TuneGrid grid = {.base = options.policy.settings(),
                   .budgets = parse_each("K", options.budgets),
                   .strides = parse_each("S", options.strides),
                   .gate_strides = parse_each("S", options.gate_strides)};
  for (const Value& each : parse_each("threshold", options.thresholds))
    grid.thresholds.push_back(std::get<double>(each));
  return grid;
}

void tune_trace(const Options& options, const Globals& globals) {
  check_bounds(options.bounds);
  const TuneGrid grid = grid_of(options);
  refuse_to_replace(options.out, options.force);
  ThreadPool pool(globals.threads);
  Replayer replayer(TraceReader::open(options.trace), pool);
  const TraceInfo& info = replayer.info();
  if (!info.warning.empty()) fmt::print(stderr, "reattend: {}: {}\n", options.trace, info.warning);
  if (info.settings.policy() != "full" && !info.shadow) {
    fmt::print(stderr,
               "reattend: {}: recorded under {}, whose errors are in its queries and keys; a full-attention trace "
               "tunes better\n",
               options.trace, info.settings.summary());
  }
  const TuneResult result =
      tune(replayer, {.grid = grid, .bounds = options.bounds}, {}, make_progress(globals.progress), globals.cancel);
  write_text_file(options.out, settings_file(result, info), options.force);
  if (globals.json) {
    nlohmann::json json = to_json(result, info);
    json["settings_file"] = options.out;
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("{}written to {}\n", to_table(result, info), options.out);
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
  command
      ->add_option("--max-output-error", options->bounds.max_output_error,
                   "Bound on the 95th percentile of the relative output error")
      ->type_name("NUMBER")
      ->capture_default_str();
  command->add_option("--max-lost-mass", options->bounds.max_lost_mass, "Bound on the mean lost attention mass")
      ->type_name("NUMBER")
      ->capture_default_str();
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
      "  reattend tune trace.h5 --max-output-error 0.3 --max-lost-mass 0.05 --out careful.toml\n"
      "  reattend tune trace.h5 --budgets 256,512,1024 --strides 8,16 --pool 15 --json\n\n"
      "Options of the policy other than S, K, schedule and threshold hold for the whole sweep. The front is over "
      "predicted\n"
      "time, 95th percentile of output error and lost mass; mass alone ranks settings wrongly.");
  command->callback([options, &globals] { tune_trace(*options, globals); });
}

}  // namespace reattend::cli
