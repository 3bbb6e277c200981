// `reattend calibrate`: what a decode step costs on this machine, part by part, for predictions of other runs.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "engine/record/calibrate.h"
#include "traces/export/settings_file.h"
#include "traces/tune/calibration_file.h"

namespace reattend::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string trace, out;
  int64_t tokens = 2048;
  bool force = false;
};

constexpr int32_t kSteps = 6;  // what calibrate() runs at a time

std::string to_text(const Calibration& here, const Calibration* there, const std::string& trace) {
  std::string out = fmt::format("{:<28}{:>12}{}\n", "", "here", there != nullptr ? "   in trace     off" : "");
  const auto row = [&](const char* name, const char* unit, double Calibration::*field) {
    const double mine = here.*field;
    out += fmt::format("{:<28}{:>12}", fmt::format("{}, {}", name, unit),
                       mine > 0 ? fmt::format("{:.2f}", mine) : "not measured");
    if (there != nullptr) {
      const double theirs = there->*field;
      out += theirs > 0 ? fmt::format("{:>11.2f}", theirs) : fmt::format("{:>11}", "-");
      if (mine > 0 && theirs > 0) out += fmt::format("{:>+7.0f} %", 100 * (mine / theirs - 1));
    }
    out += "\n";
  };
  row("weights and all else", "ms", &Calibration::weights_ms);
  row("plain stream", "GB/s", &Calibration::stream_gbps);
  row("attention over runs", "GB/s", &Calibration::attend_stream_gbps);
  row("attention over kept sets", "GB/s", &Calibration::attend_gather_gbps);
  row("scoring and selecting", "GB/s", &Calibration::score_gbps);
  if (there != nullptr) out += fmt::format("in trace: {}\n", trace);
  return out;
}

void run(const Options& options, const Globals& globals) {
  if (!options.out.empty()) {
    refuse_to_replace(options.out, options.force);
    check_folder_of(options.out, "--out");
  }
  Calibration recorded;
  if (!options.trace.empty()) recorded = TraceReader::open(options.trace)->info().calibration;
  const Model model = Model::open(find_model(options.model.model));
  const int32_t n_ctx = options.model.n_ctx(model.shape(), options.tokens, kSteps);
  ThreadPool pool(globals.threads);
  Backend backend = make_backend(options.model.backend(), model, pool);
  const ProgressFn progress = make_progress(globals.progress);
  std::vector<int32_t> prompt;  // any tokens cost the same
  for (int32_t i = 0; i < options.tokens; ++i) prompt.push_back((i * 31 + i / 5) % model.shape().n_vocab);
  const Prefilled prefilled =
      prefill(backend, model, prompt, {.n_ctx = n_ctx, .progress = progress, .cancel = globals.cancel});
  globals.cancel.check();
  const Calibration found = calibrate(backend, model, prefilled, pool, kSteps, progress, globals.cancel);
  nlohmann::json json = {{"calibration", to_json(found)},  {"model", model.path().filename().string()},
                         {"model_sha256", model.sha256()}, {"device", options.model.device},
                         {"kv", options.model.kv},         {"threads", pool.n_thread()},
                         {"tokens", options.tokens}};
  if (!options.out.empty()) write_text_file(options.out, json.dump(1) + "\n", options.force);
  if (globals.json) {
    if (!options.trace.empty()) json["in_trace"] = to_json(recorded);
    fmt::print("{}\n", json.dump(1));
  } else {
    fmt::print("{}, {} threads, {} tokens\n{}", model.path().filename().string(), pool.n_thread(), options.tokens,
               to_text(found, options.trace.empty() ? nullptr : &recorded, options.trace));
    if (!options.out.empty())
      fmt::print("written to {}; `reattend tune --calibration {}` uses it\n", options.out, options.out);
  }
}

}  // namespace

void add_calibrate(CLI::App& app, const Globals& globals) {
  CLI::App* const command =
      app.add_subcommand("calibrate", "Time this machine: weights, streaming, kept sets, scoring");
  const auto options = std::make_shared<Options>();
  options->model.add_to(*command);
  command->add_option("--tokens", options->tokens, "Length of the prompt that attention is timed over")
      ->type_name("N")
      ->check(CLI::Range(64, 1 << 20))
      ->capture_default_str();
  command->add_option("--trace", options->trace, "Show how the calibration in this trace differs")->type_name("TRACE");
  command->add_option("--out,-o", options->out, "Write it, for `reattend tune --calibration`")->type_name("FILE");
  command->add_flag("--force", options->force, "Replace --out if it exists");
  command->footer(
      "Examples:\n"
      "  reattend calibrate\n"
      "  reattend calibrate --trace trace.h5 --out here.json\n\n"
      "Two seconds of short runs that isolate a part each. On a machine that does other things the figures are theirs "
      "too.");
  command->callback([options, &globals] { run(*options, globals); });
}

}  // namespace reattend::cli
