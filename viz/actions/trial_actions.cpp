// Actions around the setting under trial: undo and redo, the baseline, notes, bookmarks.
#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"
#include "viz/session/baseline.h"
#include "viz/session/state_keeping.h"

namespace reattend::viz {
namespace {

constexpr const char* kEdit = "undo, baseline, notes";

Argument bookmark_number() {
  return {.name = "n", .type = ArgumentType::whole, .help = "its number", .low = 1, .high = kBookmarks};
}

/// One key for each bookmark.
std::vector<DefaultKey> bookmark_keys(const std::string& before) {
  std::vector<DefaultKey> keys;
  for (size_t n = 1; n <= kBookmarks; ++n) keys.push_back({before + std::to_string(n), "n=" + std::to_string(n)});
  return keys;
}

}  // namespace

void add_trial_actions(Actions& actions) {
  actions.add({.name = "edit.undo",
               .title = "undo",
               .group = kEdit,
               .run = does([](Workbench& bench) { undo(bench.session, bench.view); }),
               .keys = {{"Ctrl+Z"}},
               .repeats = true,
               .menu = "Edit",
               .what = [](const Workbench& bench) { return undo_name(bench.session); }});
  actions.add({.name = "edit.redo",
               .title = "redo",
               .group = kEdit,
               .run = does([](Workbench& bench) { redo(bench.session, bench.view); }),
               .keys = {{"Ctrl+Y"}, {"Ctrl+Shift+Z"}},
               .repeats = true,
               .menu = "Edit",
               .what = [](const Workbench& bench) { return redo_name(bench.session); }});
  actions.add({.name = "baseline.pin",
               .title = "make the setting under trial the baseline",
               .group = kEdit,
               .run = does([](Workbench& bench) { pin_trial(bench.session); }),
               .keys = {{"B"}},
               .menu = "Edit"});
  actions.add({.name = "baseline.load",
               .title = "baseline from a settings file, or another trace",
               .group = kEdit,
               .run = does([](Workbench& bench, const Arguments& arguments) {
                 pin_file(bench.session, arguments.text("file"));
               }),
               .arguments = {{.name = "file", .help = "a .toml file of settings, or a trace"}}});
  actions.add({.name = "baseline.clear",
               .title = "no baseline",
               .group = kEdit,
               .run = does([](Workbench& bench) { bench.session.data<Baseline>().clear(); }),
               .menu = "Edit"});
  actions.add({.name = "note.add",
               .title = "note at the selected step and position",
               .group = kEdit,
               .run = does([](Workbench& bench) {
                 bench.show(bench.panel("Notes", "note.add"));
                 add_note_here(bench.session);
               }),
               .keys = {{"Ctrl+M"}},
               .menu = "Edit"});
  actions.add({.name = "bookmark.save",
               .title = "keep this view as a bookmark",
               .group = kEdit,
               .run = does([](Workbench& bench, const Arguments& arguments) {
                 save_bookmark(static_cast<size_t>(arguments.whole("n")), bench.session, bench.view);
               }),
               .keys = bookmark_keys("Ctrl+"),
               .arguments = {bookmark_number()}});
  actions.add({.name = "bookmark.show",
               .title = "go to a bookmark",
               .group = kEdit,
               .run = does([](Workbench& bench, const Arguments& arguments) {
                 go_to_bookmark(static_cast<size_t>(arguments.whole("n")), bench.session, bench.view);
               }),
               .keys = bookmark_keys(""),
               .arguments = {bookmark_number()}});
}

}  // namespace reattend::viz
