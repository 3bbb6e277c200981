// Renders frames without window or display: OpenGL on a surfaceless EGL context into a frame buffer of any size.
#pragma once
#include <functional>
#include <memory>

#include "viz/png.h"

namespace reattend::viz {

/// What the frame buffer in use holds; its origin is the lower left corner.
Picture read_frame(int32_t width, int32_t height);

/// The renderer of the current ImGui context while it lives.
class Offscreen {
 public:
  /// Throws Error where the system has no EGL that works without a display.
  Offscreen(int32_t width, int32_t height);
  ~Offscreen();
  Offscreen(const Offscreen&) = delete;
  Offscreen& operator=(const Offscreen&) = delete;

  /// One frame of 1/60 s.
  void frame(const std::function<void()>& draw);
  /// The last frame.
  Picture read() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reattend::viz
