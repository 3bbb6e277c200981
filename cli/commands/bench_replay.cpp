// `reattend bench replay`: how long a replay takes to answer each kind of change.
#include "cli/command.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_number.h"
#include "base/standard_streams.h"
#include "cli/reports/bench.h"
#include "replay/synthetic_run.h"

namespace reattend::cli {
namespace {

struct Options {
  std::string trace;
  SyntheticRunShape shape;
  int32_t context = 0;  ///< positions at the end; 0: the shape's
  double memory_gb = 0;
  int repeats = 5;
  bool json = false;
};

void run(const Options& options, const Globals& globals) {
  ThreadPool pool(globals.threads);
  SyntheticRunShape shape = options.shape;
  if (options.context > 0) shape.n_prompt = std::max(1, options.context - shape.n_step);
  const auto source =
      options.trace.empty() ? make_synthetic_run(shape) : make_replay_source(TraceReader::open(options.trace));
  ReplayTimesOptions how{
      .repeats = options.repeats, .progress = make_progress(globals.progress), .cancel = globals.cancel};
  if (options.memory_gb > 0)
    how.memory_limit = static_cast<int64_t>(options.memory_gb * static_cast<double>(kGigabyte));
  const ReplayTimes times = time_replay(source, pool, how);
  if (globals.json || options.json) {
    print_out("{}\n", json_text(to_json(times, options.trace), 2));
  } else {
    print_out("{}", to_text(times, options.trace));
  }
  if (times.stopped) throw Cancelled{};
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  command->add_option("trace", options->trace, "Trace to replay; a made-up one of SmolLM2's size if not given")
      ->type_name("TRACE");
  constexpr int32_t kMost = 1 << 20;
  command->add_option("--context", options->context, "Positions at the end of the made-up trace")
      ->check(CLI::Range(2, kMost));
  command->add_option("--steps", options->shape.n_step, "Its decode steps")
      ->check(CLI::Range(1, kMost))
      ->capture_default_str();
  command->add_option("--layers", options->shape.n_layer, "Its layers, of 9 heads and 3 KV heads each")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--repeats", options->repeats, "How often; medians are printed")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--memory", options->memory_gb, "GB that the replay may hold; 0: its own limit")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print JSON");
  command->footer(
      "Examples:\n"
      "  reattend bench replay\n"
      "  reattend bench replay trace.h5 --json\n"
      "  reattend --threads 2 bench replay --context 8192\n\n"
      "Targets are for traces of SmolLM2's size (30 layers of 3 KV heads, 512 steps that end at 8K) on two idle "
      "cores.");
}

}  // namespace

const Command kBenchReplay = make_command<Options, add_options, run>(
    "replay", "Time a replay: preparing it, then each kind of change to its settings");

}  // namespace reattend::cli
