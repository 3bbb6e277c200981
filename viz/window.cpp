// The window by GLFW and OpenGL 3.3; its loop sleeps unless something happened in the last moments.
#include "viz/window.h"

#include <algorithm>
#include <cmath>

#include <GL/gl.h>
#include <GLFW/glfw3.h>
#include <imgui.h>
#include <imgui_impl_glfw.h>
#include <imgui_impl_opengl3.h>

#include "base/error.h"
#include "viz/frames.h"
#include "viz/offscreen.h"
#include "viz/picture_requests.h"

namespace reattend::viz {
namespace {

/// What GLFW last complained of, for messages.
std::string glfw_complaint() {
  const char* text = nullptr;
  glfwGetError(&text);
  return text != nullptr ? text : "an unknown error";
}

}  // namespace

WindowSystem::WindowSystem() {
  if (glfwInit() != GLFW_TRUE) {
    fail({"window", "a display", glfw_complaint(), "set DISPLAY or WAYLAND_DISPLAY, or use --screenshot out.png"});
  }
}

WindowSystem::~WindowSystem() {
  glfwTerminate();
}

float WindowSystem::scale() const {
  GLFWmonitor* monitor = glfwGetPrimaryMonitor();
  return monitor != nullptr ? std::max(1.0F, ImGui_ImplGlfw_GetContentScaleForMonitor(monitor)) : 1.0F;
}

void WindowSystem::wake() {
  glfwPostEmptyEvent();
}

Window::Window(const Preferences& before) {
  glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
  glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 3);
  glfwWindowHint(GLFW_OPENGL_PROFILE, GLFW_OPENGL_CORE_PROFILE);
  const bool known = before.width > 0 && before.height > 0;
  const float scale = ImGui::GetStyle().FontScaleDpi;
  const auto pixels = [scale](int units) { return static_cast<int>(std::lround(static_cast<float>(units) * scale)); };
  int width = pixels(known ? before.width : 1600), height = pixels(known ? before.height : 900);
  if (GLFWmonitor* monitor = glfwGetPrimaryMonitor()) {
    int x = 0, y = 0, most_width = 0, most_height = 0;
    glfwGetMonitorWorkarea(monitor, &x, &y, &most_width, &most_height);
    if (most_width > 0) width = std::min(width, most_width), height = std::min(height, most_height);
  }
  window_ = glfwCreateWindow(width, height, "reattend", nullptr, nullptr);
  if (window_ == nullptr) {
    fail({"window", "OpenGL 3.3", glfw_complaint(), "install libgl1-mesa-dri, or use --screenshot out.png"});
  }
  glfwMakeContextCurrent(window_);
  glfwSwapInterval(1);
  ImGui_ImplGlfw_InitForOpenGL(window_, true);
  ImGui_ImplOpenGL3_Init("#version 330");
}

Window::~Window() {
  if (window_ == nullptr) return;
  ImGui_ImplOpenGL3_Shutdown();
  ImGui_ImplGlfw_Shutdown();
  glfwDestroyWindow(window_);
}

void Window::draw(App& app) {
  const auto begin = [] {
    ImGui_ImplOpenGL3_NewFrame();
    ImGui_ImplGlfw_NewFrame();
  };
  build_frames(begin, [&] { app.draw_frame(); });
  if (std::string title = app.title(); title != title_) {
    title_ = std::move(title);
    glfwSetWindowTitle(window_, title_.c_str());
  }
  int width = 0, height = 0;
  glfwGetFramebufferSize(window_, &width, &height);
  glViewport(0, 0, width, height);
  glClearColor(0, 0, 0, 1);
  glClear(GL_COLOR_BUFFER_BIT);
  ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
  serve_pictures(app.bench(), ImGui::GetIO().DisplayFramebufferScale.x, [&] { return read_frame(width, height); });
  glfwSwapBuffers(window_);
}

void Window::run(App& app, int n_frame, bool follow_scale) {
  glfwSetWindowUserPointer(window_, &app);
  app.bench().takes_pictures = true;
  glfwSetDropCallback(window_, [](GLFWwindow* window, int n_path, const char** paths) {
    static_cast<App*>(glfwGetWindowUserPointer(window))->add({paths, paths + n_path});
  });
  if (follow_scale) {
    glfwSetWindowContentScaleCallback(window_, [](GLFWwindow* window, float, float) {
      const float scale = ImGui_ImplGlfw_GetContentScaleForWindow(window);
      static_cast<App*>(glfwGetWindowUserPointer(window))->set_scale(std::max(1.0F, scale));
    });
  }
  // An event changes what the next frame computes and the one after it shows; tooltips appear after two waits.
  constexpr int kLively = 3, kWaits = 2;
  constexpr double kWaitSeconds = 0.3, kBlinkSeconds = 0.5;
  int lively = kLively, waits = kWaits;
  const auto closing = [&] { return glfwWindowShouldClose(window_) != GLFW_FALSE || app.bench().closing; };
  for (int frames = 0; !closing() && (n_frame <= 0 || frames < n_frame); ++frames) {
    if (lively > 0 || n_frame > 0) {
      glfwPollEvents();
      --lively;
    } else {
      const double before = glfwGetTime();
      const std::optional<double> next = app.next_frame_in();
      const bool timed = waits > 0 || ImGui::GetIO().WantTextInput || next;
      const double seconds = std::min(waits > 0 ? kWaitSeconds : kBlinkSeconds, next.value_or(kBlinkSeconds));
      timed ? glfwWaitEventsTimeout(seconds) : glfwWaitEvents();
      const bool woken = glfwGetTime() - before < seconds || !timed;
      if (woken)
        lively = kLively, waits = kWaits;
      else
        --waits;
    }
    app.driver().drive();
    draw(app);
  }
  int width = 0, height = 0;
  glfwGetWindowSize(window_, &width, &height);
  const float scale = ImGui::GetStyle().FontScaleDpi;
  Preferences& now = app.preferences().now();
  now.width = static_cast<int>(std::lround(static_cast<float>(width) / scale));
  now.height = static_cast<int>(std::lround(static_cast<float>(height) / scale));
}

}  // namespace reattend::viz
