// `reattend analyse`: what a recorded run says about budgets, strides, thresholds and layers, before any is chosen.
#include <filesystem>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "cli/command.h"
#include "cli/options/chart_format.h"
#include "cli/options/json_file.h"
#include "cli/options/lists.h"
#include "cli/options/memory_option.h"
#include "cli/options/policy_options.h"
#include "cli/reports/analyse.h"
#include "policies/shared_parameters.h"
#include "policies/value_text.h"
#include "tune/settings_file.h"

namespace reattend::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string trace, what, layers, budgets, lags, strides, thresholds, json_file, csv, chart;
  ChartFormat chart_format;
  PolicyOptions policy;
  MemoryOption memory;
  double rho = 0.9, above = 0.01;
  int64_t top = 20;
  bool json = false, stale_alone = false, force = false;
};

std::set<Analysis> parse_what(const std::string& text) {
  std::set<Analysis> out;
  std::string rest = text + ",";
  for (size_t comma = rest.find(','); comma != rest.npos; comma = rest.find(',')) {
    const std::string name = rest.substr(0, comma);
    rest.erase(0, comma + 1);
    const auto found = std::find(kAnalyses.begin(), kAnalyses.end(), name);
    if (found != kAnalyses.end()) {
      out.insert(static_cast<Analysis>(found - kAnalyses.begin()));
    } else if (name == "all") {
      for (size_t i = 0; i < kAnalyses.size(); ++i) out.insert(static_cast<Analysis>(i));
    } else {
      fail_usage({.where = "--what",
                  .expected = fmt::format("all, or some of {}", fmt::join(kAnalyses, ", ")),
                  .got = fmt::format("\"{}\"", name),
                  .remedy = {}});
    }
  }
  return out;
}

/// K is an eighth of the prompt unless somebody says otherwise, of one shorter than that its one position.
Settings settings_of(const Options& options, int32_t n_prompt) {
  Settings settings = options.policy.settings();
  if (!settings.takes("K")) {
    fail_usage({.where = "--policy",
                .expected = "one that has a budget",
                .got = settings.policy(),
                .remedy = "full attention loses nothing"});
  }
  if (options.policy.file.empty() && !options.policy.given.contains("K")) {
    const std::string eighth = "L/8";
    settings.set("K", fraction_of(eighth, n_prompt) > 0 ? Value{eighth} : Value{int64_t{1}});
  }
  return settings;
}

std::vector<int32_t> budgets_of(const std::string& text, int32_t n_prompt) {
  std::vector<int32_t> out;
  for (const Value& value : parse_each(kBudget, "budgets", text)) {
    Settings settings{kDefaultPolicy};
    settings.set("K", value);
    out.push_back(static_cast<int32_t>(settings.count("K", 0, n_prompt)));
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

AnalysisRequest request_of(const Options& options, const TraceInfo& info) {
  AnalysisRequest out = {.what = parse_what(options.what),
                         .settings = settings_of(options, info.n_prompt),
                         .layers = parse_layers(options.layers, info.n_layer),
                         .budgets = budgets_of(options.budgets, info.n_prompt),
                         .lags = parse_counts("--lags", options.lags),
                         .strides = parse_counts("--strides", options.strides),
                         .rho = options.rho,
                         .gate_set = options.stale_alone ? OldSet::stale : OldSet::attended,
                         .lost = {.above = options.above}};
  for (const Value& value : parse_each(kThreshold, "thresholds", options.thresholds))
    out.thresholds.push_back(std::get<double>(value));
  return out;
}

/// Throws Error, before any work, for a folder that can't be made; nothing is made where none was asked for.
void make_folder(const std::string& folder, const char* option) {
  if (folder.empty()) return;
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) return;
  fail({.where = folder,
        .expected = "a folder",
        .got = error.message(),
        .remedy = fmt::format("give another {}", option)});
}

/// The CSV files that would be written. Refuses before any work what could not be.
std::vector<fs::path> csv_files(const Options& options, const std::set<Analysis>& what) {
  std::vector<fs::path> out;
  if (options.csv.empty()) return out;
  make_folder(options.csv, "--csv");
  for (const Analysis each : what) {
    for (const std::string& name : table_names(each)) out.push_back(fs::path(options.csv) / (name + ".csv"));
  }
  for (const fs::path& path : out) refuse_to_replace_by_text(path, options.force, "--csv");
  check_folder_of(out[0], "--csv");
  return out;
}

void check_charts(const Options& options, const std::set<Analysis>& what) {
  if (options.chart.empty()) return;
  ChartFormat::check_folder(options.chart, "--chart");
  make_folder(options.chart, "--chart");
  std::vector<std::string> names;
  for (const Analysis each : what) names.emplace_back(kAnalyses[static_cast<size_t>(each)]);
  options.chart_format.check(options.chart, names, options.force);
}

void check_names(const Options& options) {
  check_json_file(options.json_file, options.force);
  if (options.trace.empty()) {
    fail_usage({.where = "TRACE", .expected = "a trace to analyse", .got = "none", .remedy = "give its file"});
  }
}

nlohmann::json to_json(const AnalysisReport& report, const std::vector<Table>& tables) {
  const AnalysisRequest& request = report.result.request;
  nlohmann::json out = {{"trace", report.info.path.string()},
                        {"n_prompt", report.info.n_prompt},
                        {"n_step", report.info.n_step},
                        {"settings", request.settings.to_json()},
                        {"layers", request.layers},
                        {"rho", request.rho},
                        {"gate_mass", request.gate_set == OldSet::stale ? "stale" : "attended"},
                        {"wanted_above", request.lost.above}};
  for (const Table& table : tables) out[table.name] = reattend::to_json(table);
  return out;
}

void warn(const TraceInfo& info) {
  if (!info.warning.empty()) print_note("reattend: {}: {}\n", info.path.string(), info.warning);
  if (info.is_of_full_attention()) return;
  print_note(
      "reattend: {}: recorded under {}, whose errors are in its queries and keys; a full-attention trace says "
      "more\n",
      info.path.string(), info.policy_text());
}

void run(const Options& options, const Globals& globals) {
  check_names(options);
  const std::set<Analysis> what = parse_what(options.what);
  const auto trace = TraceReader::open(options.trace);
  const AnalysisRequest request = request_of(options, trace->info());
  options.policy.check_layers(request.settings, trace->info().n_layer);
  const std::vector<fs::path> csv = csv_files(options, what);
  check_charts(options, what);

  ThreadPool pool(globals.threads);
  Replayer replayer(trace, pool, options.memory.bytes());
  replayer.keep_one_layer();  // each is looked at once
  warn(replayer.info());
  const StepData recorded = trace->steps();
  const AnalysisResult result =
      analyse(replayer, recorded, request, pool, make_progress(globals.progress), globals.cancel);
  const AnalysisReport report = {.info = replayer.info(),
                                 .result = result,
                                 .recorded = recorded,
                                 .texts = trace->token_texts(),
                                 .n_token = static_cast<size_t>(options.top)};

  const std::vector<Table> tables = stored_tables(report);
  for (size_t i = 0; i < csv.size(); ++i) write_text_file(csv[i], to_csv(tables[i]), options.force);
  if (!options.chart.empty()) {
    for (const auto& [name, chart] : charts(report)) {
      options.chart_format.write(chart, options.chart, name, options.force, globals.cancel);
    }
  }
  const bool print_json = globals.json || (options.json && options.json_file.empty());
  if (print_json || !options.json_file.empty()) {
    const std::string text = json_text(to_json(report, tables), 1);
    if (!options.json_file.empty()) write_text_file(options.json_file, text + "\n", options.force);
    if (print_json) print_out("{}\n", text);
  }
  if (print_json) return;
  print_out("{}: {} prompt tokens, {} steps, {} of {} layers x {} KV heads\n", report.info.path.string(),
            report.info.n_prompt, report.info.n_step, result.request.layers.size(), report.info.n_layer,
            report.info.n_kv_head);
  for (const Table& table : printed_tables(report)) print_out("\n{}", to_text(table));
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  options->policy.initial = kDefaultPolicy, options->what = "all";
  command->add_option("trace", options->trace, "Trace, best of a full-attention run")->type_name("TRACE");
  command->add_option("--what", options->what, fmt::format("Some of {}", fmt::join(kAnalyses, ",")))
      ->type_name("LIST")
      ->capture_default_str();
  command->add_option("--layers", options->layers, "Only these, such as 0,3,10-12")->type_name("LAYERS");
  command->add_option("--budgets", options->budgets, "K of overlap, coverage and sensitivity (default L/32 to L/4)")
      ->type_name("K,K,..");
  command->add_option("--lags", options->lags, "Ages of a kept set, for overlap and gate (default 1,2,4,..64)")
      ->type_name("N,N,..");
  command->add_option("--strides", options->strides, "S of cosine to the last refresh (default 4,16,64)")
      ->type_name("S,S,..");
  command->add_option("--thresholds", options->thresholds, "For gate and stride (default 0.7 to 0.95)")
      ->type_name("X,X,..");
  command->add_option("--rho", options->rho, "Gate: a set of less than this share of the oracle's mass wants a refresh")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_flag("--stale-alone", options->stale_alone,
                    "Gate: judge the old set by itself, without the positions that came since");
  command
      ->add_option("--wanted-above", options->above, "Lost: share of a row from which on a position counts as wanted")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--top", options->top, "Lost: how many tokens are listed")
      ->type_name("N")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  add_json_file(*command, options->json, options->json_file);
  command->add_option("--csv", options->csv, "Write the numbers as CSV files into this folder")->type_name("FOLDER");
  CLI::Option* const chart =
      command->add_option("--chart", options->chart, "Draw each analysis into this folder")->type_name("FOLDER");
  options->chart_format.add_to(*command)->needs(chart);
  command->add_flag("--force", options->force, "Replace files that exist");
  options->policy.add_to(*command);
  options->memory.add_to(*command);
  command->footer(
      "Examples:\n"
      "  reattend analyse trace.h5\n"
      "  reattend analyse trace.h5 --what coverage,overlap --budgets 128,256,L/8 --lags 1,4,16,64\n"
      "  reattend analyse trace.h5 --what gate --stride 16 --rho 0.95 --thresholds 0.8,0.85,0.9\n"
      "  reattend analyse trace.h5 --what lost,sensitivity --settings reattend.toml --top 40\n"
      "  reattend analyse trace.h5 --csv out --chart out --json out/all.json\n\n"
      "`lost` and `sensitivity` replay the policy (recycled unless another is given); overlap, gate and stride are "
      "about\n"
      "recycled attention and take its K, S, reduce, pool and similarity from the same options. K is L/8 unless "
      "given.");
}

}  // namespace

const Command kAnalyse = make_command<Options, add_options, run>(
    "analyse", "What a trace says: how sets age, coverage, gates, lost tokens, sensitive layers");

}  // namespace reattend::cli
