// `reattend calibrate`: what a decode step costs on this machine, part by part, for predictions of other runs.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "cli/command.h"
#include "cli/options/model_options.h"
#include "cli/reports/calibrate.h"
#include "engine/record/calibrate.h"
#include "replay/cost/calibration_file.h"
#include "replay/cost/known_gpus.h"
#include "tune/settings_file.h"

namespace reattend::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string trace, out;
  int64_t tokens = 2048;
  bool force = false, list = false;
};

constexpr int32_t kSteps = 7;  // what calibrate() runs at a time

/// Why a trace's numbers are not this machine's for other reasons than the machine; empty where there are none.
std::string unlike(const TraceInfo& info, const Model& model, const std::string& kv) {
  std::vector<std::string> parts;
  const std::string sha256 = info.attribute("model_sha256");
  if (!sha256.empty() && sha256 != model.sha256()) {
    parts.push_back(fmt::format("of another model ({})", info.attribute("model")));
  }
  if (name_of(info.kv_type) != kv)
    parts.push_back(fmt::format("of a cache of {} (here {})", name_of(info.kv_type), kv));
  if (parts.empty()) return {};
  return fmt::format("its numbers are {}: what is off is not the machine alone", fmt::join(parts, " and "));
}

/// The table behind --datasheet.
void list_gpus(const Globals& globals) {
  const Table gpus = gpus_table();
  if (globals.json) {
    print_out(
        "{}\n",
        json_text(nlohmann::json{{"measured", false}, {"share", kDatasheetShare}, {gpus.name, to_json(gpus)}}, 1));
    return;
  }
  print_out(
      "By their data sheets, for `--datasheet`; nothing here was measured.\n\n{}\nTimes from a data sheet are bytes "
      "over "
      "{:.0f} % of that rate, without launches and choosing.\n",
      to_text(gpus), 100 * kDatasheetShare);
}

void run(const Options& options, const Globals& globals) {
  if (options.list) return list_gpus(globals);
  if (!options.out.empty()) {
    refuse_to_replace_by_text(options.out, options.force);
    check_folder_of(options.out, "--out");
  }
  TraceInfo recorded;
  if (!options.trace.empty()) recorded = TraceReader::open(options.trace)->info();
  const Model model = Model::open(find_model(options.model.model));
  const std::string warning = options.trace.empty() ? "" : unlike(recorded, model, options.model.kv);
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
  if (!options.out.empty()) write_text_file(options.out, json_text(json, 1) + "\n", options.force);
  if (globals.json) {
    if (!options.trace.empty()) json["in_trace"] = to_json(recorded.calibration), json["in_trace_is"] = warning;
    print_out("{}\n", json_text(json, 1));
  } else {
    print_out("{}, {} threads, {} tokens\n{}", model.path().filename().string(), pool.n_thread(), options.tokens,
              to_text(calibration_table(found, options.trace.empty() ? nullptr : &recorded.calibration)));
    if (!options.trace.empty()) print_out("in trace: {}\n", options.trace);
    if (!warning.empty()) print_out("in trace: {}\n", warning);
    if (!options.out.empty())
      print_out("written to {}; `reattend tune` and `replay --calibration {}` use it\n", options.out, options.out);
  }
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  options->model.add_to(*command);
  command->add_option("--tokens", options->tokens, "Length of the prompt that attention is timed over")
      ->type_name("N")
      ->check(CLI::Range(Calibrator::kFewestTokens, 1 << 20))
      ->capture_default_str();
  CLI::Option* const trace =
      command->add_option("--trace", options->trace, "Show how the calibration in this trace differs")
          ->type_name("TRACE");
  CLI::Option* const out =
      command->add_option("--out,-o", options->out, "Write it, for `--calibration` of tune and replay")
          ->type_name("FILE");
  command->add_flag("--force", options->force, "Replace --out if it exists");
  command->add_flag("--list", options->list, "Print the GPUs that --datasheet knows, and calibrate nothing")
      ->excludes(trace)
      ->excludes(out);
  command->footer(
      "Examples:\n"
      "  reattend calibrate\n"
      "  reattend calibrate --trace trace.h5 --out here.json\n"
      "  reattend calibrate --list\n\n"
      "Some three seconds of short runs that differ in a part each, interleaved. On a machine that does other things "
      "the\n"
      "numbers are theirs too.");
}

}  // namespace

const Command kCalibrate = make_command<Options, add_options, run>(
    "calibrate", "Time this machine part by part: weights, streaming, kept sets, choosing");

}  // namespace reattend::cli
