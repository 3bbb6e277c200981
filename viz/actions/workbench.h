// What actions act on: the session, the view, the panels, and what the window as a whole is asked for.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "viz/panels/panel.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"
#include "viz/session/file_queue.h"

namespace reattend::viz {

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
  std::string notice = {};  ///< what the last action by key or menu could not do; for the status line

  /// Takes a trace or a settings file once those before it are done.
  void open(const std::filesystem::path& path) { files.add({path}); }
  void set_light(bool light);
  /// Throws Error (usage) naming `where` for one that there is not.
  Panel& panel(const std::string& name, const std::string& where) const;
  /// Opens a panel and brings it before others of its place.
  void show(Panel& panel);
};

}  // namespace reattend::viz
