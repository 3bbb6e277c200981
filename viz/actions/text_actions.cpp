// Actions in the text: find, and go from one lost token to the next.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"
#include "viz/session/next_lost.h"

namespace reattend::viz {
namespace {

constexpr const char* kText = "text";

Action find(const char* name, const char* title, const char* chord, FindRequest what) {
  return {.name = name,
          .title = title,
          .group = kText,
          .run = does([what, name](Workbench& bench) {
            bench.show(bench.panel("Tokens", name));  // a panel that is not drawn finds nothing
            bench.view.find = what;
          }),
          .keys = {{chord}},
          .repeats = what != FindRequest::type};
}

Action lost(const char* name, const char* title, const char* chord, int direction) {
  return {.name = name,
          .title = title,
          .group = kText,
          .run = does([direction](Workbench& bench) {
            if (const auto next = next_lost(bench.session, direction)) bench.session.select_position(*next);
          }),
          .keys = {{chord}},
          .repeats = true};
}

}  // namespace

void add_text_actions(Actions& actions) {
  Action typed = find("text.find", "find in the text", "Ctrl+F", FindRequest::type);
  typed.run = does([](Workbench& bench, const Arguments& arguments) {
    bench.show(bench.panel("Tokens", "text.find"));
    if (!arguments.has("text")) bench.view.find = FindRequest::type;
    if (arguments.has("text")) bench.view.look_for = arguments.text("text");
  });
  typed.arguments = {{.name = "text", .help = "without it: to be typed", .required = false}};
  actions.add(std::move(typed));
  actions.add(find("text.next", "next place where the text was found", "F3", FindRequest::next));
  actions.add(find("text.previous", "previous place where the text was found", "Shift+F3", FindRequest::previous));
  actions.add({.name = "text.colours",
               .title = "colours of the text by",
               .group = kText,
               .run = does([](Workbench& bench, const Arguments& arguments) {
                 const auto at =
                     std::find(kTextColors.begin(), kTextColors.end(), std::string_view(arguments.text("by")));
                 bench.view.text_colors = static_cast<TextColors>(at - kTextColors.begin());
               }),
               .arguments = {{.name = "by", .help = "what they show", .choices = [](const Workbench&) {
                                return std::vector<std::string>(kTextColors.begin(), kTextColors.end());
                              }}}});
  actions.add(lost("lost.next", "next lost token of the step", "N", 1));
  actions.add(lost("lost.previous", "previous lost token of the step", "Shift+N", -1));
}

}  // namespace reattend::viz
