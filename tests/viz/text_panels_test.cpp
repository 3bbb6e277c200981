// A person searches, points and clicks in the panels of text and of losses; what changes must be what they meant.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "gui_host.h"
#include "synthetic_source.h"
#include "viz/panels/token_colors.h"
#include "viz/session/next_lost.h"
#include "viz/session/story.h"

namespace reattend::viz::testing {
namespace {

class TextPanels : public ::testing::Test {
 protected:
  TextPanels() : host(synthetic_source(shape)) { app().open({"trace.h5"}); }
  App& app() { return host.app(); }
  Session& session() { return host.app().session(); }
  void run(std::function<void(ImGuiTestContext*)> body) { host.test(std::move(body)); }

  SyntheticShape shape;
  GuiHost host;
};

// "w11" stands at position 11, whatever the tokens before it; all others that begin so come after it.
TEST_F(TextPanels, SearchGoesFromPlaceToPlaceAndMarksThem) {
  run([this](ImGuiTestContext* ctx) {
    Actions::run(app().bench(), app().actions().parse("text.find W11"));
    ctx->Yield(2);
    EXPECT_EQ(session().selection().position, 11);
    EXPECT_EQ(app().view().found, (std::vector<int32_t>{11, 110}));
    ctx->ItemClick("//Tokens/##next");
    ctx->Yield(2);
    EXPECT_EQ(session().selection().position, 110);
    ctx->ItemClick("//Tokens/##next");
    ctx->Yield(2);
    EXPECT_EQ(session().selection().position, 11) << "around the end";
    ctx->ItemClick("//Tokens/##previous");
    ctx->Yield(2);
    EXPECT_EQ(session().selection().position, 110);
    ctx->KeyPress(ImGuiKey_F3);
    ctx->Yield(2);
    EXPECT_EQ(session().selection().position, 11);
    ctx->KeyPress(ImGuiMod_Shift | ImGuiKey_F3);
    ctx->Yield(2);
    EXPECT_EQ(session().selection().position, 110);
    ctx->ItemInputValue("//Tokens/##find", "w121");
    ctx->Yield(2);
    EXPECT_EQ(session().selection().position, 121) << "typed, and Enter";
    session().select_position(110);
    ctx->ItemInputValue("//Tokens/##find", "no such text");
    ctx->Yield(2);
    EXPECT_TRUE(app().view().found.empty());
    EXPECT_EQ(session().selection().position, 110) << "nothing to go to";
  });
}

TEST_F(TextPanels, WhatAPointedTokenSaysIsTheReplaysNumber) {
  run([this](ImGuiTestContext* ctx) {
    const std::vector<int32_t> lost = heaviest_lost(session());
    ASSERT_FALSE(lost.empty());
    TokenColors colors;
    const int32_t step = session().selection().step;
    host.settle(ctx);
    const std::string text = colors.describe(session(), lost[0], step);
    EXPECT_NE(text.find("position " + std::to_string(lost[0])), std::string::npos) << text;
    EXPECT_NE(
        text.find(fmt::format("weight {:.9g} at step {}, not attended to", *session().weight(step, lost[0]), step)),
        std::string::npos)
        << text;
    EXPECT_EQ(text.find("log-probability"), std::string::npos) << "the prompt has none";
    EXPECT_NE(colors.describe(session(), shape.n_prompt, step).find("log-probability -1.5"), std::string::npos);
    EXPECT_NE(colors.describe(session(), 9, step).find("bytes 2E 0A"), std::string::npos);
  });
}

// From one loss to the next in the order of the text, each of them one that the replay lost, and heavy.
TEST_F(TextPanels, NextLostGoesThroughTheHeaviestLosses) {
  run([this](ImGuiTestContext* ctx) {
    const int32_t step = session().selection().step;
    const std::vector<int32_t> lost = heaviest_lost(session());
    double held = 0, all = 0;
    for (int32_t j = 0; j < shape.n_prompt + step; ++j) {
      if (*session().attended(step, j)) continue;
      all += *session().weight(step, j);
      if (std::ranges::binary_search(lost, j)) held += *session().weight(step, j);
    }
    EXPECT_GE(held, kMostOfLoss * all);
    session().select_position(-1);
    for (const int32_t position : lost) {
      ASSERT_EQ(next_lost(session(), 1), position);
      session().select_position(position);
    }
    EXPECT_EQ(next_lost(session(), 1), lost.front());
    session().select_position(lost[1]);
    EXPECT_EQ(next_lost(session(), -1), lost[0]);
    ctx->KeyPress(ImGuiMod_Shift | ImGuiKey_N);
    ctx->Yield(2);
    EXPECT_EQ(session().selection().position, lost[0]);
    ctx->KeyPress(ImGuiKey_N);
    ctx->Yield(2);
    EXPECT_EQ(session().selection().position, lost[1]);
  });
}

// The first story is of what was lost most; a click on a row tells of that one, and the button does what it says.
TEST_F(TextPanels, WhyLostTellsAndMends) {
  run([this](ImGuiTestContext* ctx) {
    Actions::run(app().bench(), app().actions().parse("panel.show panel=\"Why lost\""));
    ctx->Yield(3);
    const auto story = [&]() -> const Story& {
      for (;;) {
        host.settle(ctx);
        const Story* const found = session().data<Stories>().ask();
        if (found != nullptr && found->whole && found->settings == session().settings()) return *found;
        ctx->Yield();
      }
    };
    const LostRow row = *story().row;
    ASSERT_GE(row.positions.size(), 2U);
    const int32_t second = row.positions[1].position;
    session().select_position(second);
    EXPECT_EQ(story().position, second);
    ASSERT_FALSE(story().cures.empty());
    const Cure cure = story().cures.front().cure;
    ctx->ItemClick(("//Why lost/**/###" + cure.key).c_str());
    host.settle(ctx);
    EXPECT_EQ(session().settings(), cure.settings);
    EXPECT_EQ(session().attended(session().selection().step, second), true);
  });
}

}  // namespace
}  // namespace reattend::viz::testing
