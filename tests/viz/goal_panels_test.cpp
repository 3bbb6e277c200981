// A person edits bounds, drags the cross over the landscape and takes the star; panes and strip follow.
#include <gtest/gtest.h>
#include <imgui_internal.h>

#include "gui_host.h"
#include "policies/policy.h"
#include "synthetic_source.h"
#include "viz/session/goal.h"
#include "viz/session/landscape.h"
#include "viz/session/ledger.h"
#include "viz/session/state_keeping.h"

namespace reattend::viz::testing {
namespace {

class GoalPanels : public ::testing::Test {
 protected:
  GoalPanels() : host(synthetic_source(shape)) { app().open({"trace.h5"}); }
  App& app() { return host.app(); }
  Session& session() { return host.app().session(); }
  const Landscape& map() {
    const Axes axes = axes_of(session().settings(), session().trace()->info);
    return session().data<Landscapes>().ask(session(), session().settings(), axes.across, axes.upwards);
  }
  /// The middle of a cell on the screen.
  ImVec2 place(size_t across, size_t upwards) {
    const ImVec2 corner = app().view().landscape_corner, size = app().view().landscape_size;
    const auto share = [](size_t i, size_t n) { return (static_cast<float>(i) + 0.5F) / static_cast<float>(n); };
    return {corner.x + size.x * share(across, map().across.size()),
            corner.y + size.y * (1 - share(upwards, map().upwards.size()))};
  }
  void run(std::function<void(ImGuiTestContext*)> body) { host.test(std::move(body)); }

  SyntheticShape shape{.n_layer = 3, .n_prompt = 256, .n_step = 24, .sha256 = kSmolLM2};
  GuiHost host;
};

TEST_F(GoalPanels, TheCrossIsDraggedOverTheLandscapeAndEverythingFollows) {
  run([this](ImGuiTestContext* ctx) {
    ctx->MouseMoveToPos(place(1, 2));
    ctx->MouseDown();
    EXPECT_EQ(session().settings(), map().cells[map().cell(1, 2)].settings);
    for (size_t i = 0; i < 8; ++i) {
      ctx->MouseMoveToPos(place(2 + i % 4, 2 + i));
      EXPECT_EQ(session().settings(), map().cells[map().cell(2 + i % 4, 2 + i)].settings);
      EXPECT_EQ(session().data<Goal>().judged()->settings, session().settings()) << "what is known need not wait";
    }
    ctx->MouseUp();
    host.settle(ctx);
    EXPECT_EQ(session().answer()->settings, session().settings());
    const Settings chosen = session().settings();
    ctx->MouseMoveToPos(place(5, 5));  // without a button
    ctx->Yield(2);
    EXPECT_EQ(session().settings(), chosen);
  });
}

TEST_F(GoalPanels, ADragThatLeavesTheMapStaysAtItsEdge) {
  run([this](ImGuiTestContext* ctx) {
    ctx->MouseMoveToPos(place(3, 3));
    ctx->MouseDown();
    ctx->MouseMoveToPos(ImVec2(place(3, 0).x, app().view().landscape_corner.y + app().view().landscape_size.y + 60));
    EXPECT_EQ(session().settings(), map().cells[map().cell(3, 0)].settings);
    ctx->MouseUp();
  });
}

TEST_F(GoalPanels, TheStarIsOneClickAway) {
  run([this](ImGuiTestContext* ctx) {
    TuneBounds bounds;
    bounds.max_kl = 0.05;
    session().set_bounds(bounds);
    host.settle(ctx);
    ASSERT_TRUE(map().best.has_value());
    const Settings best = map().cells[*map().best].settings;
    EXPECT_NE(session().settings(), best);
    ctx->ItemClick("//Landscape/###best");
    host.settle(ctx);
    EXPECT_EQ(session().settings(), best);
    for (const GoalBound& each : bounds_of(session())) EXPECT_EQ(each.verdict, Verdict::within);
  });
}

TEST_F(GoalPanels, BoundsAreTypedInTheStrip) {
  run([this](ImGuiTestContext* ctx) {
    const auto limit = [](Bounded of) { return "//##Goal/$$" + std::to_string(static_cast<int>(of)) + "/##limit"; };
    ctx->ItemInputValue(limit(Bounded::kl).c_str(), 0.03F);
    ctx->Yield(2);
    EXPECT_NEAR(session().bounds().max_kl, 0.03, 1e-6);
    EXPECT_EQ(session().tuning()->bounds.max_kl, session().bounds().max_kl);
    ctx->ItemInputValue(limit(Bounded::ms).c_str(), 2.5F);
    ctx->Yield(2);
    EXPECT_EQ(session().bounds().max_ms, 2.5);
    EXPECT_EQ(bounds_of(session()).size(), 2U);
    ctx->ItemInputValue(limit(Bounded::ms).c_str(), 0.0F);
    ctx->Yield(2);
    EXPECT_FALSE(session().bounds().max_ms.has_value()) << "0 takes it away";
    ctx->ItemInputValue(limit(Bounded::agreement).c_str(), 7.0F);  // no share
    ctx->Yield(2);
    EXPECT_FALSE(session().bounds().min_agreement.has_value());
    EXPECT_NEAR(session().bounds().max_kl, 0.03, 1e-6);
  });
}

// Nothing on the strip may be cut off: it takes a second line where the window is narrow or the text large.
TEST_F(GoalPanels, TheStripFitsWhateverTheSizeOfText) {
  run([this](ImGuiTestContext* ctx) {
    float line = 0;
    for (const float scale : {1.0F, 1.6F, 2.4F}) {
      ImGui::GetStyle().FontScaleMain = scale;
      ctx->Yield(6);
      const ImGuiWindow* const strip = ctx->GetWindowByRef("//##Goal");
      ASSERT_NE(strip, nullptr);
      EXPECT_LE(strip->ContentSize.x, strip->Size.x) << scale;
      EXPECT_LE(strip->ContentSize.y, strip->Size.y) << scale;
      EXPECT_GT(strip->Size.y, line);
      line = strip->Size.y;
    }
    ImGui::GetStyle().FontScaleMain = 1;
  });
}

// Greedy steps, a value typed into a layer's row and the way back, as a person does it.
TEST_F(GoalPanels, TheLedgerSpendsEditsAndGoesBack) {
  run([this](ImGuiTestContext* ctx) {
    app().bench().front = "Ledger";
    ctx->Yield(3);
    host.settle(ctx);
    const Settings start = session().settings();
    const LedgerPage page = *session().data<Ledger>().ask();
    ASSERT_TRUE(page.priced());
    ctx->ItemClick("//Ledger/spend where it helps most");
    host.settle(ctx);
    const Settings spent = session().settings();
    EXPECT_EQ(spent, spend(page, 0.005 * session().tuning()->full_cost, shape.n_layer).value());
    EXPECT_GT(session().data<Ledger>().ask()->metrics.cost, page.metrics.cost);
    ctx->ItemClick("//Ledger/save where it hurts least");
    host.settle(ctx);
    EXPECT_NE(session().settings(), spent);
    EXPECT_TRUE(undo(session(), app().view()));
    EXPECT_EQ(session().settings(), spent);
    EXPECT_TRUE(undo(session(), app().view()));
    host.settle(ctx);
    EXPECT_EQ(session().settings(), start);
    ctx->ItemInput("//Ledger/**/$$1/K/##value");
    ctx->KeyCharsReplaceEnter("L/4");
    host.settle(ctx);
    EXPECT_EQ(session().settings().count("K", 1, shape.n_prompt), 64);
    EXPECT_EQ(session().settings().get("K"), Value(std::vector<std::string>{"64", "L/4", "64"}));
    ctx->ItemInput("//Ledger/**/$$1/K/##value");
    ctx->KeyCharsReplaceEnter("many");
    host.settle(ctx);
    EXPECT_EQ(session().settings().get("K"), Value(std::vector<std::string>{"64", "L/4", "64"})) << "no number";
    EXPECT_EQ(session().replay_error(), "");
  });
}

// What a person reads must not be cut off by the pane's edge; tables scroll.
TEST_F(GoalPanels, NoLineOfTheLandscapeIsCutOffAtAnySize) {
  run([this](ImGuiTestContext* ctx) {
    for (const float scale : {1.0F, 1.5F, 2.0F}) {
      ImGui::GetStyle().FontScaleMain = scale;
      ctx->Yield(6);
      const ImGuiWindow* const window = ctx->GetWindowByRef("//Landscape");
      EXPECT_LE(window->ContentSize.x, window->WorkRect.GetWidth() + 1) << scale;
    }
    ImGui::GetStyle().FontScaleMain = 1;
  });
}

// Pictures of settings cost a frame next to nothing once they are known; a policy without numbers says so.
TEST_F(GoalPanels, EveryPolicysLandscapeCanBeDrawn) {
  run([this](ImGuiTestContext* ctx) {
    for (const PolicyInfo& policy : policy_registry()) {
      session().set_settings(session().settings().under(policy.name));
      host.settle(ctx);
      EXPECT_EQ(session().replay_error(), "") << policy.name;
      const Axes axes = axes_of(session().settings(), session().trace()->info);
      if (axes.across.key.empty() && axes.upwards.key.empty()) continue;
      EXPECT_EQ(map().n_known, map().n_possible) << policy.name;
    }
  });
}

}  // namespace
}  // namespace reattend::viz::testing
