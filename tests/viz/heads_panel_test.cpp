// A person picks the worst head, from the grid and from the list, and all panes show it.
#include <gtest/gtest.h>

#include "gui_host.h"
#include "synthetic_source.h"
#include "viz/session/head_grid.h"

namespace reattend::viz::testing {
namespace {

class HeadsPanel : public ::testing::Test {
 protected:
  HeadsPanel() : host(synthetic_source(shape)) {
    host.app().bench().front = "Heads";
    host.app().open({"trace.h5"});
  }
  Session& session() { return host.app().session(); }
  /// Of all heads the one that loses most.
  HeadStory worst() {
    const HeadPage page = head_page(*session().answer(), session().trace()->info, LayerMeasure::lost_mass);
    return *std::max_element(page.heads.begin(), page.heads.end(),
                             [](const HeadStory& a, const HeadStory& b) { return a.mean < b.mean; });
  }
  void expect_selected(const HeadStory& head) {
    EXPECT_EQ(session().selection().layer, head.layer);
    EXPECT_EQ(session().selection().kv_head, head.kv_head);
  }
  void run(std::function<void(ImGuiTestContext*)> body) { host.test(std::move(body)); }

  SyntheticShape shape{.n_layer = 5, .n_kv_head = 3};
  GuiHost host;
};

TEST_F(HeadsPanel, AClickInTheGridSelectsLayerAndHead) {
  run([this](ImGuiTestContext* ctx) {
    for (const int32_t place : {0, 7, 14}) {
      ctx->ItemClick(("//Heads/$$" + std::to_string(place) + "/head").c_str());
      expect_selected({.layer = place / 3, .kv_head = place % 3, .largest = {}});
    }
  });
}

TEST_F(HeadsPanel, TheFirstRowOfTheListIsTheWorst) {
  run([this](ImGuiTestContext* ctx) {
    ctx->ItemClick("//Heads/worst first");
    ctx->Yield(3);
    const HeadStory head = worst();
    const std::string row =
        "//Heads/heads/$$" + std::to_string(head.layer * 3 + head.kv_head) + "/" + std::to_string(head.layer);
    const ImRect worst_row = ctx->ItemInfo(row.c_str()).RectFull;
    for (int32_t other = 0; other < 15; ++other) {
      const std::string name = "//Heads/heads/$$" + std::to_string(other) + "/" + std::to_string(other / 3);
      const ImGuiTestItemInfo info = ctx->ItemInfo(name.c_str(), ImGuiTestOpFlags_NoError);
      if (info.ID == 0) continue;  // scrolled away
      EXPECT_GE(info.RectFull.Min.y, worst_row.Min.y) << name;
    }
    ctx->ItemClick(row.c_str());
    expect_selected(head);
  });
}

}  // namespace
}  // namespace reattend::viz::testing
