// Actions that write pictures: of the whole window, or of one panel.
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include <imgui_internal.h>

#include "base/ascii.h"
#include "base/error.h"
#include "viz/actions/actions.h"
#include "viz/actions/state.h"
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

/// A panel's way to its picture: shown, laid out, asked for, taken.
class PanelPicture {
 public:
  /// `n_frame`: until it is laid out, and has asked for what it shows.
  PanelPicture(std::string name, std::shared_ptr<PictureRequest> wanted, int n_frame)
      : name_(std::move(name)), wanted_(std::move(wanted)), n_frame_(n_frame) {}

  /// Once a frame from the one that shows the panel on. `ready`: the panel has what it is to be seen with.
  std::optional<nlohmann::json> go_on(Workbench& bench, bool ready) {
    if (asked_) return result_of(*wanted_);
    if (--n_frame_ > 0 || !ready) return std::nullopt;
    const ImGuiWindow* const window = ImGui::FindWindowByName(name_.c_str());
    if (window == nullptr || window->Hidden) {
      fail({"picture", "the panel " + name_ + " on the screen", "another before it", "close what covers it"});
    }
    wanted_->corner = window->Pos, wanted_->size = window->Size;
    bench.pictures.push_back(wanted_);
    asked_ = true;
    return std::nullopt;
  }

 private:
  std::string name_;
  std::shared_ptr<PictureRequest> wanted_;
  int n_frame_;  ///< that are still to be waited for
  bool asked_ = false;
};

Outcome save_panel(Workbench& bench, const Arguments& arguments) {
  check_host(bench);
  Panel& panel = bench.panel(arguments.text("panel"), "panel.picture");
  bench.show(panel);
  return {.later = [picture = PanelPicture(panel.name(), request(arguments), kLaidOut)](Workbench& later) mutable {
    return picture.go_on(later, true);
  }};
}

/// One after the other, each once nothing is computed for it any more or it has had its time.
class AllPanels {
 public:
  AllPanels(std::filesystem::path folder, double patience, bool force)
      : folder_(std::move(folder)), patience_(patience), force_(force) {}

  std::optional<nlohmann::json> go_on(Workbench& bench) {
    if (picture_) {
      const bool late = std::chrono::duration<double>(Clock::now() - begun_).count() >= patience_;
      auto taken = picture_->go_on(bench, late || has_settled(bench));
      if (!taken) return std::nullopt;
      files_.push_back(std::move((*taken)["file"]));
      picture_.reset();
    }
    if (files_.size() == bench.panels.size()) return files_;
    Panel& panel = *bench.panels[files_.size()];
    bench.show(panel);
    auto wanted = std::make_shared<PictureRequest>();
    wanted->file = folder_ / (ascii_lower(std::string_view(panel.name())) + ".png"), wanted->force = force_;
    // What a panel asks for is known a frame after it was first drawn.
    picture_.emplace(panel.name(), std::move(wanted), 2 * kLaidOut);
    begun_ = Clock::now();
    return std::nullopt;
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::filesystem::path folder_;
  double patience_;
  bool force_;
  nlohmann::json files_ = nlohmann::json::array();
  std::optional<PanelPicture> picture_;  ///< of the panel whose turn it is
  Clock::time_point begun_;
};

Outcome save_all_panels(Workbench& bench, const Arguments& arguments) {
  check_host(bench);
  constexpr double kPatience = 60;
  const double patience = arguments.has("seconds") ? arguments.number("seconds") : kPatience;
  return {.later = [all = AllPanels(arguments.text("folder"), patience, arguments.flag("force", false))](
                       Workbench& later) mutable { return all.go_on(later); }};
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
  actions.add({.name = "panel.pictures",
               .title = "save a picture of every panel",
               .group = "pictures and tables",
               .run = save_all_panels,
               .arguments = {{.name = "folder", .help = "for NAME.png of each"},
                             {.name = "seconds",
                              .type = ArgumentType::number,
                              .help = "that a panel may take for its numbers, 60 unless said",
                              .required = false,
                              .low = 0,
                              .high = 3600},
                             force}});
}

}  // namespace reattend::viz
