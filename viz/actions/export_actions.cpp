// Actions that give what a panel shows to others: as CSV, SVG, JSON or by the clipboard.
#include <imgui.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"

namespace reattend::viz {
namespace {

constexpr const char* kGroup = "pictures and tables";

/// Panels have numbers of a trace alone.
const Panel& panel_with_trace(const Workbench& bench, const Arguments& arguments, const char* where) {
  const Panel& panel = bench.panel(arguments.text("panel"), where);
  if (bench.session.trace() == nullptr) fail({where, "an open trace", "none", "open one"});
  return panel;
}

reattend::Table table_of(const Workbench& bench, const Arguments& arguments, const char* where) {
  const Panel& panel = panel_with_trace(bench, arguments, where);
  const std::vector<PanelTable> tables = panel.tables(bench.session, bench.view);
  std::string names;
  for (const PanelTable& each : tables) {
    if (!arguments.has("table") || arguments.text("table") == each.name) return each.make();
    names += (names.empty() ? "" : ", ") + each.name;
  }
  fail_usage({.where = where, .expected = "a table of " + names, .got = arguments.text("table")});
}

void save(Workbench& bench, const Arguments& arguments) {
  constexpr const char* kWhere = "panel.export";
  const std::filesystem::path file = arguments.text("file");
  const bool force = arguments.flag("force", false);
  if (file.extension() == ".csv") return write_text_file(file, to_csv(table_of(bench, arguments, kWhere)), force);
  if (file.extension() != ".svg") {
    fail_usage({kWhere, "a name that ends in .csv or .svg", file.filename().string(), "panel.picture makes a PNG"});
  }
  const Panel& panel = panel_with_trace(bench, arguments, kWhere);
  const Panel::MakeChart chart = panel.chart();
  if (!chart) fail_usage({kWhere, "a panel with curves", panel.name(), "save it as .csv, or as a picture"});
  write_text_file(file, to_svg(chart(bench.session)), force);
}

}  // namespace

void add_export_actions(Actions& actions) {
  const Argument panel = {.name = "panel", .help = "its title", .choices = panel_names};
  const Argument table = {.name = "table", .help = "where the panel has several", .required = false};
  actions.add(
      {.name = "panel.export",
       .title = "save a panel's numbers or curves",
       .group = kGroup,
       .run = does(save),
       .arguments = {
           panel,
           {.name = "file", .help = "NAME.csv or NAME.svg"},
           table,
           {.name = "force", .type = ArgumentType::flag, .help = "replaces a file of this name", .required = false}}});
  actions.add({.name = "panel.copy",
               .title = "copy a panel's numbers to the clipboard",
               .group = kGroup,
               .run = does([](Workbench& bench, const Arguments& arguments) {
                 ImGui::SetClipboardText(to_tsv(table_of(bench, arguments, "panel.copy")).c_str());
               }),
               .arguments = {panel, table}});
  actions.add({.name = "panel.table",
               .title = "a panel's numbers as JSON",
               .group = kGroup,
               .run =
                   [](Workbench& bench, const Arguments& arguments) {
                     return Outcome{.result = to_json(table_of(bench, arguments, "panel.table"))};
                   },
               .arguments = {panel, table}});
}

}  // namespace reattend::viz
