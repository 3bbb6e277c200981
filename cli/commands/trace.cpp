// `reattend trace`: what lies in a trace, whether it is sound, and copies of it or of parts.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "base/statistics.h"
#include "cli/command.h"
#include "report/table.h"
#include "traces/read/check.h"
#include "traces/read/reader.h"
#include "traces/step_means.h"
#include "traces/write/repair.h"

namespace reattend::cli {
namespace {

std::string state_of(const TraceInfo& info) {
  return info.closed ? "closed" : info.live ? "being recorded" : "not closed (the recording was cut off)";
}

/// Maps, measured steps and layers in words.
std::string stored_text(const TraceInfo& info) {
  std::string text = info.maps == Maps::top      ? fmt::format("the {} strongest positions of each row", info.n_map)
                     : info.maps == Maps::dense  ? "whole rows"
                     : info.maps == Maps::binned ? fmt::format("rows in bins of {} positions", info.map_bin)
                                                 : "no maps";
  text += info.measure_every == 1   ? ", every step measured"
          : info.measure_every == 0 ? ", no step measured"
                                    : fmt::format(", every {}th step measured", info.measure_every);
  if (info.layers.empty()) return text + ", all layers";
  return text + fmt::format(", layers {}", fmt::join(info.layers, ","));
}

/// Every dataset with its sizes and meaning.
nlohmann::ordered_json datasets_of(const TraceReader& trace) {
  const schema::Sizes sizes = schema::sizes_of(trace.info());
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const schema::Dataset& row : schema::kDatasets) {
    if (!trace.has(row)) continue;
    const schema::Extents extents = sizes.shape(row);
    std::vector<uint64_t> shape(extents.begin(), extents.begin() + row.rank());
    if (row.shape[0] == schema::text_bytes) shape.clear();
    out.push_back({{"name", path_of(row)},
                   {"type", hdf5::name_of(schema::element_of(row.type, trace.info().kv_type))},
                   {"axes", axes_of(row)},
                   {"shape", shape},
                   {"unit", row.unit},
                   {"range", text_of(row.range)},
                   {"description", row.description}});
  }
  return out;
}

Table datasets_table(const nlohmann::ordered_json& datasets) {
  Table out = {.columns = {{.key = "name", .title = "dataset", .left = true},
                           {.key = "type", .left = true},
                           {.key = "axes", .left = true},
                           {.key = "unit", .left = true},
                           {.key = "range", .left = true},
                           {.key = "description", .title = "what it holds", .left = true}}};
  for (const auto& row : datasets) {
    std::vector<Cell>& cells = out.rows.emplace_back();
    for (const Column& column : out.columns) {
      const std::string text = row[column.key].get<std::string>();
      cells.emplace_back(column.key == "axes" ? fmt::format("[{}]", text) : text);
    }
  }
  return out;
}

/// What was measured, as means over steps, layers and KV heads; null where nothing was.
nlohmann::ordered_json means_of(const TraceInfo& info, const StepData& steps) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const Measure& each : measures_of(info)) {
    out[each.key] = json_number(mean_of(each, info, steps, {.last_step = info.n_step}));
  }
  return out;
}

/// The same of what has layers, and was measured.
Table means_table(const TraceInfo& info, const nlohmann::ordered_json& means) {
  Table out = {.columns = {{.key = "measure", .left = true},
                           {.key = "mean", .digits = 4, .notation = Notation::significant},
                           {.key = "unit", .left = true}}};
  for (const Measure& each : measures_of(info)) {
    const nlohmann::ordered_json& mean = means[each.key];
    if (!each.by_layer() || mean.is_null()) continue;
    out.rows.push_back({each.title, mean.get<double>(), std::string(each.row->unit)});
  }
  return out;
}

void show(const std::string& file, const Globals& globals) {
  const auto trace = TraceReader::open(file);
  const TraceInfo& info = trace->info();
  const StepData steps = trace->steps();
  const nlohmann::ordered_json datasets = datasets_of(*trace), means = means_of(info, steps);
  const double full = info.n_step > 0 ? means["full"].get<double>() : 0;
  const double ms = median(steps.ms);
  const auto bytes = static_cast<double>(std::filesystem::file_size(info.path));
  if (globals.json) {
    const nlohmann::ordered_json json = {{"trace", info.path.string()},
                                         {"bytes", static_cast<int64_t>(bytes)},
                                         {"state", state_of(info)},
                                         {"warning", info.warning},
                                         {"format_version", info.attributes.at("format_version")},
                                         {"policy", info.policy_known ? info.settings.to_json() : nlohmann::json()},
                                         {"n_prompt", info.n_prompt},
                                         {"n_step", info.n_step},
                                         {"n_skipped", info.n_skipped},
                                         {"stored", stored_text(info)},
                                         {"full_share", full},
                                         {"ms_per_token", ms},
                                         {"means", means},
                                         {"datasets", datasets}};
    print_out("{}\n", json_text(json));
    return;
  }
  Table facts = {.columns = {{.key = {}, .left = true}, {.key = {}, .left = true}}};
  const auto add = [&](const char* name, const std::string& value) {
    facts.rows.push_back({std::string(name), value});
  };
  add("trace",
      to_line({.where = info.path.string(), .got = fmt::format("{:.1f} MB, {}", bytes / 1e6, state_of(info))}));
  if (!info.warning.empty()) add("warning", to_line({.where = info.warning}));
  add("policy", info.policy_text() + (info.shadow ? " (observing, output is full attention's)" : ""));
  add("tokens",
      fmt::format("{} of the prompt{}, {} decoded", info.n_prompt,
                  info.n_skipped > 0 ? fmt::format(" (the last {} decoded before)", info.n_skipped) : "", info.n_step));
  add("stored", stored_text(info));
  add("steps", fmt::format("{:.2f} ms (median), {:.1f} % full", ms, 100 * full));
  const Table shown_means = means_table(info, means);
  print_out("{}\n{}\n{}", to_text(facts), shown_means.rows.empty() ? "nothing was measured\n" : to_text(shown_means),
            to_text(datasets_table(datasets)));
}

void check(const std::string& file, int32_t n_row, const Globals& globals) {
  const TraceCheck found = check_trace(file, n_row, make_progress(globals.progress), globals.cancel);
  if (globals.json) {
    const nlohmann::ordered_json json = {{"trace", file},
                                         {"sound", found.problems.empty()},
                                         {"problems", found.problems},
                                         {"bytes_read", found.bytes_read},
                                         {"rows_recomputed", found.rows_recomputed},
                                         {"worst_weight_error", found.worst_weight_error}};
    print_out("{}\n", json_text(json));
  } else {
    for (const auto& line : found.problems) print_out("{}\n", line);
    print_out("{:.1f} MB read, {} rows recomputed from keys and queries: weights differ by at most {:.1e}\n",
              static_cast<double>(found.bytes_read) / 1e6, found.rows_recomputed, found.worst_weight_error);
  }
  if (found.problems.empty()) return;
  fail({.where = file,
        .expected = "a sound trace",
        .got = fmt::format("{} problem{}", found.problems.size(), found.problems.size() == 1 ? "" : "s"),
        .remedy = "a recording that was cut off: `reattend trace repair`; otherwise record again"});
}

void repair(const std::string& file, std::string target, bool force, const Globals& globals) {
  if (target.empty()) {
    const std::filesystem::path path = file;
    target = (path.parent_path() / (path.stem().string() + ".repaired" + path.extension().string())).string();
  }
  const int32_t n_step = repair_trace(file, target, force);
  if (globals.json) {
    print_out("{}\n", json_text(nlohmann::json({{"trace", target}, {"n_step", n_step}})));
  } else {
    print_out("{}: {} steps, opens with any HDF5 1.10 program\n", target, n_step);
  }
}

/// Its subcommands share their options: each reads those that it has.
struct Options {
  std::string file, out;
  int32_t rows = 20;
  bool force = false;
};

void set_up(CLI::App& command, const Globals& globals) {
  const auto o = std::make_shared<Options>();
  command.require_subcommand(1);
  command.footer(
      "Examples:\n  reattend trace info trace.h5\n  reattend trace check trace.h5 --rows 100\n"
      "  reattend trace repair trace.h5 --out whole.h5\n"
      "  reattend trace slice trace.h5 --steps 100:163 --layers 0,10-12 --out part.h5\n"
      "  reattend trace merge first.h5 second.h5 --out whole.h5\n"
      "  reattend trace export trace.h5 --format perfetto --out trace.json\n\n"
      "Copies take their names when they are whole: an interrupted one leaves nothing behind.");
  const auto add = [&](const char* name, const char* what) {
    CLI::App* const sub = command.add_subcommand(name, what);
    sub->fallthrough();
    sub->add_option("trace", o->file, "The trace")->required()->type_name("FILE");
    return sub;
  };
  add("info", "State, size, and every dataset with its meaning")->callback([o, &globals] { show(o->file, globals); });
  CLI::App* const checking =
      add("check", "Read everything, hold ranges and sums, recompute rows from keys and queries");
  checking->add_option("--rows", o->rows, "Attention rows to recompute")->check(CLI::Range(0, 1000000))->type_name("N");
  checking->callback([o, &globals] { check(o->file, o->rows, globals); });
  CLI::App* const repairing = add("repair", "Write a copy, cut to the finished steps, that any HDF5 program opens");
  repairing->add_option("--out", o->out, "The copy; default: beside the trace, with .repaired in its name")
      ->type_name("FILE");
  repairing->add_flag("--force", o->force, "Replace the copy if it exists");
  repairing->callback([o, &globals] { repair(o->file, o->out, o->force, globals); });
  for (const Command* const each : {&kTraceSlice, &kTraceMerge, &kTraceExport}) add_command(command, *each, globals);
}

}  // namespace

const Command kTrace = {"trace", "Look into, check, repair, cut, join and export traces", set_up};

}  // namespace reattend::cli
