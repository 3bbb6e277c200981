// Draws frames without a window, from an EGL display without a surface to pixels in memory.
#define GL_GLEXT_PROTOTYPES
#include "viz/offscreen.h"

#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GL/gl.h>
#include <GL/glext.h>
#include <imgui.h>
#include <imgui_impl_opengl3.h>

#include <algorithm>

#include "base/error.h"

namespace reattend::viz {

struct Offscreen::State {
  int32_t width, height;
  EGLDisplay display = EGL_NO_DISPLAY;
  EGLContext context = EGL_NO_CONTEXT;
  GLuint frame_buffer = 0, color_buffer = 0;

  void open_context();
  ~State();
};

void Offscreen::State::open_context() {
  const auto need = [](bool good, const char* what) {
    if (!good) {
      fail({"picture without a window", "EGL with OpenGL 3.3 (Mesa's software renderer will do)", what,
            "install libegl1 libgl1-mesa-dri"});
    }
  };
  const auto get_display =
      reinterpret_cast<PFNEGLGETPLATFORMDISPLAYEXTPROC>(eglGetProcAddress("eglGetPlatformDisplayEXT"));
  need(get_display != nullptr, "an EGL without platform displays");
  display = get_display(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, nullptr);
  need(display != EGL_NO_DISPLAY && eglInitialize(display, nullptr, nullptr) == EGL_TRUE, "no surfaceless display");
  constexpr EGLint kConfig[] = {EGL_SURFACE_TYPE, EGL_PBUFFER_BIT, EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT, EGL_NONE};
  EGLConfig config = nullptr;
  EGLint n_config = 0;
  need(eglChooseConfig(display, kConfig, &config, 1, &n_config) == EGL_TRUE && n_config == 1,
       "no configuration for OpenGL");
  constexpr EGLint kContext[] = {
      EGL_CONTEXT_MAJOR_VERSION,           3,       EGL_CONTEXT_MINOR_VERSION, 3, EGL_CONTEXT_OPENGL_PROFILE_MASK,
      EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT, EGL_NONE};
  eglBindAPI(EGL_OPENGL_API);
  context = eglCreateContext(display, config, EGL_NO_CONTEXT, kContext);
  need(context != EGL_NO_CONTEXT && eglMakeCurrent(display, EGL_NO_SURFACE, EGL_NO_SURFACE, context) == EGL_TRUE,
       "no context");
  GLint largest = 0;
  glGetIntegerv(GL_MAX_RENDERBUFFER_SIZE, &largest);
  if (std::max(width, height) > largest) {
    fail({"--size", "at most " + std::to_string(largest) + " pixels each way",
          std::to_string(width) + "x" + std::to_string(height), "choose a smaller picture"});
  }
  glGenFramebuffers(1, &frame_buffer);
  glBindFramebuffer(GL_FRAMEBUFFER, frame_buffer);
  glGenRenderbuffers(1, &color_buffer);
  glBindRenderbuffer(GL_RENDERBUFFER, color_buffer);
  glRenderbufferStorage(GL_RENDERBUFFER, GL_RGBA8, width, height);
  glFramebufferRenderbuffer(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_RENDERBUFFER, color_buffer);
  need(glCheckFramebufferStatus(GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE, "an incomplete frame buffer");
}

Offscreen::State::~State() {
  if (context != EGL_NO_CONTEXT) {
    eglMakeCurrent(display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
    eglDestroyContext(display, context);
  }
  if (display != EGL_NO_DISPLAY) eglTerminate(display);
}

Offscreen::Offscreen(int32_t width, int32_t height) : state_(std::make_unique<State>()) {
  state_->width = width, state_->height = height;
  state_->open_context();
  ImGuiIO& io = ImGui::GetIO();
  io.DisplaySize = ImVec2(static_cast<float>(width), static_cast<float>(height));
  io.DeltaTime = 1.0F / 60;
  io.MousePos = ImVec2(-1, -1);
  ImGui_ImplOpenGL3_Init("#version 330");
}

Offscreen::~Offscreen() {
  ImGui_ImplOpenGL3_Shutdown();
}

void Offscreen::frame(const std::function<void()>& draw) {
  ImGui_ImplOpenGL3_NewFrame();
  ImGui::NewFrame();
  draw();
  ImGui::Render();
  glBindFramebuffer(GL_FRAMEBUFFER, state_->frame_buffer);
  glViewport(0, 0, state_->width, state_->height);
  glClearColor(0, 0, 0, 1);
  glClear(GL_COLOR_BUFFER_BIT);
  ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
  glFinish();
}

Picture Offscreen::read() const {
  glBindFramebuffer(GL_FRAMEBUFFER, state_->frame_buffer);
  return read_frame(state_->width, state_->height);
}

Picture read_frame(int32_t width, int32_t height) {
  Picture picture{width, height, {}};
  const size_t row = static_cast<size_t>(picture.width) * 4;
  picture.rgba.resize(row * static_cast<size_t>(picture.height));
  glPixelStorei(GL_PACK_ALIGNMENT, 1);
  glReadPixels(0, 0, picture.width, picture.height, GL_RGBA, GL_UNSIGNED_BYTE, picture.rgba.data());
  // OpenGL counts rows from below.
  for (size_t low = 0, high = static_cast<size_t>(picture.height) - 1; low < high; ++low, --high) {
    std::swap_ranges(picture.rgba.begin() + static_cast<int64_t>(low * row),
                     picture.rgba.begin() + static_cast<int64_t>((low + 1) * row),
                     picture.rgba.begin() + static_cast<int64_t>(high * row));
  }
  // What is blended into the background keeps its alpha; the picture as a whole is opaque.
  for (size_t i = 3; i < picture.rgba.size(); i += 4) picture.rgba[i] = 255;
  return picture;
}

}  // namespace reattend::viz
