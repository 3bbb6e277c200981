// The window: events wake it, and what needs no redraw is not redrawn.
#pragma once
#include <filesystem>
#include <memory>

#include "viz/app.h"

struct GLFWwindow;

namespace reattend::viz {

/// The window system. Must outlive the App, whose worker wakes it.
class WindowSystem {
 public:
  /// Throws Error without a display.
  WindowSystem();
  ~WindowSystem();
  WindowSystem(const WindowSystem&) = delete;
  WindowSystem& operator=(const WindowSystem&) = delete;
  /// Pixels per unit of size of the main display.
  float scale() const;
  /// From any thread: a new frame is worth drawing.
  static void wake();
};

/// Window, OpenGL context and renderer of the current ImGui context.
class Window {
 public:
  /// Of the size that it had before, where it had one, but no larger than the display.
  explicit Window(const Preferences& before);
  ~Window();
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  /// Draws until the window is closed, or, with n_frame > 0, that many frames. `follow_scale`: that of the display the
  /// window comes to. Leaves the window's size in the app's preferences.
  void run(App& app, int n_frame, bool follow_scale);

 private:
  void draw(App& app);
  GLFWwindow* window_ = nullptr;
  std::string title_;
};

}  // namespace reattend::viz
