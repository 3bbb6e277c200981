// The bars of similarities and the steps follow each other: a click on a bar picks its steps and goes through them.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <gtest/gtest.h>
#include <implot.h>
#include <implot_internal.h>

#include "gui_host.h"
#include "synthetic_source.h"
#include "viz/session/due_steps.h"

namespace reattend::viz::testing {
namespace {

class SpreadOfSimilarities : public ::testing::Test {
 protected:
  SpreadOfSimilarities() : host(synthetic_source(shape)) { host.app().open({"trace.h5"}); }
  Session& session() { return host.app().session(); }
  /// The plot of similarities, which has the axis of this name.
  static const ImPlotPlot& plot() {
    ImPlotContext& plots = *ImPlot::GetCurrentContext();
    for (int i = 0; i < plots.Plots.GetBufSize(); ++i) {
      ImPlotPlot& each = *plots.Plots.GetByIndex(i);
      for (const ImPlotAxis& axis : each.Axes) {
        if (axis.Enabled && axis.HasLabel() && std::string(each.GetAxisLabel(axis)) == "similarity") return each;
      }
    }
    throw std::logic_error("no plot of similarities");
  }

  SyntheticShape shape{.n_layer = 3, .n_prompt = 128, .n_step = 48};
  GuiHost host;
};

TEST_F(SpreadOfSimilarities, AClickOnABarGoesThroughItsStepsAndNoOthers) {
  host.test([this](ImGuiTestContext* ctx) {
    Settings settings("recycled");
    settings.set("S", int64_t{2});
    settings.set("schedule", std::string("query"));
    settings.set("threshold", 0.9);
    session().set_settings(settings);
    host.settle(ctx);
    const DueSteps due = due_steps(*session().layer(), settings, session().trace()->info);
    ASSERT_FALSE(due.steps.empty());
    const ImRect room = plot().PlotRect;
    const ImPlotAxis& axis = plot().Axes[ImAxis_Y1];
    const float thick = std::max(2.0F, ImGui::GetFontSize() * 0.25F);
    const auto bar_of = [&](float similarity) {
      const double down = (axis.Range.Max - static_cast<double>(similarity)) / axis.Range.Size() * room.GetHeight();
      return static_cast<int>(std::ceil(down / thick)) - 1;
    };
    // The bar with most steps of different numbers.
    std::map<int, std::set<int32_t>> steps_of;
    for (const DueStep& each : due.steps) {
      if (!std::isnan(each.similarity)) steps_of[bar_of(each.similarity)].insert(each.step);
    }
    const auto most = std::max_element(steps_of.begin(), steps_of.end(),
                                       [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
    ASSERT_GT(most->second.size(), 1U) << "a test of nothing";
    ASSERT_LT(most->second.size(), static_cast<size_t>(shape.n_step) / 2);
    session().select_step(1);
    ctx->Yield(2);
    ctx->MouseMoveToPos(ImVec2(room.Max.x - 3, room.Min.y + (static_cast<float>(most->first) + 0.5F) * thick));
    std::vector<int32_t> visited;
    for (size_t i = 0; i < most->second.size() + 1; ++i) {
      ctx->MouseClick();
      ctx->Yield(2);
      visited.push_back(session().selection().step);
    }
    std::vector<int32_t> expected(most->second.begin(), most->second.end());
    expected.push_back(expected.front());  // behind the last one the first comes again
    EXPECT_EQ(visited, expected);
    // Beside the bars a click means the step under the mouse, as before.
    ctx->MouseMoveToPos(ImVec2(room.Min.x + 0.5F * room.GetWidth() / static_cast<float>(shape.n_step),
                               room.Min.y + 0.2F * room.GetHeight()));
    ctx->MouseClick();
    ctx->Yield(2);
    EXPECT_EQ(session().selection().step, 1);
  });
}

}  // namespace
}  // namespace reattend::viz::testing
