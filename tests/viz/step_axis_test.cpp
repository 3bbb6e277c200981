// One axis of steps: whatever a person does with wheel, mouse and keys in any pane, all panes show the same steps.
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <implot.h>
#include <implot_internal.h>

#include "gui_host.h"
#include "synthetic_source.h"
#include "viz/panels/step_axis.h"

namespace reattend::viz::testing {
namespace {

class StepAxis : public ::testing::Test {
 protected:
  StepAxis() : host(synthetic_source(shape)) { host.app().open({"trace.h5"}); }
  Session& session() { return host.app().session(); }
  SharedView& view() { return host.app().view(); }
  void run(const std::function<void(ImGuiTestContext*)>& body) {
    const std::string log = host.run([this, body](ImGuiTestContext* ctx) {
      host.settle(ctx);
      // Panes behind others were drawn once, and ImPlot keeps what it drew.
      ImPlot::BustPlotCache();
      ctx->Yield(2);
      body(ctx);
    });
    EXPECT_EQ(log, "");
  }
  /// How many plots have the axis of steps; all must show the same.
  int check_axes() {
    int n = 0;
    ImPlotContext& plots = *ImPlot::GetCurrentContext();
    for (int i = 0; i < plots.Plots.GetBufSize(); ++i) {
      for (const ImPlotAxis& axis : plots.Plots.GetByIndex(i)->Axes) {
        if (!axis.Enabled || axis.LinkedMin != &view().steps.low) continue;
        ++n;
        EXPECT_EQ(axis.Range.Min, view().steps.low);
        EXPECT_EQ(axis.Range.Max, view().steps.high);
      }
    }
    return n;
  }
  /// The plotted area of a plot of the timeline.
  static ImRect plot_named(ImGuiTestContext* ctx, const char* name) {
    const ImGuiWindow* const window = ctx->GetWindowByRef("Timeline");
    const ImPlotPlot* const plot = ImPlot::GetCurrentContext()->Plots.GetByKey(ImHashStr(name, 0, window->ID));
    return plot != nullptr ? plot->PlotRect : ImRect();
  }
  static ImVec2 within(const ImRect& rect, float x, float y) {
    return {rect.Min.x + x * rect.GetWidth(), rect.Min.y + y * rect.GetHeight()};
  }
  static void drag(ImGuiTestContext* ctx, ImVec2 from, ImVec2 to, ImGuiMouseButton button = ImGuiMouseButton_Left) {
    ctx->MouseMoveToPos(from);
    ctx->MouseDown(button);
    ctx->MouseMoveToPos(to);
    ctx->MouseUp(button);
  }

  SyntheticShape shape;
  GuiHost host;
};

TEST_F(StepAxis, IsTheSameInAllPanesAfterAnyWheelAndDrag) {
  run([this](ImGuiTestContext* ctx) {
    const ImRect minimap(view().minimap_corner, ImVec2(view().minimap_corner.x + view().minimap_size.x,
                                                       view().minimap_corner.y + view().minimap_size.y));
    const ImRect heat(view().heat_corner,
                      ImVec2(view().heat_corner.x + view().heat_size.x, view().heat_corner.y + view().heat_size.y));
    const std::vector<ImRect> places = {plot_named(ctx, "##layers"), plot_named(ctx, "##lane"),
                                        plot_named(ctx, "##measures"), minimap, heat};
    for (const ImRect& each : places) ASSERT_GT(each.GetWidth(), 0);
    const Limits all = all_steps(session().trace()->info);
    std::mt19937 random(11);
    std::uniform_real_distribution<float> share(0.05F, 0.95F);
    std::set<double> seen;
    for (int i = 0; i < 500; ++i) {
      const ImRect& place = places[random() % places.size()];
      const ImVec2 from = within(place, share(random), share(random));
      switch (random() % 4) {
        case 0:
        case 1:
          ctx->MouseMoveToPos(from);
          ctx->MouseWheelY(random() % 3 == 0 ? -1 : 1);
          break;
        case 2:
          drag(ctx, from, within(place, share(random), share(random)));
          break;
        default:
          drag(ctx, from, within(place, share(random), share(random)), ImGuiMouseButton_Middle);
          break;
      }
      ctx->Yield(2);
      ASSERT_EQ(check_axes(), 5) << "four plots of the timeline and the heat map";
      ASSERT_GE(view().steps.low, all.low - 1e-9);
      ASSERT_LE(view().steps.high, all.high + 1e-9);
      seen.insert(view().steps.low);
    }
    EXPECT_GT(seen.size(), 50U) << "events that move nothing test nothing";
  });
}

TEST_F(StepAxis, CtrlDragMarksARangeInEveryPaneAndMovesNothing) {
  run([this](ImGuiTestContext* ctx) {
    const Limits before = view().steps;
    const int32_t step = session().selection().step;
    const ImRect lane = plot_named(ctx, "##lane");
    ctx->KeyDown(ImGuiMod_Ctrl);
    drag(ctx, within(lane, 0.25F, 0.5F), within(lane, 0.5F, 0.5F));
    ctx->KeyUp(ImGuiMod_Ctrl);
    ASSERT_TRUE(view().range.has_value());
    // 64 steps across: a quarter is at 16.5, half at 32.5.
    EXPECT_NEAR(view().range->first, 17, 1);
    EXPECT_NEAR(view().range->last, 33, 1);
    EXPECT_EQ(view().steps.low, before.low);
    EXPECT_EQ(view().steps.high, before.high);
    EXPECT_EQ(session().selection().step, step);
    // The same in the heat map, where steps go down, from below to above.
    const ImRect heat(view().heat_corner,
                      ImVec2(view().heat_corner.x + view().heat_size.x, view().heat_corner.y + view().heat_size.y));
    ctx->KeyDown(ImGuiMod_Ctrl);
    drag(ctx, within(heat, 0.5F, 0.75F), within(heat, 0.5F, 0.5F));
    ctx->KeyUp(ImGuiMod_Ctrl);
    EXPECT_NEAR(view().range->first, 33, 1);
    EXPECT_NEAR(view().range->last, 49, 1);
  });
}

TEST_F(StepAxis, ARangeCanBeZoomedToAndCleared) {
  run([this](ImGuiTestContext* ctx) {
    view().range = Steps{20, 40};
    host.settle(ctx);
    ctx->KeyPress(ImGuiKey_Z);
    ctx->Yield(2);
    EXPECT_EQ(view().steps.low, 19.5);
    EXPECT_EQ(view().steps.high, 40.5);
    EXPECT_EQ(check_axes(), 5);
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(2);
    EXPECT_FALSE(view().range.has_value());
  });
}

// Who plays a trace sees every step once, and the window rests at its end.
TEST_F(StepAxis, PlayingGoesToTheEndAndStops) {
  run([this](ImGuiTestContext* ctx) {
    session().select_step(40);
    view().player.set_speed(30);
    ctx->KeyPress(ImGuiKey_Space);
    const int32_t begun = session().selection().step;
    ctx->Yield(20);  // 60 frames a second
    EXPECT_NEAR(session().selection().step - begun, 10, 1);
    EXPECT_TRUE(host.app().next_frame_in().has_value());
    ctx->Yield(60);
    EXPECT_EQ(session().selection().step, shape.n_step);
    EXPECT_FALSE(view().player.playing());
    EXPECT_FALSE(host.app().next_frame_in().has_value()) << "nothing more is drawn";
    ctx->ItemClick("//Timeline/play");
    EXPECT_LT(session().selection().step, 5) << "from the start again";
  });
}

}  // namespace
}  // namespace reattend::viz::testing
