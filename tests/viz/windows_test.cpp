// Layers that the model confines to their last positions are shown as such: no policy acts there, and no weights are
// recorded.
#include <gtest/gtest.h>

#include "gui_host.h"
#include "synthetic_source.h"
#include "viz/panels/window_cells.h"
#include "viz/session/layer_windows.h"

namespace reattend::viz::testing {
namespace {

TEST(LayerWindows, RangesOfLayersAreSaidOnceEachWindow) {
  TraceInfo info;
  info.n_layer = 8;
  EXPECT_EQ(windows_in_words(info), "");
  info.windows = {512, 512, 512, 0, 512, 0, 0, 0};
  EXPECT_EQ(windows_in_words(info), "layers 0 to 2, 4 look back 512 positions by themselves");
  info.windows = {0, 128, 0, 0, 512, 512, 0, 0};
  EXPECT_EQ(windows_in_words(info),
            "layer 1 looks back 128 positions by itself; layers 4 to 5 look back 512 positions by themselves");
}

class WindowedLayers : public ::testing::Test {
 protected:
  WindowedLayers() : host(synthetic_source(shape)) { host.app().open({"trace.h5"}); }
  Session& session() { return host.app().session(); }
  SyntheticShape shape{.n_layer = 4, .n_prompt = 256, .n_step = 24, .windows = {64, 0, 64, 0}};
  GuiHost host;
};

// Gemma's local layers are most of its layers: whoever looks for one must not be shown another in its place.
TEST_F(WindowedLayers, TheMapShowsTheWindowAndTheOtherPanesStay) {
  host.test([this](ImGuiTestContext* ctx) {
    ASSERT_EQ(session().selection().layer, 1);
    ctx->ItemInputValue("//Attention/##layer", 2);
    ctx->Yield(2);
    EXPECT_EQ(session().selection().layer, 1) << "a layer that is not recorded cannot be selected";
    App& app = host.app();
    ctx->MouseMoveToPos(ImVec2(app.view().heat_corner.x + 0.9F * app.view().heat_size.x,
                               app.view().heat_corner.y + 0.5F * app.view().heat_size.y));
    ctx->Yield(2);
    ASSERT_TRUE(app.view().hover);
    EXPECT_NE(
        describe_window_cell(session(), 2, *app.view().hover).find("within the window of 64 positions of layer 2"),
        std::string::npos);
    EXPECT_NE(describe_window_cell(session(), 2, {1, 256 - 64}).find("outside"), std::string::npos);
    EXPECT_NE(describe_window_cell(session(), 2, {1, 256 - 63}).find("within"), std::string::npos);
    ctx->ItemInputValue("//Attention/##layer", 3);
    ctx->Yield(2);
    EXPECT_EQ(session().selection().layer, 3);
  });
}

}  // namespace
}  // namespace reattend::viz::testing
