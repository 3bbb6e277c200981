// The front end without a window: state, layout, menu, keys and panels; a host calls draw_frame() between NewFrame and
// Render.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "viz/input_map.h"
#include "viz/panels/goal_strip.h"
#include "viz/panels/panel.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// Belongs to one ImGui and ImPlot context, and to the thread that draws. Destroy it after the renderer backend has
/// shut down (which gives its textures back) and before the contexts.
class App {
 public:
  /// `wake` is called from another thread when a new frame is worth drawing.
  App(OpenSource open, std::function<void()> wake, const Means& means = {});

  /// Opens the first; the others are a menu entry away.
  void open(const std::vector<std::filesystem::path>& paths);
  /// Opens one more and adds it to the menu.
  void add(const std::filesystem::path& path);
  void draw_frame();

  /// Nothing is being computed or waiting to be shown.
  bool settled() const { return session_.idle(); }
  /// After so many seconds a frame is worth drawing though nothing has happened; never, where there is no value.
  std::optional<double> next_frame_in() const;
  Session& session() { return session_; }
  SharedView& view() { return view_; }
  void set_light(bool light);
  /// Shows the panel before others of its place. Throws Error (usage) naming `option` for one that there is not.
  void bring_to_front(const std::string& name, const std::string& option);

 private:
  void draw_menu();
  void draw_status();
  void draw_open_error();
  void draw_key_sheet();
  void build_layout(ImGuiID dockspace);
  void act(Action action);
  void zoom(double factor);
  void pan(double share);

  std::vector<std::filesystem::path> paths_;
  Session session_;
  SharedView view_;
  GoalStrip goal_;
  std::vector<std::unique_ptr<Panel>> panels_;
  std::string front_;  ///< panel that is to be brought to the front
  bool reset_layout_ = false, show_keys_ = false;
  uint64_t trace_version_ = 0;
};

/// Contexts of ImGui and ImPlot with the style and fonts of the front end, for any host. Must outlive App and renderer.
class UiContexts {
 public:
  /// `scale`: pixels per unit of size, 1 on an ordinary display.
  explicit UiContexts(float scale);
  ~UiContexts();
  UiContexts(const UiContexts&) = delete;
  UiContexts& operator=(const UiContexts&) = delete;
};

}  // namespace reattend::viz
