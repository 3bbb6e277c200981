// Who types fast sees all of it at once: however many keys wait, the next frame that is drawn has taken them.
#include <string>

#include <gtest/gtest.h>
#include <imgui_impl_null.h>
#include <imgui_internal.h>
#include <imgui_stdlib.h>

#include "viz/app.h"
#include "viz/frames.h"

namespace reattend::viz {
namespace {

class Typing : public ::testing::Test {
 protected:
  Typing() { ImGui_ImplNullRender_Init(); }
  ~Typing() override { ImGui_ImplNullRender_Shutdown(); }
  /// One frame as the window draws it; returns how many were built for it.
  int frame() {
    int n_built = 0;
    build_frames(
        [] {
          ImGui_ImplNullRender_NewFrame();
          ImGui::GetIO().DisplaySize = ImVec2(640, 480);
          ImGui::GetIO().DeltaTime = 1.0F / 60;
        },
        [&] {
          ++n_built;
          if (ImGui::Begin("window")) {
            if (focus) ImGui::SetKeyboardFocusHere();
            ImGui::InputText("text", &text);
            if (ImGui::Shortcut(ImGuiKey_F5, ImGuiInputFlags_RouteGlobal)) ++n_shortcut;
          }
          ImGui::End();
          focus = false;
        });
    return n_built;
  }

  const UiContexts contexts{1};
  std::string text;
  bool focus = true;
  int n_shortcut = 0;
};

TEST_F(Typing, ThirtyKeysAreThereInTheNextFrame) {
  for (int i = 0; i < 3; ++i) frame();
  ImGuiIO& io = ImGui::GetIO();
  std::string typed;
  for (int i = 0; i < 30; ++i) {
    const int letter = i % 26;
    typed += static_cast<char>('a' + letter);
    io.AddKeyEvent(static_cast<ImGuiKey>(ImGuiKey_A + letter), true);
    io.AddInputCharacter(static_cast<unsigned>('a' + letter));
    io.AddKeyEvent(static_cast<ImGuiKey>(ImGuiKey_A + letter), false);
  }
  frame();
  EXPECT_EQ(text, typed);
  EXPECT_EQ(frame(), 1) << "nothing waits any more";
}

// All at once must not mean that a key which goes down and up again is missed.
TEST_F(Typing, NoPressIsLost) {
  for (int i = 0; i < 3; ++i) frame();
  for (int i = 0; i < 10; ++i) {
    ImGui::GetIO().AddKeyEvent(ImGuiKey_F5, true);
    ImGui::GetIO().AddKeyEvent(ImGuiKey_F5, false);
  }
  frame();
  EXPECT_EQ(n_shortcut, 10);
}

}  // namespace
}  // namespace reattend::viz
