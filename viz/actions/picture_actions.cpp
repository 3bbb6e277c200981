// Actions that write pictures: of the whole window, or of one panel.
#include <imgui_internal.h>

#include "base/error.h"
#include "viz/actions/actions.h"
#include "viz/actions/workbench.h"

namespace reattend::viz {
namespace {

/// Frames from the one that shows a panel to the one in which it is laid out to the end.
constexpr int kLaidOut = 4;

void check_host(const Workbench& bench) {
  if (!bench.takes_pictures) {
    fail({"picture", "a window that is drawn", "one that is not", "use the window or --headless"});
  }
}

std::shared_ptr<PictureRequest> request(const Arguments& arguments) {
  auto out = std::make_shared<PictureRequest>();
  out->file = arguments.text("file");
  out->force = arguments.flag("force", false);
  return out;
}

/// What it has become of, once the host has taken it.
std::optional<nlohmann::json> result_of(const PictureRequest& request) {
  if (!request.done) return std::nullopt;
  if (!request.error.empty()) throw Error(request.error);
  return nlohmann::json{{"file", request.file.string()}, {"width", request.width}, {"height", request.height}};
}

Outcome save(Workbench& bench, const Arguments& arguments) {
  check_host(bench);
  const auto wanted = request(arguments);
  bench.pictures.push_back(wanted);
  return {.later = [wanted](Workbench&) { return result_of(*wanted); }};
}

Outcome save_panel(Workbench& bench, const Arguments& arguments) {
  check_host(bench);
  Panel& panel = bench.panel(arguments.text("panel"), "panel.picture");
  bench.show(panel);
  return {.later = [wanted = request(arguments), name = std::string(panel.name()), frames = 0,
                    asked = false](Workbench& later) mutable -> std::optional<nlohmann::json> {
    if (asked) return result_of(*wanted);
    if (++frames < kLaidOut) return std::nullopt;
    const ImGuiWindow* const window = ImGui::FindWindowByName(name.c_str());
    if (window == nullptr || window->Hidden) {
      fail({"panel.picture", "the panel " + name + " on the screen", "another before it", "close what covers it"});
    }
    wanted->corner = window->Pos, wanted->size = window->Size;
    later.pictures.push_back(wanted);
    asked = true;
    return std::nullopt;
  }};
}

}  // namespace

void add_picture_actions(Actions& actions) {
  const Argument file = {.name = "file", .help = "NAME.png"};
  const Argument force = {
      .name = "force", .type = ArgumentType::flag, .help = "replaces a file of this name", .required = false};
  actions.add({.name = "picture.save",
               .title = "save a picture of the window",
               .group = "pictures and tables",
               .run = save,
               .arguments = {file, force}});
  actions.add({.name = "panel.picture",
               .title = "save a picture of a panel",
               .group = "pictures and tables",
               .run = save_panel,
               .arguments = {{.name = "panel", .help = "its title", .choices = panel_names}, file, force}});
}

}  // namespace reattend::viz
