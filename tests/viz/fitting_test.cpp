// Whatever the window's size, the display's scale and the look, every text can be read: none is cut by the edge of what
// it stands in, none lies where nobody can scroll to.
#include <algorithm>
#include <functional>
#include <set>

#include <gtest/gtest.h>
#include <imgui_impl_null.h>

#include "gui_host.h"
#include "synthetic_source.h"
#include "text_watch.h"

namespace reattend::viz::testing {
namespace {

struct Screen {
  ImVec2 size;  ///< in units of size
  float scale;
  bool light;
};

std::vector<Screen> screens() {
  std::vector<Screen> all;
  // 960 x 540 is a window that fills a display of 1920 x 1080 pixels at scale 2.
  for (const ImVec2 size :
       {ImVec2(640, 480), ImVec2(960, 540), ImVec2(1280, 720), ImVec2(1600, 900), ImVec2(2560, 1440)}) {
    for (const float scale : {1.0F, 2.0F}) {
      for (const bool light : {false, true}) all.push_back({size, scale, light});
    }
  }
  return all;
}

class Fitting : public ::testing::Test {
 protected:
  App& app() { return host.app(); }
  void show(const Screen& screen, ImGuiTestContext* ctx) {
    host.set_screen(screen.size, screen.scale);
    app().bench().set_light(screen.light);
    ctx->Yield(6);
  }
  /// What is cut in the next frame, said once each.
  void expect_whole(ImGuiTestContext* ctx, const Screen& screen, const std::string& what) {
    watch.clear();
    ctx->Yield();
    EXPECT_GT(watch.n_text(), 0U);
    for (const CutText& each : watch.cut()) {
      if (!said.insert(each.window + each.text).second) continue;
      ADD_FAILURE() << what << " at " << screen.size.x << " x " << screen.size.y << ", scale " << screen.scale << ": \""
                    << each.text << "\" in " << each.window << ": " << each.how;
    }
  }
  void run(std::function<void(ImGuiTestContext*)> body) {
    const std::string log = host.run([body](ImGuiTestContext* ctx) { body(ctx); });
    EXPECT_EQ(log, "");
  }

  /// With traces in folders far down.
  static PreferenceFile before() {
    PreferenceFile file;
    file.opened("/home/somebody/with/folders/that/go/a/long/way/down/and/further/recordings/of/december/trace.h5");
    file.opened("trace.h5");
    return file;
  }

  SyntheticShape shape{.n_layer = 4, .n_prompt = 300, .n_step = 40, .sha256 = kSmolLM2};
  GuiHost host{synthetic_source(shape), before()};
  TextWatch watch;
  std::set<std::string> said;
};

TEST_F(Fitting, EveryTextOfEveryPanelCanBeReadOnEveryScreen) {
  run([this](ImGuiTestContext* ctx) {
    app().open({"a_trace_with_a_name_of_ordinary_length.h5"});
    host.settle(ctx);
    for (const Screen& screen : screens()) {
      show(screen, ctx);
      for (const auto& panel : app().bench().panels) {
        app().bench().show(*panel);
        ctx->Yield(4);
        const ImGuiWindow* const window = ctx->GetWindowByRef(panel->name());
        EXPECT_TRUE(window != nullptr && !window->Hidden) << panel->name();
        expect_whole(ctx, screen, panel->name());
      }
    }
  });
}

TEST_F(Fitting, TheWelcomeAndTheFileDialogCanBeReadOnEveryScreen) {
  run([this](ImGuiTestContext* ctx) {
    for (const Screen& screen : screens()) {
      show(screen, ctx);
      expect_whole(ctx, screen, "welcome");
      ctx->ItemClick("//Welcome/Open \u2026");
      ctx->Yield(4);
      expect_whole(ctx, screen, "file dialog");
      ctx->KeyPress(ImGuiKey_Escape);
      ctx->Yield(4);
    }
  });
}

TEST_F(Fitting, KeysAndPaletteCanBeReadOnEveryScreen) {
  run([this](ImGuiTestContext* ctx) {
    app().open({"trace.h5"});
    host.settle(ctx);
    for (const Screen& screen : screens()) {
      show(screen, ctx);
      for (bool Workbench::*const what : {&Workbench::keys_shown, &Workbench::palette_shown}) {
        app().bench().*what = true;
        ctx->Yield(6);
        expect_whole(ctx, screen, what == &Workbench::keys_shown ? "keys" : "palette");
        app().bench().*what = false;
        ctx->Yield(2);
      }
    }
  });
}

TEST_F(Fitting, TheTourCanBeReadOnEveryScreen) {
  run([this](ImGuiTestContext* ctx) {
    app().open({"trace.h5"});
    host.settle(ctx);
    for (const Screen& screen : screens()) {
      show(screen, ctx);
      ctx->MouseMoveToPos(ImVec2(1, 1));  // over a plot it would go on by itself
      app().bench().touring = true;
      for (int step = 0; step <= 5; ++step) {
        ctx->Yield(6);
        const ImGuiWindow* const tour = ctx->GetWindowByRef("//Tour");
        ASSERT_TRUE(tour != nullptr && tour->WasActive) << step;
        EXPECT_GE(std::min(tour->Pos.x, tour->Pos.y), -1);
        EXPECT_LE(tour->Pos.x + tour->Size.x, screen.size.x * screen.scale + 1) << step;
        EXPECT_LE(tour->Pos.y + tour->Size.y, screen.size.y * screen.scale + 1) << step;
        expect_whole(ctx, screen, "tour");
        ctx->ItemClick(step < 5 ? "//Tour/skip" : "//Tour/close");
        ctx->MouseMoveToPos(ImVec2(1, 1));
      }
    }
  });
}

// The tests above must see what they are for.
TEST(TextWatch, SeesWhatIsCut) {
  const UiContexts contexts(1);
  ImGui_ImplNullRender_Init();
  TextWatch watch;
  const auto cut = [&](const std::function<void()>& draw) {
    for (int frame = 0; frame < 3; ++frame) {  // contents are measured in one frame and known in the next
      watch.clear();
      ImGui::GetIO().DisplaySize = ImVec2(640, 480);
      ImGui_ImplNullRender_NewFrame();
      ImGui::NewFrame();
      ImGui::SetNextWindowSize(ImVec2(200, 100));
      if (ImGui::Begin("narrow", nullptr, ImGuiWindowFlags_NoSavedSettings)) draw();
      ImGui::End();
      ImGui::Render();
    }
    return watch.cut().size();
  };
  const char* const text = "a text that is much longer than the window is wide";
  EXPECT_EQ(cut([] { ImGui::TextUnformatted("short"); }), 0U);
  EXPECT_EQ(cut([&] { ImGui::TextWrapped("%s", text); }), 0U);
  EXPECT_EQ(cut([] {
              for (int i = 0; i < 50; ++i) ImGui::TextUnformatted("scrolls");
            }),
            0U);
  EXPECT_GT(cut([&] { ImGui::TextUnformatted(text); }), 0U);
  EXPECT_GT(cut([&] { ImGui::Button(text, ImVec2(100, 0)); }), 0U);
  EXPECT_GT(cut([] {
              for (int i = 0; i < 9; ++i) ImGui::TextUnformatted("beyond the edge"), ImGui::SameLine();
            }),
            0U);
  ImGui_ImplNullRender_Shutdown();
}

}  // namespace
}  // namespace reattend::viz::testing
