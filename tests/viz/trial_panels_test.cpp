// A person goes back, holds the baseline against the trial, returns to what was tried, and writes notes.
#include <gtest/gtest.h>
#include <imgui_internal.h>

#include "gui_host.h"
#include "session_rig.h"
#include "viz/session/baseline.h"
#include "viz/session/history.h"
#include "viz/session/project.h"
#include "viz/session/state_keeping.h"
#include "viz/session/tried.h"

namespace reattend::viz::testing {
namespace {

class TrialPanels : public ::testing::Test {
 protected:
  TrialPanels() : host(synthetic_source(shape)) { app().open({"trace.h5"}); }
  App& app() { return host.app(); }
  Session& session() { return host.app().session(); }
  History& history() { return session().data<History>(); }
  void run(std::function<void(ImGuiTestContext*)> body) {
    host.test([body](ImGuiTestContext* ctx) {
      ctx->Yield(4);
      body(ctx);
    });
  }
  void try_budgets(ImGuiTestContext* ctx, std::initializer_list<int64_t> budgets) {
    for (const int64_t k : budgets) {
      session().set_settings(with_budget(k));
      host.settle(ctx);
      ctx->Yield(4);
    }
  }

  SyntheticShape shape{.n_layer = 3, .n_prompt = 256, .n_step = 24, .sha256 = kSmolLM2};
  GuiHost host;
};

// Whatever the panels did with the mouse, going back gives the state of before, to the bit, and forward that of after.
TEST_F(TrialPanels, WhatTheMouseDidIsTakenBackAndDoneAgain) {
  run([this](ImGuiTestContext* ctx) {
    const auto now = [this] { return undo_state(session(), app().view()); };
    const UndoState start = now();
    const ImVec2 corner = app().view().heat_corner, size = app().view().heat_size;
    const auto in_map = [&](float x, float y) { return ImVec2(corner.x + x * size.x, corner.y + y * size.y); };
    ctx->ItemInputValue("//Tune/**/K/##count", 100);
    ctx->Yield(4);
    const UndoState typed = now();
    ctx->MouseMoveToPos(in_map(0.4F, 0.3F));
    ctx->MouseClick();
    ctx->SleepNoSkip(1.2F, 0.1F);
    const UndoState clicked = now();
    ctx->MouseWheelY(3);
    ctx->SleepNoSkip(1.2F, 0.1F);
    const UndoState zoomed = now();
    EXPECT_NE(clicked.selection, typed.selection);
    EXPECT_NE(zoomed.axes, clicked.axes);
    ctx->MouseMoveToPos(app().view().threshold_line);
    ctx->MouseDown();
    for (const float up : {5.0F, 12.0F, 30.0F}) {
      ctx->MouseMoveToPos(ImVec2(app().view().threshold_line.x, app().view().threshold_line.y - up));
      ctx->Yield(2);
    }
    ctx->MouseUp();
    ctx->Yield(4);
    const UndoState dragged = now();
    EXPECT_EQ(history().entries().back().change.find("schedule fixed \u2192 query"), 0U)
        << history().entries().back().change;
    for (const UndoState& before : {zoomed, clicked, typed, start}) {
      EXPECT_TRUE(undo(session(), app().view()));
      ctx->Yield(6);
      EXPECT_EQ(now(), before) << redo_name(session());
    }
    EXPECT_FALSE(undo(session(), app().view()));
    for (const UndoState& after : {typed, clicked, zoomed, dragged}) {
      EXPECT_TRUE(redo(session(), app().view()));
      ctx->Yield(6);
      EXPECT_EQ(now(), after) << undo_name(session());
    }
  });
}

TEST_F(TrialPanels, TheHistorysRowsGoToTheirMoments) {
  run([this](ImGuiTestContext* ctx) {
    try_budgets(ctx, {100, 120, 140});
    app().bench().front = "History";
    ctx->Yield(4);
    ctx->ItemClick("//History/$$1/K 64 \u2192 100");
    ctx->Yield(4);
    EXPECT_EQ(session().settings(), with_budget(100));
    ctx->ItemClick("//History/$$3/K 120 \u2192 140");
    ctx->Yield(4);
    EXPECT_EQ(session().settings(), with_budget(140));
  });
}

TEST_F(TrialPanels, TabHoldsTheBaselineAgainstTheTrial) {
  run([this](ImGuiTestContext* ctx) {
    try_budgets(ctx, {30});
    pin_trial(session());
    try_budgets(ctx, {90});
    const double trial = session().total()->recovered;
    const size_t n_entry = history().entries().size();
    ctx->KeyDown(ImGuiKey_Tab);
    ctx->Yield(3);
    EXPECT_EQ(session().settings(), with_budget(30));
    EXPECT_LT(session().total()->recovered, trial);
    EXPECT_TRUE(session().total_is_current());
    EXPECT_FALSE(ImGui::GetIO().WantTextInput) << "Tab does not go to a field";
    ctx->KeyUp(ImGuiKey_Tab);
    ctx->Yield(3);
    EXPECT_EQ(session().settings(), with_budget(90));
    EXPECT_EQ(session().total()->recovered, trial);
    EXPECT_EQ(history().entries().size(), n_entry) << "looking is no change";
  });
}

TEST_F(TrialPanels, AClickOnATriedSettingGoesBackToIt) {
  run([this](ImGuiTestContext* ctx) {
    try_budgets(ctx, {30, 90, 150});
    app().bench().front = "Tried";
    ctx->Yield(4);
    ctx->ItemClick("//Tried/**/S=10 K=90");
    host.settle(ctx);
    EXPECT_EQ(session().settings(), with_budget(90));
    ctx->ItemClick("//Tried/**/S=10 K=30", ImGuiMouseButton_Right);
    ctx->ItemClick("//$FOCUSED/pin as baseline");
    host.settle(ctx);
    EXPECT_EQ(session().data<Baseline>().pinned()->settings, with_budget(30));
    ctx->ItemClick("//Tried/**/S=10 K=150", ImGuiMouseButton_Right);
    ctx->ItemClick("//$FOCUSED/forget");
    ctx->Yield(2);
    EXPECT_EQ(session().data<Tried>().settings().size(), 3U);
  });
}

TEST_F(TrialPanels, ARangeDraggedOnAnAxisLeavesTheSettingsWithinIt) {
  run([this](ImGuiTestContext* ctx) {
    try_budgets(ctx, {30, 90, 150});
    app().bench().front = "Tried";
    ctx->Yield(4);
    ctx->ItemClick("//Tried/lines");
    ctx->Yield(2);
    const ImRect plot = ctx->ItemInfo("//Tried/##lines").RectFull;
    // The last axis is that of time, whose upper half the two slower settings cross.
    const float x = plot.Max.x - 2.5F * ImGui::GetFontSize();
    const float top = plot.Min.y + 2.4F * ImGui::GetFontSize(), bottom = plot.Max.y - 1.4F * ImGui::GetFontSize();
    const auto is_shown = [&](const char* setting) {
      return ctx->ItemExists((std::string("//Tried/**/") + setting).c_str());
    };
    EXPECT_TRUE(is_shown("S=10 K=30") && is_shown("S=10 K=150"));
    ctx->MouseMoveToPos(ImVec2(x, top));
    ctx->MouseDown();
    ctx->MouseMoveToPos(ImVec2(x, (top + bottom) / 2));
    ctx->MouseUp();
    ctx->Yield(3);
    EXPECT_FALSE(is_shown("S=10 K=30"));
    EXPECT_TRUE(is_shown("S=10 K=150"));
    ctx->ItemClick("//Tried/all");
    ctx->Yield(3);
    EXPECT_TRUE(is_shown("S=10 K=30"));
  });
}

TEST_F(TrialPanels, ANoteIsWrittenWhereOneIsAndFoundAgain) {
  run([this](ImGuiTestContext* ctx) {
    session().select_layer(2), session().select_step(9), session().select_position(40);
    app().bench().front = "Notes";
    ctx->Yield(4);
    ctx->ItemClick("//Notes/add a note");
    ctx->Yield(3);
    ctx->KeyCharsAppendEnter("lost here");
    ctx->Yield(3);
    const Project& project = session().data<Project>();
    ASSERT_EQ(project.notes().size(), 1U);
    EXPECT_EQ(project.notes()[0],
              (Note{.text = "lost here", .steps = {9, 9}, .first_position = 40, .last_position = 40, .layer = 2}));
    session().select_layer(0), session().select_step(1);
    ctx->ItemClick("//Notes/**/step 9, position 40");
    ctx->Yield(2);
    EXPECT_EQ(session().selection(), (Selection{.layer = 2, .kv_head = 0, .step = 9, .position = 40}));
    ctx->ItemClick("//Notes/**/\u00d7");
    ctx->Yield(2);
    EXPECT_TRUE(project.notes().empty());
  });
}

TEST_F(TrialPanels, ABookmarkBringsBackAxesAndSelectionAndNoSetting) {
  run([this](ImGuiTestContext* ctx) {
    session().select_step(7);
    app().view().heat_positions = {10, 60};
    ctx->Yield(4);
    const UndoState marked = undo_state(session(), app().view());
    save_bookmark(3, session(), app().view());
    session().select_step(20);
    app().view().heat_positions = {0, 200};
    try_budgets(ctx, {99});
    go_to_bookmark(3, session(), app().view());
    ctx->Yield(4);
    EXPECT_EQ(session().selection(), marked.selection);
    EXPECT_EQ(shown_axes(app().view()), marked.axes);
    EXPECT_EQ(session().settings(), with_budget(99));
    go_to_bookmark(4, session(), app().view());  // there is none
    EXPECT_EQ(session().selection(), marked.selection);
  });
}

}  // namespace
}  // namespace reattend::viz::testing
