// The front end without a window: state, layout, menu, keys and panels; a host calls draw_frame() between NewFrame and
// Render.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "viz/actions/command_palette.h"
#include "viz/actions/driver.h"
#include "viz/actions/key_sheet.h"
#include "viz/actions/keys.h"
#include "viz/actions/workbench.h"
#include "viz/panels/layouts.h"
#include "viz/panels/goal_strip.h"
#include "viz/panels/panel.h"
#include "viz/session/follower.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"
#include "viz/start/start.h"

namespace reattend::viz {

/// Belongs to one ImGui and ImPlot context, and to the thread that draws. Destroy it after the renderer backend has
/// shut down (which gives its textures back) and before the contexts.
class App {
 public:
  /// `wake` is called from another thread when a new frame is worth drawing.
  App(OpenSource open, const std::function<void()>& wake, const Means& means = {}, PreferenceFile preferences = {});

  /// Opens the first; the others are a menu entry away.
  void open(const std::vector<std::filesystem::path>& paths);
  /// Takes traces and settings files, in order.
  void add(const std::vector<std::filesystem::path>& files) { bench_.files.add(files); }
  void draw_frame();

  /// Nothing is being computed or waiting to be shown.
  bool settled() const { return session_.idle() && start_.idle(bench_); }
  /// After so many seconds a frame is worth drawing though nothing has happened; never, where there is no value.
  std::optional<double> next_frame_in() const;
  Session& session() { return session_; }
  SharedView& view() { return view_; }
  /// What actions act on, from before the first frame on.
  Workbench& bench() { return bench_; }
  const Actions& actions() const { return actions_; }
  const Keys& keys() const { return keys_; }
  /// Pixels per unit of size from now on, where the window has come to another display.
  void set_scale(float scale);
  /// "trace.h5 - reattend".
  std::string title() const;
  /// Keeps how everything looks for the next run; the window's size is its own to set.
  void keep_preferences();
  PreferenceFile& preferences() { return start_.preferences(); }
  const Coach& coach() const { return start_.coach(); }
  /// Scripts and sockets; hosts let it drive between two frames.
  Driver& driver() { return driver_; }
  /// The user's own keys, from a file that need not be there; what is wrong with it is said in the window.
  void use_keys(const std::filesystem::path& file);

 private:
  void draw_menu();
  void draw_entries(const char* menu);
  void draw_status();
  void draw_recording();
  void enter_view();
  void draw_panels();
  /// What a key, a menu or the palette asks for; errors are said in the status line.
  void act(const Call& call);
  void go_on();

  Session session_;
  SharedView view_;
  GoalStrip goal_;
  std::vector<std::unique_ptr<Panel>> panels_;
  Workbench bench_{session_, view_, panels_};
  const Actions actions_;
  Keys keys_{actions_};
  Driver driver_{actions_, bench_};
  std::string keys_problem_;
  KeySheet key_sheet_;
  CommandPalette command_palette_;
  Running running_;  ///< the last call of act()
  Docks docks_;
  Start start_;
  uint64_t trace_version_ = 0;
  std::filesystem::path viewed_;  ///< the trace that the view's limits are of
  int32_t viewed_steps_ = 0;      ///< that it had
  Follower follower_;
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
