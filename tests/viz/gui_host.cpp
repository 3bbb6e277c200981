// The loop of NewFrame, draw, Render around the Test Engine, on Dear ImGui's null backends.
#include "gui_host.h"

#include <cfloat>
#include <chrono>
#include <thread>
#include <utility>

#include <gtest/gtest.h>
#include <imgui_impl_null.h>

namespace reattend::viz::testing {

GuiHost::GuiHost(OpenSource source, PreferenceFile preferences) : contexts_(std::make_unique<UiContexts>(1.0F)) {
  engine_ = ImGuiTestEngine_CreateContext();
  ImGuiTestEngineIO& io = ImGuiTestEngine_GetIO(engine_);
  io.ConfigRunSpeed = ImGuiTestRunSpeed_Fast;
  io.ConfigVerboseLevel = ImGuiTestVerboseLevel_Info;
  io.ConfigVerboseLevelOnError = ImGuiTestVerboseLevel_Debug;
  io.ConfigNoThrottle = true;
  io.ConfigSavedSettings = false;
  io.ConfigFixedDeltaTime = 1.0F / 60;
  // Counted in frames, of which a host that draws nothing makes thousands a second.
  io.ConfigWatchdogWarning = io.ConfigWatchdogKillTest = FLT_MAX;
  ImGuiTestEngine_Start(engine_, ImGui::GetCurrentContext());
  ImGui_ImplNullRender_Init();
  app_ = std::make_unique<App>(
      std::move(source), [] {}, Means{}, std::move(preferences));
}

GuiHost::~GuiHost() {
  ImGuiTestEngine_Stop(engine_);
  ImGui_ImplNullRender_Shutdown();
  app_.reset();
  contexts_.reset();
  ImGuiTestEngine_DestroyContext(engine_);
}

std::string GuiHost::run(std::function<void(ImGuiTestContext*)> body) {
  ImGuiTest* test = ImGuiTestEngine_RegisterTest(engine_, "viz", "body", __FILE__, __LINE__);
  test->TestFunc = std::move(body);
  ImGuiTestEngine_QueueTest(engine_, test);
  while (!ImGuiTestEngine_IsTestQueueEmpty(engine_)) {
    ImGuiIO& io = ImGui::GetIO();
    io.DisplaySize = pixels_;
    io.DeltaTime = 1.0F / 60;
    ImGui_ImplNullRender_NewFrame();
    ImGui::NewFrame();
    app_->draw_frame();
    ImGui::Render();
    ImGui_ImplNullRender_RenderDrawData(ImGui::GetDrawData());
    ImGuiTestEngine_PreSwap(engine_);
    ImGuiTestEngine_PostSwap(engine_);
  }
  if (test->Output.Status == ImGuiTestStatus_Success) return {};
  ImGuiTextBuffer log;
  test->Output.Log.ExtractLinesForVerboseLevels(ImGuiTestVerboseLevel_Error, ImGuiTestVerboseLevel_Debug, &log);
  return std::string("failed:\n") + log.c_str();
}

void GuiHost::set_screen(ImVec2 size, float scale) {
  pixels_ = ImVec2(size.x * scale, size.y * scale);
  app_->set_scale(scale);
}

void GuiHost::test(std::function<void(ImGuiTestContext*)> body) {
  const std::string log = run([this, body = std::move(body)](ImGuiTestContext* ctx) {
    settle(ctx);
    body(ctx);
  });
  EXPECT_EQ(log, "");
}

void GuiHost::settle(ImGuiTestContext* ctx) {
  // A computation that never ends fails the test by ctest's time limit.
  do {
    ctx->Yield(2);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  } while (!app_->settled());
  ctx->Yield(2);
}

}  // namespace reattend::viz::testing
