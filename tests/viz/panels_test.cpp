// A person drags, clicks and types in the real panels; what changes must be what they meant.
#include <cmath>
#include <fstream>
#include <set>

#include <gtest/gtest.h>
#include <implot.h>
#include <implot_internal.h>

#include "base/error.h"
#include "gui_host.h"
#include "policies/policy.h"
#include "synthetic_source.h"

namespace reattend::viz::testing {
namespace {

class Panels : public ::testing::Test {
 protected:
  Panels() : stage(std::make_shared<Stage>()), host(synthetic_source(shape, stage)) {
    app().open({folder() / "trace.h5"});
  }
  App& app() { return host.app(); }
  Session& session() { return host.app().session(); }
  std::filesystem::path folder() const {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    const std::filesystem::path path = std::filesystem::path(::testing::TempDir()) / "reattend_panels" / info->name();
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
    return path;
  }
  void run(std::function<void(ImGuiTestContext*)> body) { host.test(std::move(body)); }

  SyntheticShape shape;
  std::shared_ptr<Stage> stage;
  GuiHost host;
};

// Dragging the line must reach the settings, switch the schedule on, and show other decisions than before.
TEST_F(Panels, DraggingTheThresholdLineResimulates) {
  run([this](ImGuiTestContext* ctx) {
    Settings settings("recycled");
    settings.set("S", int64_t{4});
    settings.set("schedule", std::string("query"));
    settings.set("threshold", 0.85);
    session().set_settings(settings);
    host.settle(ctx);
    const auto full_steps = [this] {
      int n = 0;
      for (const uint8_t full : session().layer()->full) n += full;
      return n;
    };
    const int before = full_steps();
    const ImVec2 line = app().view().threshold_line;
    const ImVec2 zero = app().view().threshold_zero, one = app().view().threshold_one;
    const float target = one.y + (zero.y - one.y) * (1 - 0.97F);
    ctx->MouseMoveToPos(line);
    ctx->MouseDown();
    ctx->MouseMoveToPos(ImVec2(line.x, target));
    ctx->MouseUp();
    host.settle(ctx);
    // The line snaps to what changes a decision, within two pixels.
    EXPECT_NEAR(session().settings().real("threshold", 0), 0.97, 0.004 + 2 / (zero.y - one.y));
    EXPECT_GT(full_steps(), before);
    EXPECT_EQ(session().answer()->settings, session().settings());
    // What is shown is what this threshold decides: the layer's own curve against it.
    const LayerReplay& layer = *session().layer();
    const double threshold = session().settings().real("threshold", layer.layer);
    for (int32_t t = 1; t <= shape.n_step; ++t) {
      const size_t cell = static_cast<size_t>((t - 1) * shape.n_kv_head);
      EXPECT_EQ(layer.full[cell] != 0, t % 4 == 0 && !(layer.cos[cell] > threshold)) << "step " << t;
    }
  });
}

TEST_F(Panels, DraggingTheLineUnderAFixedScheduleTurnsTheGateOn) {
  run([this](ImGuiTestContext* ctx) {
    ASSERT_EQ(session().settings().choice("schedule"), "fixed");
    const ImVec2 line = app().view().threshold_line;
    ctx->MouseMoveToPos(line);
    ctx->MouseDown();
    ctx->MouseMoveToPos(ImVec2(line.x, line.y - 20));
    ctx->MouseUp();
    host.settle(ctx);
    EXPECT_EQ(session().settings().choice("schedule"), "query");
  });
}

TEST_F(Panels, TheBudgetSliderResimulates) {
  run([this](ImGuiTestContext* ctx) {
    const double before = session().total()->recovered;
    ctx->ItemInputValue("//Tune/**/K/##count", 300);
    host.settle(ctx);
    EXPECT_EQ(std::get<int64_t>(session().settings().get("K")), 300);
    EXPECT_GT(session().total()->recovered, before);
    EXPECT_EQ(session().layer()->positions[0], 301);
  });
}

// A tuned file often holds a fraction; dragging must start from what it amounts to, not from the lowest value.
TEST_F(Panels, AFractionOfThePromptCanBeDragged) {
  run([this](ImGuiTestContext* ctx) {
    Settings settings = session().settings();
    settings.set("K", std::string("L/4"));
    session().set_settings(settings);
    host.settle(ctx);
    EXPECT_EQ(session().layer()->positions[0], shape.n_prompt / 4 + 1);
    ctx->ItemInputValue("//Tune/**/K/##count", 50);
    host.settle(ctx);
    EXPECT_EQ(std::get<int64_t>(session().settings().get("K")), 50);
  });
}

TEST_F(Panels, ChangingThePolicyKeepsTheBudget) {
  run([this](ImGuiTestContext* ctx) {
    ctx->ItemInputValue("//Tune/**/K/##count", 123);
    ctx->SetRef("Tune");
    ctx->ComboClick("policy/streaming");
    host.settle(ctx);
    EXPECT_EQ(session().settings().policy(), "streaming");
    EXPECT_EQ(std::get<int64_t>(session().settings().get("K")), 123);
    EXPECT_EQ(session().answer()->settings, session().settings());
  });
}

// Policies differ in their parameters and in what they have to show: none may leave a panel asking for another's.
TEST_F(Panels, EveryPolicyCanBeChosen) {
  run([this](ImGuiTestContext* ctx) {
    for (const PolicyInfo& policy : policy_registry()) {
      ctx->SetRef("Tune");
      if (session().settings().policy() != policy.name) ctx->ComboClick(("policy/" + std::string(policy.name)).c_str());
      host.settle(ctx);
      EXPECT_EQ(session().settings().policy(), policy.name);
      EXPECT_EQ(session().answer()->settings, session().settings());
    }
    ctx->ComboClick("policy/tokenselect");
    host.settle(ctx);
    ctx->ItemClick("//Tune/**/n_local/auto");  // becomes a field to type in
    ctx->Yield(2);
    ctx->ItemInputValue("//Tune/**/n_local/##text", "32");
    host.settle(ctx);
    EXPECT_EQ(session().settings().count("n_local", 0, 0), 32);
  });
}

// The value under the mouse must be the array's own, not the picture's; and the token that stands there.
TEST_F(Panels, HoverShowsTheExactWeightAndToken) {
  run([this](ImGuiTestContext* ctx) {
    const ImVec2 corner = app().view().heat_corner, size = app().view().heat_size;
    for (const ImVec2 share : {ImVec2(0.13F, 0.21F), ImVec2(0.5F, 0.5F), ImVec2(0.81F, 0.93F)}) {
      ctx->MouseMoveToPos(ImVec2(corner.x + share.x * size.x, corner.y + share.y * size.y));
      ctx->Yield(2);
      ASSERT_TRUE(app().view().hover.has_value());
      const Cell cell = *app().view().hover;
      // Neighbouring cells of the synthetic rows differ, so the cell must be the one under this pixel.
      const double position = -0.5 + 1.0 * share.x * (shape.n_prompt + shape.n_step);
      const double step = 0.5 + 1.0 * share.y * shape.n_step;
      EXPECT_NEAR(cell.position, position, 1.0);
      EXPECT_NEAR(cell.step, step, 1.0);
      const Selection& at = session().selection();
      EXPECT_NEAR(*session().weight(cell.step, cell.position),
                  synthetic_weight(shape, at.layer, at.kv_head, cell.step, cell.position), 1e-6);
      const ImGuiWindow* tooltip = ctx->GetWindowByRef("//##Tooltip_00");
      EXPECT_TRUE(tooltip != nullptr && tooltip->WasActive);
    }
  });
}

TEST_F(Panels, NoWeightIsShownBeyondTheEndOfARow) {
  run([this](ImGuiTestContext*) {
    EXPECT_TRUE(session().weight(1, shape.n_prompt).has_value());
    EXPECT_FALSE(session().weight(1, shape.n_prompt + 1).has_value());
    EXPECT_FALSE(session().weight(0, 0).has_value());
  });
}

TEST_F(Panels, ClickingTheMapSelectsStepAndPosition) {
  run([this](ImGuiTestContext* ctx) {
    const ImVec2 corner = app().view().heat_corner, size = app().view().heat_size;
    ctx->MouseMoveToPos(ImVec2(corner.x + 0.4F * size.x, corner.y + 0.3F * size.y));
    ctx->Yield(2);
    const Cell cell = app().view().hover.value_or(Cell{});
    ctx->MouseClick();
    ctx->Yield(2);
    EXPECT_EQ(session().selection().step, cell.step);
    EXPECT_EQ(session().selection().position, cell.position);
  });
}

TEST_F(Panels, KeysMoveBetweenLayersHeadsAndFullSteps) {
  run([this](ImGuiTestContext* ctx) {
    session().select_step(25);
    ctx->KeyPress(ImGuiKey_Period);
    ctx->Yield(2);
    EXPECT_EQ(session().selection().step, 30);  // S is 10
    ctx->KeyPress(ImGuiKey_Comma);
    ctx->Yield(2);
    EXPECT_EQ(session().selection().step, 20);
    const int32_t layer = session().selection().layer;
    ctx->KeyPress(ImGuiKey_RightBracket);
    host.settle(ctx);
    EXPECT_EQ(session().selection().layer, layer + 1);
    ASSERT_NE(session().layer(), nullptr);
    EXPECT_EQ(session().layer()->layer, layer + 1);
    ctx->KeyPress(ImGuiKey_DownArrow);
    host.settle(ctx);
    EXPECT_EQ(session().selection().kv_head, 1);
    ASSERT_NE(session().rows(), nullptr);
    EXPECT_EQ(session().rows()->tiles()[0]->kv_head, 1);
    ctx->KeyPress(ImGuiMod_Shift | ImGuiKey_Slash);
    ctx->Yield(2);
    EXPECT_TRUE(ctx->GetWindowByRef("//Keys") != nullptr && ctx->GetWindowByRef("//Keys")->WasActive);
  });
}

TEST_F(Panels, SavedSettingsReadBackAndAreNotOverwrittenUnasked) {
  run([this](ImGuiTestContext* ctx) {
    const std::filesystem::path file = session().path().parent_path() / "reattend.toml";
    ctx->ItemInputValue("//Tune/**/K/##count", 77);
    host.settle(ctx);
    ctx->ItemClick("//Tune/save settings");
    ctx->Yield(2);
    EXPECT_EQ(Settings::from_toml_file(file), session().settings());
    { std::ofstream(file) << "precious"; }
    ctx->ItemClick("//Tune/save settings");
    ctx->ItemClick("//$FOCUSED/keep it");
    std::string text;
    { std::ifstream(file) >> text; }
    EXPECT_EQ(text, "precious");
    ctx->ItemClick("//Tune/save settings");
    ctx->ItemClick("//$FOCUSED/overwrite");
    EXPECT_EQ(Settings::from_toml_file(file), session().settings());
  });
}

/// Labels of every axis with this title in all plots, checked to be whole numbers where they stand, none twice.
int check_whole_ticks(const char* title) {
  int n_axis = 0;
  ImPlotContext& plots = *ImPlot::GetCurrentContext();
  for (int i = 0; i < plots.Plots.GetBufSize(); ++i) {
    ImPlotPlot* const plot = plots.Plots.GetByIndex(i);
    for (ImPlotAxis& axis : plot->Axes) {
      if (!axis.Enabled || !axis.HasLabel() || std::string(plot->GetAxisLabel(axis)) != title) continue;
      ++n_axis;
      std::set<std::string> labels;
      EXPECT_GE(axis.Ticker.TickCount(), 1) << title << " " << axis.Range.Min << " to " << axis.Range.Max;
      for (int t = 0; t < axis.Ticker.TickCount(); ++t) {
        const ImPlotTick& tick = axis.Ticker.Ticks[t];
        EXPECT_EQ(tick.PlotPos, std::round(tick.PlotPos)) << title;
        EXPECT_EQ(std::stod(axis.Ticker.GetText(t)), tick.PlotPos) << title;
        EXPECT_TRUE(labels.insert(axis.Ticker.GetText(t)).second) << title << " " << axis.Ticker.GetText(t);
      }
    }
  }
  return n_axis;
}

// Who looks for an exact step zooms in until few are in view: "0 1 2 2 2 3 4" is no help then.
TEST_F(Panels, AxesOfWholeNumbersAreLabelledOnceEachAtAnyZoom) {
  run([this](ImGuiTestContext* ctx) {
    ImPlot::BustPlotCache();  // panes behind others were drawn once, and ImPlot keeps what it drew
    for (const double size : {4.0, 5.0, 6.0, 11.0, 39.0, 1e9}) {
      const auto part = [size](double low, double high) { return Limits{low, std::min(high, low + size)}; };
      app().view().steps = part(0.5, shape.n_step + 0.5);
      app().view().heat_positions = part(-0.5, shape.n_prompt + shape.n_step - 0.5);
      ctx->Yield(3);
      EXPECT_EQ(check_whole_ticks("step"), 2);
      EXPECT_EQ(check_whole_ticks("position"), 1);
      EXPECT_EQ(check_whole_ticks("layer"), 1);
    }
  });
}

// Every other command would refuse such a file.
TEST_F(Panels, AnInvalidSettingIsNotSaved) {
  run([this](ImGuiTestContext* ctx) {
    Settings settings = session().settings();
    settings.set("S", std::vector<std::string>{"4", "8", "16"});
    session().set_settings(settings);
    host.settle(ctx);
    ctx->ItemClick("//Tune/save settings");
    ctx->Yield(2);
    EXPECT_FALSE(std::filesystem::exists(session().path().parent_path() / "reattend.toml"));
  });
}

TEST_F(Panels, EveryPanelClosesAndResetLayoutBringsItBack) {
  run([](ImGuiTestContext* ctx) {
    for (const char* name : {"Tune", "Trace", "Timeline", "Attention", "Tokens"}) {
      ctx->MenuClick((std::string("//##MainMenuBar/View/") + name).c_str());
      ctx->Yield(2);
      EXPECT_FALSE(ctx->GetWindowByRef(name)->WasActive) << name;
    }
    ctx->MenuClick("//##MainMenuBar/View/reset layout");
    ctx->Yield(3);
    for (const char* name : {"Tune", "Trace", "Timeline", "Attention", "Tokens"}) {
      EXPECT_TRUE(ctx->GetWindowByRef(name)->WasActive) << name;
      EXPECT_NE(ctx->GetWindowByRef(name)->DockNode, nullptr) << name;
    }
  });
}

TEST(OpenError, IsShownAndCanBeClosed) {
  GuiHost host([](const std::filesystem::path& path) -> std::shared_ptr<ReplaySource> {
    fail({path.string(), "a trace", "no such file", "make one with `reattend record`"});
  });
  host.app().open({"/no/such/trace.h5"});
  const std::string log = host.run([&](ImGuiTestContext* ctx) {
    while (host.app().session().open_error().empty()) ctx->Yield();
    ctx->Yield(3);
    const ImGuiWindow* window = ctx->GetWindowByRef("//Cannot open the trace");
    ASSERT_TRUE(window != nullptr && window->WasActive);
    EXPECT_EQ(host.app().session().open_error(),
              "/no/such/trace.h5: expected a trace, got no such file; make one with `reattend record`");
    ctx->ItemClick("//Cannot open the trace/close");
    ctx->Yield(3);
    EXPECT_FALSE(ctx->GetWindowByRef("//Cannot open the trace")->WasActive);
    EXPECT_EQ(host.app().session().trace(), nullptr);
  });
  EXPECT_EQ(log, "");
}

}  // namespace
}  // namespace reattend::viz::testing
