// A chart's suffix says how it is drawn; what can't be drawn is said before the work whose result it would show.
#include "report/chart_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/subprocess.h"
#include "tests/support/scratch_folder.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;

Chart line() {
  return {.title = "KL against time",
          .panels = {{.title = "all",
                      .x = {.title = "ms"},
                      .y = {.title = "KL"},
                      .series = {{.name = "a", .x = {1, 2}, .y = {3, 4}}}}},
          .width = 600};
}

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string refusal(const fs::path& path, bool force = false) {
  try {
    check_chart_path(path, force, "--chart");
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

/// PATH without any program, for as long as it lives.
class NoPrograms {
 public:
  NoPrograms() { setenv("PATH", "/nowhere", 1); }
  ~NoPrograms() { setenv("PATH", before_.c_str(), 1); }

 private:
  std::string before_ = std::getenv("PATH");
};

TEST(ChartFile, OtherSuffixesFoldersAndFilesThatAreNoPicturesAreRefused) {
  const test::ScratchFolder folder;
  EXPECT_EQ(refusal(""), "") << "no chart was asked for";
  EXPECT_EQ(refusal(folder / "a.svg"), "");
  EXPECT_NE(refusal(folder / "a.jpg").find("ends in .svg or .png"), std::string::npos);
  EXPECT_NE(refusal(folder / "none" / "a.svg").find("a folder that can be written to"), std::string::npos);
  std::ofstream(folder / "trace.png") << "\x89HDF, or what else is dear";
  EXPECT_NE(refusal(folder / "trace.png", true).find("a PNG that may be replaced"), std::string::npos);
}

TEST(ChartFile, WithoutTheRendererAPngIsRefusedWithThePackageThatHasItAndAnSvgIsNot) {
  const test::ScratchFolder folder;
  const NoPrograms none;
  EXPECT_NE(refusal(folder / "a.png").find("librsvg2-bin"), std::string::npos);
  EXPECT_THROW(write_chart(line(), folder / "a.png", false), Error);
  EXPECT_FALSE(fs::exists(folder / "a.png"));
  write_chart(line(), folder / "a.svg", false);
  EXPECT_TRUE(bytes_of(folder / "a.svg").ends_with("</svg>\n"));
}

TEST(ChartFile, APngHasTwoPixelsForEachOfTheCharts) {
  if (!find_program("rsvg-convert")) GTEST_SKIP() << "no rsvg-convert (package librsvg2-bin)";
  const test::ScratchFolder folder;
  const fs::path path = folder / "a.png";
  write_chart(line(), path, false);
  const std::string png = bytes_of(path);
  ASSERT_TRUE(png.starts_with("\x89PNG\r\n\x1a\n"));
  const auto byte = [&](size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(png[i])); };
  EXPECT_EQ(byte(16) << 24 | byte(17) << 16 | byte(18) << 8 | byte(19), 1200U) << "its width, in the header";
  EXPECT_NE(refusal(path).find("--force"), std::string::npos);
  EXPECT_EQ(refusal(path, true), "");
  write_chart(line(), path, true);
  EXPECT_EQ(bytes_of(path), png);
}

}  // namespace
}  // namespace reattend
