// `reattend bench`: kernels, steps and policies against the machine's limits and against a peer's llama-bench.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "bench/peer.h"
#include "cli/command.h"
#include "cli/options/json_file.h"
#include "cli/options/model_options.h"
#include "cli/reports/bench.h"
#include "report/chart_file.h"

namespace reattend::cli {
namespace {

struct Options {
  ModelOptions model;
  ModelBenchOptions bench;
  ScaleOptions scale;
  double memory_gb = 0;
  std::vector<std::string> parts;
  std::string json_file, chart;
  bool json = false, no_peer = false, force = false;
};

/// "8192" or "8K" (times 1024), as a whole number.
const CLI::Validator& positions() {
  static const CLI::Validator validator(
      [](std::string& text) {
        const bool kilo = text.ends_with('K') || text.ends_with('k');
        const std::string digits = text.substr(0, text.size() - (kilo ? 1 : 0));
        constexpr size_t kMostDigits = 9;
        if (digits.empty() || digits.size() > kMostDigits ||
            digits.find_first_not_of("0123456789") != std::string::npos)
          return fmt::format("expected a number of positions such as 8192 or 8K, got '{}'", text);
        if (kilo) text = std::to_string(std::stoll(digits) * 1024);
        return std::string();
      },
      "");
  return validator;
}

void check(Options& options) {
  const auto is_part = [](const std::string& name) {
    return name == "kernels" || name == "steps" || name == "policies";
  };
  for (const std::string& part : options.parts) {
    if (!is_part(part)) fail_usage({"--parts", "kernels, steps or policies", "'" + part + "'", ""});
  }
  const auto has = [&](const char* part) {
    return options.parts.empty() || std::find(options.parts.begin(), options.parts.end(), part) != options.parts.end();
  };
  ModelBenchOptions& bench = options.bench;
  bench.kernels = has("kernels"), bench.rows = has("steps"), bench.policies = has("policies");
  for (const auto& [name, value] : {std::pair{"--prompt-tokens", bench.prompt},
                                    {"--steps", bench.steps},
                                    {"--repeats", bench.repeats},
                                    {"--budget", bench.budget},
                                    {"--stride", bench.stride}}) {
    constexpr int64_t kMost = 1 << 24;
    if (value < 1 || value > kMost) fail_usage({name, fmt::format("1 to {}", kMost), std::to_string(value), ""});
  }
  if (!bench.peer.empty() && options.no_peer) fail_usage({"--peer", "no --no-peer", "both", ""});
  if (!bench.peer.empty() && !std::filesystem::is_regular_file(bench.peer)) {
    fail_usage({"--peer", "llama-bench", "no such file: " + bench.peer, "give its path, or --no-peer"});
  }
  check_json_file(options.json_file, options.force);
  check_chart_path(options.chart, options.force, "--chart");
}

template <class Report>
void finish(const Report& report, const Options& options, const Globals& globals) {
  const std::string json = json_text(to_json(report), 2);
  if (!options.json_file.empty()) write_text_file(options.json_file, json + "\n", options.force);
  if (!options.chart.empty()) write_chart(to_chart(report), options.chart, options.force);
  if (globals.json || (options.json && options.json_file.empty())) {
    print_out("{}\n", json);
  } else {
    print_out("{}", to_text(report));
  }
  if (report.stopped) throw Cancelled{};
  if constexpr (requires { report.peer_failure; }) {
    if (!report.peer_failure.empty()) throw Error(report.peer_failure);
  }
}

void run(Options& options, const Globals& globals) {
  check(options);
  if (!options.scale.shape.empty()) {
    ScaleOptions& scale = options.scale;
    scale.backend = options.model.backend();
    scale.budget = options.bench.budget, scale.stride = options.bench.stride, scale.repeats = options.bench.repeats;
    scale.memory = static_cast<int64_t>(options.memory_gb * 1e9);
    scale.threads = globals.threads, scale.progress = make_progress(globals.progress), scale.cancel = globals.cancel;
    finish(bench_scale(scale), options, globals);
    return;
  }
  if (options.bench.peer.empty() && !options.no_peer) {
    if (const auto found = find_peer()) options.bench.peer = found->string();
  }
  ModelBenchOptions& bench = options.bench;
  bench.model = find_model(options.model.model), bench.backend = options.model.backend(), bench.ctx = options.model.ctx;
  bench.tell = [](const std::string& notice) { print_note("reattend: {}\n", notice); };
  bench.threads = globals.threads, bench.progress = make_progress(globals.progress), bench.cancel = globals.cancel;
  finish(bench_model(bench), options, globals);
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  ModelBenchOptions& bench = options->bench;
  options->model.add_to(*command);
  options->model.add_prefill_to(*command);
  command->add_option("--depths", bench.depths, "Positions in the cache before what is timed; 2K is 2048")
      ->delimiter(',')
      ->transform(positions())
      ->capture_default_str();
  command->add_option("--prompt-tokens", bench.prompt, "Tokens of the timed prefill")->capture_default_str();
  command->add_option("--steps", bench.steps, "Tokens of the timed decode")->capture_default_str();
  command->add_option("--repeats", bench.repeats, "How often; medians are printed")->capture_default_str();
  command->add_option("--budget", bench.budget, "K of the policies")->capture_default_str();
  command->add_option("--stride", bench.stride, "S of the policies")->capture_default_str();
  command->add_option("--parts", options->parts, "What is timed: kernels, steps, policies; all if not given")
      ->delimiter(',')
      ->type_name("LIST");
  command
      ->add_option(
          "--peer", bench.peer,
          "llama-bench to run interleaved with ours (full attention, f16 cache, same threads); the one on PATH if "
          "not given")
      ->type_name("PROGRAM");
  command->add_flag("--no-peer", options->no_peer, "Run without llama-bench even if it is on PATH");
  CLI::Option* const shape =
      command
          ->add_option("--shape", options->scale.shape,
                       "Instead: a model of this shape (" + shape_names() +
                           ") with random weights and a cache filled with random keys and values")
          ->type_name("NAME")
          ->group("Scale");
  for (const char* of_a_model : {"--depths", "--parts", "--peer"}) shape->excludes(of_a_model);
  command->add_option("--type", options->scale.type, "Type of its weights: Q4_0, Q4_1 or Q8_0")
      ->needs(shape)
      ->capture_default_str()
      ->group("Scale");
  command->add_option("--context", options->scale.contexts, "Positions in its cache; 8K is 8192")
      ->needs(shape)
      ->delimiter(',')
      ->transform(positions())
      ->capture_default_str()
      ->group("Scale");
  command
      ->add_option("--memory", options->memory_gb,
                   "GB that may be used; contexts that take more are skipped. 0: what is free")
      ->needs(shape)
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str()
      ->group("Scale");
  add_json_file(*command, options->json, options->json_file);
  command->add_option("--chart", options->chart, "Draw the roofline, or with --shape time against context")
      ->type_name("FILE.svg|png");
  command->add_flag("--force", options->force, "Replace files that exist");
  command->footer(
      "Examples:\n"
      "  reattend bench\n"
      "  reattend bench --depths 0,7680 --peer /opt/llama/llama-bench --json bench.json --chart roofline.svg\n"
      "  reattend bench --parts kernels --kv q8\n"
      "  reattend bench replay trace.h5\n"
      "  reattend bench --shape llama-3.2-1b --type Q4_0 --context 2K,8K,32K --chart scale.svg");
}

/// Its subcommand `replay` does without all of this.
void set_up(CLI::App& command, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  add_options(&command, options);
  add_command(command, kBenchReplay, globals);
  command.require_subcommand(0, 1);
  command.callback([options, &command, &globals] {
    if (command.get_subcommands().empty()) run(*options, globals);
  });
}

}  // namespace

const Command kBench = {
    "bench", "Time kernels, prefill, decode and policies, beside llama-bench if there is one; or a model's shape",
    set_up};

}  // namespace reattend::cli
