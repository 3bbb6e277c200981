// Runs the real panels without window or graphics and lets the ImGui Test Engine use them as a person would.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include <imgui.h>
#include <imgui_te_context.h>
#include <imgui_te_engine.h>

#include "viz/app.h"

namespace reattend::viz::testing {

/// One App in one ImGui context. Frames are 1600 x 900 unless told otherwise, at 1/60 s; nothing is rasterised.
class GuiHost {
 public:
  explicit GuiHost(OpenSource source, PreferenceFile preferences = {});
  ~GuiHost();

  App& app() { return *app_; }
  /// Of the frames from now on: `size` in units of size, of `scale` pixels each.
  void set_screen(ImVec2 size, float scale);
  /// Runs `body` as a test of the engine; empty if it passed, else the engine's log.
  std::string run(std::function<void(ImGuiTestContext*)> body);

  /// Runs `body` once everything is settled, and fails the test with the engine's log.
  void test(std::function<void(ImGuiTestContext*)> body);

  /// For use within a body: frames until nothing is being computed.
  void settle(ImGuiTestContext* ctx);

 private:
  ImGuiTestEngine* engine_ = nullptr;
  ImVec2 pixels_{1600, 900};
  std::unique_ptr<UiContexts> contexts_;
  std::unique_ptr<App> app_;
};

}  // namespace reattend::viz::testing
