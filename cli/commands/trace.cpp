// `reattend trace`: what lies in a trace, whether it is sound, and copies of it or of parts.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/standard_streams.h"
#include "base/statistics.h"
#include "cli/command.h"
#include "cli/commands/trace_edit.h"
#include "traces/read/check.h"
#include "traces/read/reader.h"
#include "traces/read/sizes.h"
#include "traces/schema.h"
#include "traces/write/repair.h"

namespace reattend::cli {
namespace {

constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

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

void show(const std::string& file, const Globals& globals) {
  const auto trace = TraceReader::open(file);
  const TraceInfo& info = trace->info();
  const StepData steps = trace->steps();
  const auto n_full = std::count(steps.full.begin(), steps.full.end(), uint8_t{1});
  const int64_t n_decision = int64_t{info.n_step} * info.n_stored() * info.n_kv_head;
  const double full = n_decision > 0 ? static_cast<double>(n_full) / static_cast<double>(n_decision) : 0;
  const double ms = median(steps.ms);
  const schema::Sizes sizes = sizes_of(info);
  nlohmann::ordered_json datasets = nlohmann::ordered_json::array();
  for (const auto& row : schema::kDatasets) {
    if (!trace->has(row)) continue;
    std::vector<hsize_t> shape;
    std::string axes;
    for (int i = 0; i < row.rank(); ++i) {
      const schema::Dim dim = row.shape[static_cast<size_t>(i)];
      shape.push_back(sizes.of(dim));
      axes += (i == 0 ? "" : ", ") + std::string(schema::symbol(dim));
    }
    if (row.shape[0] == schema::Dim::text_bytes) shape.clear();
    datasets.push_back({{"name", fmt::format("{}/{}", row.group, row.name)},
                        {"type", hdf5::name_of(schema::element_of(row.type, info.kv_type))},
                        {"axes", axes},
                        {"shape", shape},
                        {"unit", row.unit},
                        {"description", row.description}});
  }
  const auto bytes = static_cast<double>(std::filesystem::file_size(info.path));
  if (globals.json) {
    const nlohmann::ordered_json json = {{"trace", info.path.string()},
                                         {"bytes", static_cast<int64_t>(bytes)},
                                         {"state", state_of(info)},
                                         {"warning", info.warning},
                                         {"format_version", info.attributes.at("format_version")},
                                         {"policy", info.settings.to_json()},
                                         {"n_prompt", info.n_prompt},
                                         {"n_step", info.n_step},
                                         {"n_skipped", info.n_skipped},
                                         {"stored", stored_text(info)},
                                         {"full_share", full},
                                         {"ms_per_token", ms},
                                         {"datasets", datasets}};
    print_out("{}\n", json.dump(-1, ' ', false, kReplace));
    return;
  }
  print_out("{}\n",
            to_line({.where = info.path.string(), .got = fmt::format("{:.1f} MB, {}", bytes / 1e6, state_of(info))}));
  if (!info.warning.empty()) print_out("warning    {}\n", to_line({.where = info.warning}));
  print_out("policy     {}{}\n", info.settings.summary(),
            info.shadow ? " (observing, output is full attention's)" : "");
  print_out("tokens     {} of the prompt{}, {} decoded\n", info.n_prompt,
            info.n_skipped > 0 ? fmt::format(" (the last {} decoded before)", info.n_skipped) : "", info.n_step);
  print_out("stored     {}\n", stored_text(info));
  print_out("steps      {:.2f} ms (median), {:.1f} % full\n\n", ms, 100 * full);
  for (const auto& row : datasets) {
    print_out("{:<22} {:<8} [{}]\n", row["name"].get<std::string>(), row["type"].get<std::string>(),
              row["axes"].get<std::string>());
    print_out("    {} ({})\n", row["description"].get<std::string>(), row["unit"].get<std::string>());
  }
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
    print_out("{}\n", json.dump(-1, ' ', false, kReplace));
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
    print_out("{}\n", nlohmann::json({{"trace", target}, {"n_step", n_step}}).dump(-1, ' ', false, kReplace));
  } else {
    print_out("{}: {} steps, opens with any HDF5 1.10 program\n", target, n_step);
  }
}

}  // namespace

void add_trace(CLI::App& app, const Globals& globals) {
  struct Options {
    std::string file, out;
    int32_t rows = 20;
    bool force = false;
  };
  const auto o = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand("trace", "Look into, check, repair, cut, join and export traces");
  command->require_subcommand(1);
  command->footer(
      "Examples:\n  reattend trace info trace.h5\n  reattend trace check trace.h5 --rows 100\n"
      "  reattend trace repair trace.h5 --out whole.h5\n"
      "  reattend trace slice trace.h5 --steps 100:163 --layers 0,10-12 --out part.h5\n"
      "  reattend trace merge first.h5 second.h5 --out whole.h5\n"
      "  reattend trace export trace.h5 --format perfetto --out trace.json\n\n"
      "Copies take their names when they are whole: an interrupted one leaves nothing behind.");
  const auto add = [&](const char* name, const char* what) {
    CLI::App* const sub = command->add_subcommand(name, what);
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
  add_trace_edits(*command, globals);
}

}  // namespace reattend::cli
