// Options and reports; the work is done in traces/write and traces/export.
#include "cli/commands/trace_edit.h"

#include <filesystem>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/standard_streams.h"
#include "base/thread_pool.h"
#include "cli/options/lists.h"
#include "cli/options/step_range.h"
#include "traces/export/perfetto.h"
#include "traces/export/trace_tables.h"
#include "traces/write/edit.h"

namespace reattend::cli {
namespace {

constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

struct Options {
  std::string file, second, out, steps, layers, format = "csv";
  bool no_values = false, force = false;
};

/// One line, or the same as JSON; `n_step` -1: of no interest.
void report(const std::vector<std::string>& files, int32_t n_step, const Globals& globals) {
  uintmax_t bytes = 0;
  for (const auto& file : files) bytes += std::filesystem::file_size(file);
  if (globals.json) {
    nlohmann::ordered_json json = {{"files", files}, {"bytes", bytes}};
    if (n_step >= 0) json["n_step"] = n_step;
    print_out("{}\n", json.dump(-1, ' ', false, kReplace));
    return;
  }
  for (const auto& file : files) print_out("{}{}", &file == files.data() ? "" : ", ", file);
  print_out("{}  {:.1f} MB\n", n_step >= 0 ? fmt::format(": {} steps", n_step) : "", static_cast<double>(bytes) / 1e6);
}

void slice(const Options& o, const Globals& globals) {
  const StepRange steps = o.steps.empty() ? StepRange{} : parse_steps(o.steps, true);
  const int32_t n_layer = TraceReader::open(o.file)->info().n_layer;
  const TraceSlice what = {.first_step = steps.first,
                           .last_step = steps.last,
                           .layers = parse_layers(o.layers, n_layer),
                           .values = !o.no_values};
  ThreadPool pool(globals.threads);
  const int32_t n_step =
      slice_trace(o.file, o.out, what, o.force, pool, make_progress(globals.progress), globals.cancel);
  const TraceInfo info = TraceReader::open(o.out)->info();
  if (what.first_step > 1 && !info.settings.is_full() && !info.shadow) {
    print_note("reattend: {}: a replay of {} begins with a full step here, which the run did not\n", o.out,
               info.settings.policy());
  }
  report({o.out}, n_step, globals);
}

void merge(const Options& o, const Globals& globals) {
  ThreadPool pool(globals.threads);
  const int32_t n_step =
      merge_traces(o.file, o.second, o.out, o.force, pool, make_progress(globals.progress), globals.cancel);
  report({o.out}, n_step, globals);
}

/// trace.csv -> trace.heads.csv
std::string beside(const std::string& name) {
  const std::filesystem::path path = name;
  return (path.parent_path() / (path.stem().string() + ".heads" + path.extension().string())).string();
}

void export_trace(const Options& o, const Globals& globals) {
  const bool csv = o.format == "csv", json = o.format == "json";
  if (!csv && !json && o.format != "perfetto") {
    fail_usage({.where = "--format",
                .expected = "csv, json or perfetto",
                .got = fmt::format("\"{}\"", o.format),
                .remedy = {}});
  }
  std::vector<std::string> files = {o.out};
  if (csv) files.push_back(beside(o.out));
  for (const auto& file : files) refuse_to_replace_by_text(file, o.force);
  const auto trace = TraceReader::open(o.file);
  if (!trace->info().warning.empty()) print_note("reattend: {}: {}\n", o.file, trace->info().warning);
  const TraceTables tables = tables_of(*trace);
  globals.cancel.check();
  if (csv) {
    write_text_file(files[0], steps_to_csv(tables), o.force);
    write_text_file(files[1], heads_to_csv(tables), o.force);
  } else if (json) {
    write_text_file(o.out, to_json(tables, trace->info()).dump(1, ' ', false, kReplace) + "\n", o.force);
  } else {
    WholeFile file(o.out, o.force);
    write_perfetto(
        *trace, tables, [&](std::string_view text) { file.write(text); }, globals.cancel);
    file.publish();
  }
  report(files, -1, globals);
}

}  // namespace

void add_trace_edits(CLI::App& trace, const Globals& globals) {
  const auto o = std::make_shared<Options>();
  const auto add = [&](const char* name, const char* what, const char* file) {
    CLI::App* const sub = trace.add_subcommand(name, what);
    sub->fallthrough();
    sub->add_option("trace", o->file, file)->required()->type_name("FILE");
    return sub;
  };
  const auto add_out = [&](CLI::App* sub, const char* what) {
    sub->add_option("--out,-o", o->out, what)->required()->type_name("FILE");
    sub->add_flag("--force", o->force, "Replace what exists");
  };
  CLI::App* const slicing = add("slice", "Write some steps or layers of a trace as one of its own", "The trace");
  add_out(slicing, "The part");
  slicing
      ->add_option("--steps", o->steps,
                   "Steps A to B, counted from 1 (A: or :B to the end or from the beginning); the tokens before them "
                   "count as prompt")
      ->type_name("A:B");
  slicing->add_option("--layers", o->layers, "Only these, such as 0,3,10-12")->type_name("LAYERS");
  slicing->add_flag("--no-values", o->no_values, "Leave the values out: no output error in a replay");
  slicing->callback([o, &globals] { slice(*o, globals); });

  CLI::App* const merging = add("merge", "Join two traces of one recording that follow each other", "The first part");
  merging->add_option("second", o->second, "The second part: its prompt is all of the first")
      ->required()
      ->type_name("FILE");
  add_out(merging, "The whole");
  merging->callback([o, &globals] { merge(*o, globals); });

  CLI::App* const exporting = add("export", "Write a trace's numbers for other programs", "The trace");
  add_out(exporting, "The file; csv writes a second one, of KV heads, with .heads in its name");
  exporting
      ->add_option("--format", o->format,
                   "csv (one line a step, one a KV head), json (the same numbers), perfetto (a time line for "
                   "ui.perfetto.dev)")
      ->type_name("FORMAT")
      ->capture_default_str();
  exporting->callback([o, &globals] { export_trace(*o, globals); });
}

}  // namespace reattend::cli
