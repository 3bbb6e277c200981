// `reattend replay`: what a policy would have attended to in a recorded run, as a table or JSON.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_number.h"
#include "base/standard_streams.h"
#include "cli/command.h"
#include "cli/options/calibration_option.h"
#include "cli/options/lists.h"
#include "cli/options/memory_option.h"
#include "cli/options/policy_options.h"
#include "cli/reports/replay.h"
#include "replay/summary.h"

namespace reattend::cli {
namespace {

struct ReplayOptions {
  std::string trace, layers;
  PolicyOptions policy;
  MemoryOption memory;
  CalibrationOption calibration;
  bool no_output_error = false, from_maps = false;
};

void replay(const ReplayOptions& options, const Globals& globals) {
  const Settings settings = options.policy.settings();
  note_without_effect({&settings, 1});
  options.calibration.check();
  ThreadPool pool(globals.threads);
  const std::shared_ptr<TraceReader> trace = TraceReader::open(options.trace);
  options.policy.check_layers(settings, trace->info().n_layer);
  const TimeSource times = options.calibration.source(*trace);
  Replayer replayer(trace, pool, options.memory.bytes());
  TraceInfo info = replayer.info();
  info.calibration = times.calibration;
  if (!info.warning.empty()) print_note("reattend: {}: {}\n", options.trace, info.warning);
  const ReplayRequest request = {.settings = settings,
                                 .layers = parse_layers(options.layers, info.n_layer),
                                 .output_error = !options.no_output_error,
                                 .from_maps = options.from_maps};
  ReplayResult result = replayer.run(request, make_progress(globals.progress), globals.cancel);
  predict_times(info, result.layers, result.total);
  if (globals.json) {
    nlohmann::json json = to_json(result, info);
    json["times"] = times.json;
    print_out("{}\n", json_text(json, 2));
  } else {
    print_out("{}times: {}\n", to_text(result, info), times.text);
  }
}

void add_options(CLI::App* command, const std::shared_ptr<ReplayOptions>& options) {
  options->policy.initial = kDefaultPolicy;
  command->add_option("trace", options->trace, "Trace to replay")->required()->type_name("TRACE");
  options->policy.add_to(*command);
  command->add_option("--layers", options->layers, "Only these, such as 0,3,10-12 (no time is predicted then)")
      ->type_name("LAYERS");
  options->calibration.add_to(*command);
  options->memory.add_to(*command);
  command->add_flag("--no-output-error", options->no_output_error, "Leave out what needs the values; faster");
  command->add_flag("--from-maps", options->from_maps,
                    "From the recorded attention maps alone, without keys: masses as intervals that hold for certain");
  command->footer(
      "Examples:\n"
      "  reattend replay trace.h5 --policy recycled --stride 16 --budget 512\n"
      "  reattend replay trace.h5 --schedule query --threshold 0.9 --stride 4 --budget L/8 --json\n"
      "  reattend replay trace.h5 --policy quest --budget L/8\n"
      "  reattend replay trace.h5 --settings reattend.toml --layers 0,10-12\n"
      "  reattend replay trace.h5 --stride 8 --budget L/8 --datasheet 'RTX 4090'\n\n"
      "The policy is `recycled` unless another is given. The replay is teacher-forced: the recorded queries and keys "
      "stay\n"
      "what they were, so against a free run its numbers are an estimate. Every policy runs on a full-attention "
      "trace:\n"
      "h2o if the prompt's row sums were recorded (they are unless left out), snapkv and pyramidkv with a window of "
      "at\n"
      "most 64. With --from-maps, oracle masses are upper bounds; full, streaming, streaming_refresh, oracle and\n"
      "recycled on a fixed schedule are known well enough.");
}

}  // namespace

const Command kReplay = make_command<ReplayOptions, add_options, replay>(
    "replay", "Re-simulate a policy on a trace: mass, overlap, error, predicted time");

}  // namespace reattend::cli
