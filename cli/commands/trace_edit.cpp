// `reattend trace slice`, `merge` and `export`: parts of traces, joined ones, and their numbers for other programs.

#include <filesystem>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "base/thread_pool.h"
#include "cli/command.h"
#include "cli/options/lists.h"
#include "cli/options/step_range.h"
#include "cli/reports/trace_tables.h"
#include "traces/export/perfetto.h"
#include "traces/write/edit.h"

namespace reattend::cli {
namespace {

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
    print_out("{}\n", json_text(json));
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
  if (what.first_step > 1 && !info.is_of_full_attention()) {
    print_note("reattend: {}: a replay of {} begins with a full step here, which the run did not\n", o.out,
               info.policy_known ? std::string(info.settings.policy()) : info.policy_text());
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
  if (csv || json) {
    const StepData data = trace->steps();
    const Table steps = steps_table(*trace, data), heads = heads_table(trace->info(), data);
    globals.cancel.check();
    const auto write = [&](const std::string& path, const std::string& text) { write_text_file(path, text, o.force); };
    if (json) write(o.out, json_text(json_of(steps, heads, trace->info()), 1) + "\n");
    if (csv) write(files[0], csv_of(steps)), write(files[1], csv_of(heads));
  } else {
    WholeFile file(o.out, o.force);
    write_perfetto(
        *trace, [&](std::string_view text) { file.write(text); }, globals.cancel);
    file.publish();
  }
  report(files, -1, globals);
}

void add_file(CLI::App* command, const std::shared_ptr<Options>& o, const char* what) {
  command->add_option("trace", o->file, what)->required()->type_name("FILE");
}

void add_out(CLI::App* command, const std::shared_ptr<Options>& o, const char* what) {
  command->add_option("--out,-o", o->out, what)->required()->type_name("FILE");
  command->add_flag("--force", o->force, "Replace what exists");
}

void add_slice(CLI::App* command, const std::shared_ptr<Options>& o) {
  add_file(command, o, "The trace");
  add_out(command, o, "The part");
  command
      ->add_option("--steps", o->steps,
                   "Steps A to B, counted from 1 (A: or :B to the end or from the beginning); the tokens before them "
                   "count as prompt")
      ->type_name("A:B");
  command->add_option("--layers", o->layers, "Only these, such as 0,3,10-12")->type_name("LAYERS");
  command->add_flag("--no-values", o->no_values, "Leave the values out: no output error in a replay");
}

void add_merge(CLI::App* command, const std::shared_ptr<Options>& o) {
  add_file(command, o, "The first part");
  command->add_option("second", o->second, "The second part: its prompt is all of the first")
      ->required()
      ->type_name("FILE");
  add_out(command, o, "The whole");
}

void add_export(CLI::App* command, const std::shared_ptr<Options>& o) {
  add_file(command, o, "The trace");
  add_out(command, o, "The file; csv writes a second one, of KV heads, with .heads in its name");
  command
      ->add_option("--format", o->format,
                   "csv (one line a step, one a KV head), json (the same numbers), perfetto (a time line for "
                   "ui.perfetto.dev)")
      ->type_name("FORMAT")
      ->capture_default_str();
}

}  // namespace

const Command kTraceSlice =
    make_command<Options, add_slice, slice>("slice", "Write some steps or layers of a trace as one of its own");
const Command kTraceMerge =
    make_command<Options, add_merge, merge>("merge", "Join two traces of one recording that follow each other");
const Command kTraceExport =
    make_command<Options, add_export, export_trace>("export", "Write a trace's numbers for other programs");

}  // namespace reattend::cli
