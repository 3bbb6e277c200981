// The first minute: from an empty window to a trace, through the tour, in every layout and size.
#include <fstream>

#include <gtest/gtest.h>
#include <imgui_internal.h>

#include "base/error.h"
#include "gui_host.h"
#include "synthetic_source.h"
#include "tests/support/scratch_folder.h"

namespace reattend::viz::testing {
namespace {

class StartTest : public ::testing::Test {
 protected:
  StartTest() : host([this](const std::filesystem::path& path) { return open_by_name(path); }, preferences()) {}
  std::shared_ptr<ReplaySource> open_by_name(const std::filesystem::path& path) const {
    if (path.filename() == "bad.h5") throw Error("bad.h5 is no trace");
    return make_synthetic_source(shape);
  }
  PreferenceFile preferences() const {
    std::ofstream(folder / "there.h5") << "a trace";
    PreferenceFile file(folder / "window.json");
    file.now().tour_seen = true;
    file.save();
    file.opened(folder / "gone.h5");
    file.opened(folder / "there.h5");
    return file;
  }
  App& app() { return host.app(); }
  Session& session() { return host.app().session(); }
  void run(std::function<void(ImGuiTestContext*)> body) { host.test(std::move(body)); }
  bool is_shown(ImGuiTestContext* ctx, const char* name) {
    const ImGuiWindow* const window = ctx->GetWindowByRef(name);
    return window != nullptr && window->WasActive && !window->Hidden;
  }

  const test::ScratchFolder folder;
  SyntheticShape shape{.n_layer = 4, .n_prompt = 300, .n_step = 40, .sha256 = kSmolLM2};
  GuiHost host;
};

TEST_F(StartTest, ATraceOfBeforeIsOneClickAwayAndAMissingOneCannotBeClicked) {
  run([this](ImGuiTestContext* ctx) {
    EXPECT_TRUE(is_shown(ctx, "//Welcome"));
    EXPECT_FALSE(is_shown(ctx, "//Tune"));
    const std::string there = (folder / "there.h5").string();
    EXPECT_TRUE(ctx->ItemInfo("//Welcome/$$1/###open").ItemFlags & ImGuiItemFlags_Disabled);
    ctx->ItemClick("//Welcome/$$0/###open");
    host.settle(ctx);
    EXPECT_EQ(session().path(), there);
    EXPECT_FALSE(is_shown(ctx, "//Welcome"));
    EXPECT_TRUE(is_shown(ctx, "//Tune"));
    EXPECT_EQ(app().title(), "there.h5 \u2013 reattend");
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_W);
    host.settle(ctx);
    EXPECT_EQ(session().trace(), nullptr);
    EXPECT_TRUE(is_shown(ctx, "//Welcome"));
    EXPECT_EQ(app().title(), "reattend");
    ctx->ItemClick("//Welcome/$$1/\u00d7");
    ctx->Yield(2);
    EXPECT_EQ(PreferenceFile(folder / "window.json").now().recent, std::vector<std::filesystem::path>{there});
  });
}

TEST_F(StartTest, AFileIsChosenInTheDialog) {
  run([this](ImGuiTestContext* ctx) {
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_O);
    ctx->Yield(2);
    ctx->ItemInput("//Open a trace or a settings file/##path");
    ctx->KeyCharsReplaceEnter((folder / "").string().c_str());
    host.settle(ctx);
    ctx->ItemDoubleClick("//Open a trace or a settings file/**/there.h5");
    host.settle(ctx);
    EXPECT_EQ(session().path(), folder / "there.h5");
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_O);
    ctx->Yield(2);
    ctx->ItemInput("//Open a trace or a settings file/##path");
    ctx->KeyCharsReplaceEnter((folder / "bad.h5").string().c_str());  // not there: the dialog says so, and stays
    host.settle(ctx);
    ctx->KeyPress(ImGuiKey_Escape);
    host.settle(ctx);
    EXPECT_EQ(session().path(), folder / "there.h5");
  });
}

TEST_F(StartTest, WhatIsDroppedAndIsNoTraceLeavesEverythingAsItIs) {
  run([this](ImGuiTestContext* ctx) {
    app().open({"first.h5"});
    host.settle(ctx);
    Settings settings = session().settings();
    settings.set("K", int64_t{37});
    session().set_settings(settings);
    host.settle(ctx);
    app().add({"bad.h5"});
    host.settle(ctx);
    ctx->ItemClick("//Cannot open the trace/close");
    host.settle(ctx);
    EXPECT_EQ(session().path(), "first.h5");
    EXPECT_EQ(session().settings(), settings);
    EXPECT_EQ(app().bench().files.traces(), std::vector<std::filesystem::path>{"first.h5"});
    std::ofstream(folder / "mine.toml") << "[policy]\nname = \"recycled\"\nK = 55\n";
    std::ofstream(folder / "wrong.toml") << "[policy]\nname = \"nothing\"\n";
    app().add({folder / "mine.toml", folder / "wrong.toml"});
    host.settle(ctx);
    EXPECT_EQ(std::get<int64_t>(session().settings().get("K")), 55);
    ctx->ItemClick("//Cannot take the settings/close");
    host.settle(ctx);
    EXPECT_EQ(std::get<int64_t>(session().settings().get("K")), 55);
  });
}

TEST_F(StartTest, TheTourGoesOnWhenOneHasDoneWhatItSays) {
  run([this](ImGuiTestContext* ctx) {
    app().open({folder / "there.h5"});
    host.settle(ctx);
    ctx->MenuClick("//##MainMenuBar/Help/a tour in five steps");
    ctx->Yield(4);
    ASSERT_EQ(app().coach().step(), 0);
    const int32_t step = shape.n_step / 2 + 3;  // between two full ones
    int32_t lost = -1;
    for (int32_t j = 0; j < shape.n_prompt && lost < 0; ++j) {
      if (session().attended(step, j) == std::optional(false)) lost = j;
    }
    ASSERT_GE(lost, 0);
    const auto place = [&](int32_t position) {
      const SharedView& view = app().view();
      const auto share = [](double x, Limits limits) {
        return static_cast<float>((x - limits.low) / (limits.high - limits.low));
      };
      return ImVec2(view.heat_corner.x + share(position, view.heat_positions) * view.heat_size.x,
                    view.heat_corner.y + share(step, view.steps) * view.heat_size.y);
    };
    ctx->MouseMoveToPos(place(lost));
    ctx->Yield(4);
    EXPECT_EQ(app().coach().step(), 1);
    ctx->KeyPress(ImGuiKey_RightBracket);
    host.settle(ctx);
    EXPECT_EQ(app().coach().step(), 2);
    ctx->Yield(4);
    const ImGuiWindow* const ledger = ctx->GetWindowByRef("//Ledger");
    ASSERT_TRUE(ledger != nullptr && !ledger->Hidden) << "it brings the pane to the front";
    ctx->MouseMoveToPos(ImVec2(ledger->Pos.x + 20, ledger->Pos.y + ledger->Size.y - 20));
    ctx->Yield(4);
    EXPECT_EQ(app().coach().step(), 3);
    Settings settings = session().settings();
    settings.set("K", int64_t{100});
    session().set_settings(settings);
    host.settle(ctx);
    ctx->Yield(2);
    EXPECT_EQ(app().coach().step(), 4);
    ctx->ItemClick("//Tune/save settings");
    ctx->Yield(4);
    EXPECT_EQ(app().coach().step(), 5);
    ctx->ItemClick("//Tour/close");
    ctx->Yield(2);
    EXPECT_FALSE(app().coach().running());
  });
}

TEST_F(StartTest, LayoutsPutThePanelsElsewhereAndAreRemembered) {
  run([this](ImGuiTestContext* ctx) {
    app().open({"first.h5"});
    host.settle(ctx);
    const auto left_of = [&](const char* name) { return ctx->GetWindowByRef(name)->Pos.x; };
    EXPECT_LT(left_of("//Attention"), left_of("//Landscape"));
    ctx->MenuClick("//##MainMenuBar/View/layout/tuning");
    ctx->Yield(4);
    EXPECT_LT(left_of("//Landscape"), left_of("//Attention"));
    EXPECT_TRUE(is_shown(ctx, "//Ledger"));
    app().keep_preferences();
    EXPECT_EQ(PreferenceFile(folder / "window.json").now().layout, "tuning");
  });
}

// Panels side by side on a large window stand behind each other on a small one, and come apart again.
TEST_F(StartTest, ColumnsThatDoNotFitStandBehindOthers) {
  run([this](ImGuiTestContext* ctx) {
    app().open({"first.h5"});
    host.settle(ctx);
    const auto node_of = [&](const char* name) { return ctx->GetWindowByRef(name)->DockId; };
    EXPECT_NE(node_of("//Timeline"), node_of("//Landscape"));
    host.set_screen(ImVec2(1280, 720), 1);
    ctx->Yield(4);
    EXPECT_EQ(node_of("//Timeline"), node_of("//Landscape"));
    EXPECT_NE(node_of("//Timeline"), node_of("//Attention"));
    host.set_screen(ImVec2(640, 480), 1);
    ctx->Yield(4);
    EXPECT_EQ(node_of("//Timeline"), node_of("//Attention"));
    EXPECT_TRUE(is_shown(ctx, "//Tune"));
    host.set_screen(ImVec2(1600, 900), 1);
    ctx->Yield(4);
    EXPECT_NE(node_of("//Timeline"), node_of("//Landscape"));
    EXPECT_TRUE(is_shown(ctx, "//Attention"));
    EXPECT_TRUE(is_shown(ctx, "//Landscape"));
  });
}

}  // namespace
}  // namespace reattend::viz::testing
