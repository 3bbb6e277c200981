// What actions act on: the session, the view, the panels, and what the window as a whole is asked for.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "viz/panels/panel.h"
#include "viz/session/file_queue.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// A picture that is to be taken of the next frame. Shared by who asked and the window's host.
struct PictureRequest {
  std::filesystem::path file;
  bool force = false;             ///< may replace a file
  ImVec2 corner, size;            ///< of what is wanted, in units of the screen; no size: everything
  bool done = false;              ///< set by the host
  std::string error = {};         ///< why there is none
  int32_t width = 0, height = 0;  ///< in pixels
};

/// The window's own members are done, and cleared where they are requests, by whoever draws it.
struct Workbench {
  Session& session;
  SharedView& view;
  std::vector<std::unique_ptr<Panel>>& panels;

  FileQueue files = {};     ///< what is to be opened, and what the menu offers
  std::string front = {};   ///< panel that is to be brought before others of its place
  std::string layout = {};  ///< that is to be taken; empty: as it is
  bool choosing = false;    ///< a file, in the dialog
  bool touring = false;     ///< the tour begins
  bool reset_layout = false, keys_shown = false, palette_shown = false, closing = false;
  std::string last_call = {};  ///< by a key, a menu or the palette, as a script has it
  std::string notice = {};     ///< what the last action by key or menu could not do; for the status line

  bool takes_pictures = false;  ///< the host serves requests, after each frame (viz/picture_requests.h)
  std::vector<std::shared_ptr<PictureRequest>> pictures = {};

  /// Takes a trace or a settings file once those before it are done.
  void open(const std::filesystem::path& path);
  void set_light(bool light);
  /// Throws Error (usage) naming `where` for one that there is not.
  Panel& panel(const std::string& name, const std::string& where) const;
  /// Opens a panel and brings it before others of its place.
  void show(Panel& panel);
};

/// Of all panels.
std::vector<std::string> panel_names(const Workbench& bench);

}  // namespace reattend::viz
