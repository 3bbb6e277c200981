// Times from evals/replay_times beside their targets, as a table or JSON.
#include "cli/commands/bench_replay.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/standard_streams.h"
#include "bench/replay_times.h"
#include "bench/synthetic_run.h"

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

nlohmann::json to_json(const ReplayTimes& times, const std::string& trace) {
  nlohmann::json rows = nlohmann::json::array();
  for (const ReplayTime& time : times.times) {
    rows.push_back({{"change", time.change},
                    {"target_ms", time.target_ms > 0 ? nlohmann::json(time.target_ms) : nlohmann::json(nullptr)},
                    {"n", time.n},
                    {"ms", time.ms},
                    {"cpu_ms", time.cpu_ms},
                    {"met", time.met()}});
  }
  return {{"trace", trace.empty() ? nlohmann::json(nullptr) : nlohmann::json(trace)},
          {"n_layer", times.n_layer},
          {"n_kv_head", times.n_kv_head},
          {"n_prompt", times.n_prompt},
          {"n_step", times.n_step},
          {"threads", times.threads},
          {"memory_limit", times.memory_limit},
          {"memory_held", times.held},
          {"memory_peak", times.peak},
          {"times", rows}};
}

std::string to_text(const ReplayTimes& times, const std::string& trace) {
  std::string text = fmt::format("{}: {} layers x {} KV heads, {} steps that end at {} positions; {} threads\n\n",
                                 trace.empty() ? "made-up run" : trace, times.n_layer, times.n_kv_head, times.n_step,
                                 times.n_prompt + times.n_step, times.threads);
  text += fmt::format("{:36}{:>10}{:>12}{:>10}{:>6}\n", "change", "ms", "CPU ms", "target", "n");
  for (const ReplayTime& time : times.times) {
    text += fmt::format("{:36}{:>10.1f}{:>12.1f}{:>10}{:>6}{}\n", time.change, time.ms, time.cpu_ms,
                        time.target_ms > 0 ? fmt::format("< {:.0f}", time.target_ms) : "-", time.n,
                        time.met() ? "" : "  missed");
  }
  constexpr auto kGb = static_cast<double>(kGigabyte);
  text += fmt::format(
      "\nms: median by the clock, of changes to values not seen before; CPU ms: of all threads together.\n"
      "memory: {:.2f} GB held of {:.2f} that may be, {:.2f} at most by the process\n",
      static_cast<double>(times.held) / kGb, static_cast<double>(times.memory_limit) / kGb,
      static_cast<double>(times.peak) / kGb);
  return text;
}

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
    print_out("{}\n", to_json(times, options.trace).dump(2));
  } else {
    print_out("{}", to_text(times, options.trace));
  }
  if (times.stopped) throw Cancelled{};
}

}  // namespace

void add_bench_replay(CLI::App& bench, const Globals& globals) {
  CLI::App* const command =
      bench.add_subcommand("replay", "Time a replay: preparing it, then each kind of change to its settings");
  const auto options = std::make_shared<Options>();
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
  command->callback([options, &globals] { run(*options, globals); });
}

}  // namespace reattend::cli
