// `reattend study`: how well each estimate of a replay ranks settings, held against what the engine measures.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "cli/command.h"
#include "cli/options/chart_format.h"
#include "cli/options/engine_options.h"
#include "cli/options/memory_option.h"
#include "cli/reports/study.h"
#include "engine/record/calibrate.h"
#include "evals/setting_rounds.h"
#include "policies/policy_list.h"
#include "replay/estimates.h"
#include "replay/summary.h"
#include "traces/read/fingerprint.h"
#include "tune/settings_file.h"

namespace reattend::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> traces, estimates;
  std::string out = "study", policies;
  ChartFormat chart_format;
  EngineOptions engine;
  MemoryOption memory;
  int32_t repeats = 2;
  bool no_mass = false, settings = false;
};

/// Names of the charts.
constexpr const char *kScatter = "scatter", *kPredicted = "predicted";

/// Every policy at budgets from careful to reckless; recycled over strides, pools, gates and ways to refresh.
constexpr const char* kDefaultSettings =
    "recycled:S=4:K=L/4,recycled:S=16:K=L/4,recycled:S=64:K=L/4,recycled:S=4:K=L/8,recycled:S=16:K=L/8,"
    "recycled:S=64:K=L/8,recycled:S=4:K=L/16,recycled:S=16:K=L/16,recycled:S=64:K=L/16,recycled:S=4:K=64,"
    "recycled:S=16:K=64,recycled:S=64:K=64,recycled:S=16:K=L/8:pool=15,recycled:S=2:K=L/"
    "16:schedule=query:threshold=0.8,"
    "recycled:S=4:K=L/8:schedule=query:threshold=0.85,recycled:S=4:K=L/8:schedule=query:threshold=0.95,"
    "recycled:S=8:K=L/8:refresh=score_only,recycled:S=16:K=L/8:dense_layers=[0],recycled:S=16:K=L/8:reduce=mean,"
    "recycled:S=16:K=L/4:pool=1,recycled:S=4:K=L/8:pool=1,recycled:S=16:K=L/8:pool=1,recycled:S=4:K=64:pool=1,"
    "oracle:K=L/8,oracle:K=64,snapkv:K=L/8,snapkv:K=64,pyramidkv:K=L/8,streaming:K=L/4,streaming:K=L/8,"
    "streaming_refresh:S=10:K=L/8,h2o:K=L/4,h2o:K=L/8,h2o:K=64,tova:K=L/4,tova:K=L/8,quest:K=L/4,quest:K=L/8,"
    "tokenselect:K=L/8";

/// Those of the list that the trace can be replayed under; of a list that nobody wrote, the others are left out.
std::vector<Settings> settings_for(const Options& options, const TraceInfo& info) {
  const bool chosen = !options.policies.empty();
  std::vector<Settings> all = parse_policies(chosen ? options.policies : kDefaultSettings, {});
  const RunShape shape = info.run_shape();
  std::vector<Settings> out;
  for (const Settings& each : all) {
    if (std::find(out.begin(), out.end(), each) != out.end() || each.is_full()) continue;
    try {
      const std::unique_ptr<Policy> policy = make_policy(each, shape);
      if (policy->needs().row_sums && !info.has_prompt_row_sums) {
        fail({.where = info.path.string(),
              .expected = "sums of the prompt's attention rows",
              .got = "a trace without them",
              .remedy = "record it with --prompt-rows"});
      }
      out.push_back(each);
    } catch (const Error& error) {
      if (chosen) throw Error(fmt::format("{}: {}", each.summary(), error.what()), error.code());
      print_note("reattend: left out: {}: {}\n", each.summary(), error.what());
    }
  }
  if (out.empty()) fail_usage({"--policies", "at least one setting besides full", "none", ""});
  return out;
}

fs::path file_of(const Options& options, const std::string& name) {
  return fs::path(options.out) / fmt::format("prompt-{}.json", name);
}

StudyPrompt read_prompt(const fs::path& path) {
  constexpr size_t kMostBytes = size_t{1} << 28;
  const std::string text = read_text(path, {.where = path.string(), .expected = "a study's results"}, kMostBytes);
  return study_prompt_from_json(nlohmann::json::parse(text, nullptr, false), path.string());
}

void save(const Options& options, const StudyPrompt& prompt) {
  write_text_file(file_of(options, prompt.name), json_text(to_json(prompt), 1) + "\n", true);
}

/// Replays what the prompt does not have yet, layer by layer, so that each layer is prepared once.
void replay_missing(StudyPrompt& prompt, const std::vector<Settings>& settings, Replayer& replayer,
                    const ProgressFn& progress, const Cancel& cancel) {
  const TraceInfo& info = replayer.info();
  std::vector<Settings> missing;
  for (const Settings& each : settings) {
    if (prompt.find(each) == nullptr) prompt.settings.push_back({.settings = each, .estimates = {}, .measured = {}});
  }
  for (const StudiedSetting& studied : prompt.settings) {
    // An older program's file may lack the estimates, or the work that times are made of.
    if (studied.estimates.empty() || studied.work.run + studied.work.kept <= 0) missing.push_back(studied.settings);
  }
  std::vector<std::vector<LayerReplay>> replayed(missing.size());
  const std::vector<int32_t> layers = info.acting_layers();
  for (size_t done = 0; done < layers.size(); ++done) {
    for (size_t i = 0; i < missing.size(); ++i) {
      if (progress) {
        progress(prompt.name + ": replay", static_cast<double>(done * missing.size() + i),
                 static_cast<double>(layers.size() * missing.size()), "layers");
      }
      ReplayResult one =
          replayer.run({.settings = missing[i], .layers = {layers[done]}, .estimates = true}, {}, cancel);
      replayed[i].push_back(std::move(one.layers.front()));
    }
  }
  for (size_t i = 0; i < missing.size(); ++i) {
    const ReplaySummary total = summarize(info, replayed[i]);
    prompt.predicted_full_ms = total.ms_per_token_full;
    StudiedSetting& studied = *prompt.find(missing[i]);
    studied.estimates = evaluate_estimates({info.n_step, replayed[i]});
    studied.recovered = total.recovered, studied.predicted_ms = total.ms_per_token;
    studied.work = work_of(info, replayed[i]);
    studied.read = (total.bytes_attend + total.bytes_select) / attend_bytes(info, full_work(info));
  }
}

/// All settings in rounds, and the machine is calibrated between them.
void time_all(StudyPrompt& prompt, const Options& options, TracedRun& run, TraceInfo info, ThreadPool& pool,
              const ProgressFn& progress, const Cancel& cancel) {
  constexpr size_t kRunsPerCalibration = 4;
  const bool calibrates = info.n_step >= Calibrator::kFewestSteps;
  Calibrator calibrator(run.backend(), run.model(), run.prefilled(), pool, info.n_step);
  std::vector<Settings> all = {Settings("full")};
  for (const StudiedSetting& studied : prompt.settings) all.push_back(studied.settings);
  SettingRounds rounds(run.backend(), run.model(), run.prefilled(), run.full());
  for (size_t i = 0; i < all.size(); ++i) {
    if (calibrates && i % kRunsPerCalibration == 0) rounds.add(calibrator);
    rounds.add(all[i]);
  }
  rounds.run(options.repeats, prompt.name + ": timing", progress, cancel);
  if (calibrates) prompt.recalibrated = info.calibration = calibrator.result();
  prompt.full_ms = rounds.ms(0);
  if (calibrates) prompt.recalibrated_full_ms = predict_ms(info, full_work(info));
  for (size_t i = 1; i < all.size(); ++i) {
    StudiedSetting& studied = prompt.settings[i - 1];
    studied.measured->ms = rounds.ms(i), studied.measured->full_ms = prompt.full_ms;
    if (calibrates) studied.recalibrated_ms = predict_ms(info, studied.work);
  }
}

/// Measures what was not, saving after each; then times all.
void measure_missing(StudyPrompt& prompt, const Options& options, TracedRun& run, const TraceInfo& info,
                     ThreadPool& pool, const ProgressFn& progress, const Cancel& cancel) {
  size_t n_done = 0;
  for (StudiedSetting& studied : prompt.settings) {
    const std::string what = fmt::format("{}: setting {} of {}, {}", prompt.name, ++n_done, prompt.settings.size(),
                                         studied.settings.summary());
    if (studied.measured) continue;
    const ProgressFn named =
        !progress ? ProgressFn() : [&](const std::string&, double done, double total, const std::string& unit) {
          progress(what, done, total, unit);
        };
    studied.measured = summarize(run_teacher_forced(run.backend(), run.model(), run.prefilled(), run.full(),
                                                    studied.settings, !options.no_mass, named, cancel)
                                     .steps);
    save(options, prompt);
  }
  const bool timed = prompt.full_ms > 0 && std::all_of(prompt.settings.begin(), prompt.settings.end(),
                                                       [](const StudiedSetting& p) { return p.measured->ms > 0; });
  if (options.repeats == 0 || timed) return;
  time_all(prompt, options, run, info, pool, progress, cancel);
  save(options, prompt);
}

/// Each trace has a prompt of its own, so in a folder it has a file of its own.
EngineOptions engine_for(const Options& options, const std::string& name) {
  EngineOptions out = options.engine;
  std::string& file = out.prompt_cache.file;
  if (!file.empty() && fs::is_directory(file)) file = (fs::path(file) / (name + ".prompt")).string();
  return out;
}

void study_trace(const std::string& path, const Options& options, const Globals& globals, const ProgressFn& progress) {
  ThreadPool pool(globals.threads);
  const std::shared_ptr<TraceReader> trace = TraceReader::open(path);
  const TraceInfo& info = trace->info();
  if (!info.warning.empty()) print_note("reattend: {}: {}\n", path, info.warning);
  StudyPrompt prompt = {.name = fs::path(path).stem().string(),
                        .trace = path,
                        .fingerprint = fingerprint(*trace),
                        .n_prompt = info.n_prompt,
                        .n_step = info.n_step};
  if (const fs::path file = file_of(options, prompt.name); fs::exists(file)) {
    StudyPrompt old = read_prompt(file);
    if (old.fingerprint != prompt.fingerprint) {
      fail({.where = file.string(),
            .expected = fmt::format("the study of {}", path),
            .got = fmt::format("that of another trace of this name ({})", old.trace),
            .remedy = "choose another folder with --out"});
    }
    prompt = std::move(old);
  }
  {
    Replayer replayer(trace, pool, options.memory.bytes());
    replay_missing(prompt, settings_for(options, info), replayer, progress, globals.cancel);
  }
  save(options, prompt);
  const auto done = [&](const StudiedSetting& studied) {
    return studied.measured && (options.repeats == 0 || studied.measured->ms > 0);
  };
  if (std::all_of(prompt.settings.begin(), prompt.settings.end(), done)) return;
  std::vector<Settings> all;
  for (const StudiedSetting& studied : prompt.settings) all.push_back(studied.settings);
  TracedRun run(engine_for(options, prompt.name).traced(), *trace, all, pool, progress, globals.cancel);
  measure_missing(prompt, options, run, info, pool, progress, globals.cancel);
}

/// Every prompt that the folder has, by name.
std::vector<StudyPrompt> read_folder(const Options& options) {
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(options.out)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("prompt-") && name.ends_with(".json")) files.insert(entry.path());
  }
  if (files.empty()) {
    fail({.where = options.out,
          .expected = "the study of at least one prompt",
          .got = "none",
          .remedy = "name traces to study"});
  }
  std::vector<StudyPrompt> prompts;
  for (const fs::path& file : files) prompts.push_back(read_prompt(file));
  return prompts;
}

/// Estimates for the scatter plots: those asked for, otherwise the winner, the plainest and what was first thought
/// best.
std::vector<size_t> shown_estimates(const Options& options, const std::vector<const StudyPrompt*>& prompts) {
  std::vector<size_t> out;
  const auto add = [&](std::string_view name) {
    const auto at = static_cast<size_t>(&estimate_named(name, "--estimates") - estimates().data());
    if (std::find(out.begin(), out.end(), at) == out.end()) out.push_back(at);
  };
  for (const std::string& name : options.estimates) add(name);
  if (!out.empty()) return out;
  add(estimates()[score_estimates(prompts).front().estimate].name), add("lost_mass"), add("output_error_p95");
  return out;
}

void report(const Options& options, const Globals& globals) {
  const std::vector<StudyPrompt> prompts = read_folder(options);
  std::vector<const StudyPrompt*> all;
  for (const StudyPrompt& each : prompts) all.push_back(&each);
  const std::vector<size_t> shown = shown_estimates(options, all);
  const fs::path folder = options.out;
  const auto beside_text = [&](const char* chart) { return options.chart_format.files({}, chart).front().string(); };
  const Document document = study_document(all, options.settings,
                                           {{beside_text(kScatter), "KL against estimates"},
                                            {beside_text(kPredicted), "Predicted against measured mass and time"}});
  write_document(document, folder / "study.md", true);
  options.chart_format.write(scatter(all, shown), folder, kScatter, true, globals.cancel);
  options.chart_format.write(predicted_chart(all), folder, kPredicted, true, globals.cancel);
  if (globals.json) {
    print_out("{}\n", json_text(study_to_json(all), 1));
  } else {
    std::string written = "study.md";
    for (const char* const chart : {kScatter, kPredicted}) {
      for (const fs::path& file : options.chart_format.files({}, chart)) written += ", " + file.string();
    }
    print_out("{}\nwritten to {}: {}\n", to_text(document), options.out, written);
  }
}

void study(const Options& options, const Globals& globals) {
  for (const std::string& name : options.estimates) estimate_named(name, "--estimates");
  std::set<std::string> names;
  for (const std::string& path : options.traces) {
    if (names.insert(fs::path(path).stem().string()).second) continue;
    fail_usage({"traces", "files whose names differ (they name the prompts)", path, ""});
  }
  if (const std::string& file = options.engine.prompt_cache.file;
      !file.empty() && options.traces.size() > 1 && !fs::is_directory(file)) {
    fail_usage({.where = "--prompt-cache",
                .expected = "a folder that exists, for several traces: each prompt has a file of its own in it",
                .got = file,
                .remedy = "make the folder, or study one trace at a time"});
  }
  std::error_code made;
  fs::create_directories(options.out, made);
  if (made || !fs::is_directory(options.out)) {
    fail({.where = "--out " + options.out,
          .expected = "a folder",
          .got = made ? made.message() : "a file",
          .remedy = ""});
  }
  options.chart_format.check(options.out, {kScatter, kPredicted}, true);
  for (const std::string& path : options.traces) {
    refuse_to_replace_by_text(file_of(options, fs::path(path).stem().string()), true);
  }
  const ProgressFn progress = make_progress(globals.progress);
  try {
    for (const std::string& path : options.traces) study_trace(path, options, globals, progress);
  } catch (const Cancelled&) {
    print_note("reattend: stopped; what was measured is in {} and the same command goes on from there\n", options.out);
    throw;
  }
  report(options, globals);
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  command->add_option("traces", options->traces, "Traces of full-attention runs; none: report what --out holds")
      ->type_name("TRACE...");
  command->add_option("--out,-o", options->out, "Folder of the results; a stopped study goes on where it was")
      ->type_name("FOLDER")
      ->capture_default_str();
  command
      ->add_option("--policies", options->policies,
                   "Settings to try, NAME[:KEY=VALUE...] parted by commas [39 over all policies]")
      ->type_name("LIST");
  command->add_option("--estimates", options->estimates, "Estimates to plot [the best, lost_mass, output_error_p95]")
      ->delimiter(',')
      ->type_name("NAME,NAME..");
  command->add_option("--repeats", options->repeats, "Rounds of interleaved timing; 0: no times")
      ->type_name("N")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->add_flag("--no-mass", options->no_mass, "Do not measure recovered mass in the engine (most of the work)");
  command->add_flag("--settings", options->settings, "Also print every setting of every prompt");
  options->chart_format.add_to(*command);
  options->engine.add_to(*command);
  options->memory.add_to(*command);
  options->engine.prompt_cache.add_to(*command);
  command->footer(
      "Examples:\n"
      "  reattend study prose.h5 code.h5 --out study\n"
      "  reattend study --out study --settings\n"
      "  reattend study trace.h5 --policies recycled:S=4:K=256,recycled:S=16:K=256,h2o:K=256 --repeats 0\n\n"
      "Each trace is replayed under every setting and run by the engine, teacher-forced on the recorded tokens. Then\n"
      "each estimate is correlated with KL within each prompt and over all, and chosen on half of them for the rest.\n"
      "Between the timed runs the machine is calibrated: predicted times are held against the measured ones from that\n"
      "calibration and from the trace's. --prompt-cache takes a folder for several traces.");
}

}  // namespace

const Command kStudy = make_command<Options, add_options, study>(
    "study", "How well each estimate of a replay ranks settings, against the engine's KL");

}  // namespace reattend::cli
