// The same frames through software OpenGL: every panel must have something in it, and files are never overwritten
// unasked.
#include <fstream>
#include <set>

#include <gtest/gtest.h>
#include <imgui_internal.h>

#include "base/error.h"
#include "synthetic_source.h"
#include "viz/app.h"
#include "viz/offscreen.h"

namespace reattend::viz::testing {
namespace {

/// Frames until everything has been computed and laid out. Fails the test where there is no EGL only by its message.
Picture render(App& app, Offscreen& host) {
  for (int quiet = 0; quiet < 6; quiet = app.settled() ? quiet + 1 : 0) host.frame([&] { app.draw_frame(); });
  return host.read();
}

std::unique_ptr<Offscreen> open_offscreen(int32_t width, int32_t height, std::string& why_not) {
  try {
    return std::make_unique<Offscreen>(width, height);
  } catch (const Error& error) {
    why_not = error.what();
    return nullptr;
  }
}

size_t colors_in(const Picture& picture, ImVec2 corner, ImVec2 size) {
  std::set<uint32_t> colors;
  for (auto y = static_cast<int32_t>(corner.y); y < static_cast<int32_t>(corner.y + size.y); ++y) {
    for (auto x = static_cast<int32_t>(corner.x); x < static_cast<int32_t>(corner.x + size.x); ++x) {
      const uint8_t* p = picture.rgba.data() + (int64_t{y} * picture.width + x) * 4;
      colors.insert(uint32_t{p[0]} << 16 | uint32_t{p[1]} << 8 | p[2]);
    }
  }
  return colors.size();
}

class PictureTest : public ::testing::TestWithParam<bool> {};

TEST_P(PictureTest, EveryPanelShowsSomething) {
  const UiContexts contexts(1);
  App app(synthetic_source({}), [] {});
  app.bench().set_light(GetParam());
  app.open({"trace.h5"});
  std::string why_not;
  const auto host = open_offscreen(1600, 900, why_not);
  if (!host) GTEST_SKIP() << why_not;
  const Picture picture = render(app, *host);
  // Text alone, smoothed at its edges, has dozens of colours; an empty panel has its background and its border.
  for (const char* name : {"Tune", "Trace", "Timeline", "Attention", "Tokens"}) {
    const ImGuiWindow* window = ImGui::FindWindowByName(name);
    ASSERT_NE(window, nullptr) << name;
    EXPECT_GT(colors_in(picture, window->InnerRect.Min, window->InnerRect.GetSize()), 40) << name;
  }
  EXPECT_GT(colors_in(picture, app.view().heat_corner, app.view().heat_size), 200);
}

INSTANTIATE_TEST_SUITE_P(Themes, PictureTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "light" : "dark"; });

// A larger window replaces the heat map's texture while it is in use.
TEST(PictureSize, GrowingTheWindowKeepsTheHeatMap) {
  const UiContexts contexts(1);
  App app(synthetic_source({}), [] {});
  app.open({"trace.h5"});
  std::string why_not;
  const auto host = open_offscreen(2400, 1600, why_not);
  if (!host) GTEST_SKIP() << why_not;
  for (const ImVec2 size : {ImVec2(800, 500), ImVec2(1300, 800), ImVec2(2400, 1600), ImVec2(900, 700)}) {
    ImGui::GetIO().DisplaySize = size;
    const Picture picture = render(app, *host);
    // OpenGL's origin is below: a smaller frame lies at the bottom of the buffer.
    const ImVec2 corner(app.view().heat_corner.x, app.view().heat_corner.y + 1600 - size.y);
    EXPECT_GT(colors_in(picture, corner, app.view().heat_size), 100) << size.x;
  }
}

TEST(WritePng, RefusesToOverwriteAndLeavesTheOldFile) {
  const std::filesystem::path path = std::filesystem::path(::testing::TempDir()) / "reattend_picture.png";
  { std::ofstream(path) << "precious"; }
  const Picture picture{2, 1, {255, 0, 0, 255, 0, 0, 255, 255}};
  EXPECT_THROW(write_png(picture, path, false), Error);
  std::string text;
  { std::ifstream(path) >> text; }
  EXPECT_EQ(text, "precious");
  write_png(picture, path, true);
  { std::ifstream(path) >> text; }
  EXPECT_EQ(text.substr(1, 3), "PNG");
  EXPECT_THROW(write_png(picture, "/no/such/folder/x.png", false), Error);
}

}  // namespace
}  // namespace reattend::viz::testing
