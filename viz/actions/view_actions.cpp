// Actions that change how something is shown: zoom, colours, size of text, panels and their layout.
#include <algorithm>

#include <imgui.h>

#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"
#include "viz/panels/layouts.h"
#include "viz/panels/step_axis.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

constexpr double kPan = 0.1, kZoom = 0.8;
constexpr float kText = 1.1F;

void zoom(Workbench& bench, double factor) {
  SharedView& view = bench.view;
  const auto zoom_axis = [factor](Limits& limits, double centre) {
    limits = {centre + (limits.low - centre) * factor, centre + (limits.high - centre) * factor};
  };
  const auto middle = [](const Limits& limits) { return (limits.low + limits.high) / 2; };
  if (view.focus == Focus::timeline) return zoom_axis(view.steps, bench.session.selection().step);
  zoom_axis(view.heat_positions, view.hover ? view.hover->position : middle(view.heat_positions));
  zoom_axis(view.steps, view.hover ? view.hover->step : middle(view.steps));
}

void pan(Workbench& bench, double share) {
  SharedView& view = bench.view;
  Limits& limits = view.focus == Focus::timeline ? view.steps : view.heat_positions;
  const double by = (limits.high - limits.low) * share;
  limits = {limits.low + by, limits.high + by};
}

void fit(Workbench& bench) {
  SharedView& view = bench.view;
  if (bench.session.trace() != nullptr) view.steps = all_steps(bench.session.trace()->info);
  (view.focus == Focus::timeline ? view.fit_timeline : view.fit_heat_map) = true;
}

void set_text(float size) {
  ImGui::GetStyle().FontScaleMain = std::clamp(size, kLeastText, kMostText);
}

Action axes(const char* name, const char* title, const char* chord, std::function<void(Workbench&)> act) {
  return {
      .name = name, .title = title, .group = "plots", .run = does(std::move(act)), .keys = {{chord}}, .repeats = true};
}

/// Turns something on or off, or the other way where nobody says which.
Action toggle(const char* name, const char* title, const char* group, const char* chord, bool SharedView::*what) {
  Action action = {
      .name = name,
      .title = title,
      .group = group,
      .run = does([what](Workbench& bench, const Arguments& arguments) {
        bench.view.*what = arguments.flag("on", !(bench.view.*what));
      }),
      .keys = {{chord}},
      .arguments = {
          {.name = "on", .type = ArgumentType::flag, .help = "without it: the other way", .required = false}}};
  action.checked = [what](const Workbench& bench) { return bench.view.*what; };
  return action;
}

Action for_panel(const char* name, const char* title, void (*act)(Workbench&, Panel&)) {
  return {.name = name,
          .title = title,
          .group = "panels",
          .run = does([act, name](Workbench& bench, const Arguments& arguments) {
            act(bench, bench.panel(arguments.text("panel"), name));
          }),
          .arguments = {{.name = "panel", .help = "its title", .choices = panel_names}}};
}

}  // namespace

void add_view_actions(Actions& actions) {
  actions.add(axes("view.zoom_in", "zoom in, in the plot that the mouse was on last", "W",
                   [](Workbench& bench) { zoom(bench, kZoom); }));
  actions.add(axes("view.zoom_out", "zoom out", "S", [](Workbench& bench) { zoom(bench, 1 / kZoom); }));
  actions.add(axes("view.pan_left", "pan left", "A", [](Workbench& bench) { pan(bench, -kPan); }));
  actions.add(axes("view.pan_right", "pan right", "D", [](Workbench& bench) { pan(bench, kPan); }));
  actions.add(axes("view.fit", "show everything", "F", fit));
  constexpr const char* kLook = "look";
  actions.add(toggle("colours.marks", "attended and lost positions in two colours", kLook, "M", &SharedView::marks));
  actions.add(toggle("colours.logarithmic", "logarithmic colours", kLook, "L", &SharedView::logarithmic));
  Action light = toggle("theme.light", "light colours", kLook, "", &SharedView::light);
  light.run = does(
      [](Workbench& bench, const Arguments& arguments) { bench.set_light(arguments.flag("on", !bench.view.light)); });
  light.keys.clear(), light.menu = "View";
  actions.add(std::move(light));
  const auto text = [&](const char* name, const char* title, const char* chord, float (*size)(float)) {
    actions.add({.name = name,
                 .title = title,
                 .group = kLook,
                 .run = does([size](Workbench&) { set_text(size(ImGui::GetStyle().FontScaleMain)); }),
                 .keys = {{chord}},
                 .repeats = true});
  };
  text("text.larger", "larger text", "Ctrl+=", [](float size) { return size * kText; });
  text("text.smaller", "smaller text", "Ctrl+-", [](float size) { return size / kText; });
  text("text.normal", "text of normal size", "Ctrl+0", [](float) { return 1.0F; });
  actions.add({.name = "text.set",
               .title = "size of text",
               .group = kLook,
               .run = does([](Workbench&, const Arguments& arguments) {
                 set_text(static_cast<float>(arguments.number("size")));
               }),
               .arguments = {{.name = "size",
                              .type = ArgumentType::number,
                              .help = "1 is normal",
                              .low = kLeastText,
                              .high = kMostText}}});
  actions.add(for_panel("panel.show", "show panel", [](Workbench& bench, Panel& panel) { bench.show(panel); }));
  actions.add(for_panel("panel.hide", "hide panel", [](Workbench&, Panel& panel) { panel.open = false; }));
  const auto names = [](const Workbench&) {
    std::vector<std::string> out;
    for (const Layout& each : layouts()) out.emplace_back(each.name);
    return out;
  };
  actions.add({.name = "layout.choose",
               .title = "layout",
               .group = "panels",
               .run = does([](Workbench& bench, const Arguments& arguments) { bench.layout = arguments.text("name"); }),
               .arguments = {{.name = "name", .help = "of the View menu", .choices = names}}});
  actions.add({.name = "layout.reset",
               .title = "reset layout",
               .group = "panels",
               .run = does([](Workbench& bench) { bench.reset_layout = true; }),
               .menu = "View"});
}

}  // namespace reattend::viz
