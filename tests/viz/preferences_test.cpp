// What the window remembers comes back; a file that somebody broke costs the preferences and nothing else.
#include <algorithm>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/scratch_folder.h"
#include "viz/render/theme.h"
#include "viz/start/folder_list.h"
#include "viz/start/preferences.h"

namespace reattend::viz {
namespace {

TEST(Preferences, ComeBack) {
  const test::ScratchFolder folder;
  PreferenceFile file(folder / "window.json");
  EXPECT_EQ(file.complaint(), "") << "a first start is no fault";
  file.now().width = 1234, file.now().height = 700, file.now().light = true, file.now().text = 1.3F;
  file.now().layout = "reading", file.now().tour_seen = true;
  file.save();
  file.opened("/a/first.h5");
  file.opened("/a/second.h5");
  file.opened("/a/first.h5");
  const PreferenceFile again(folder / "window.json");
  EXPECT_EQ(again.now().width, 1234);
  EXPECT_EQ(again.now().height, 700);
  EXPECT_TRUE(again.now().light);
  EXPECT_FLOAT_EQ(again.now().text, 1.3F);
  EXPECT_EQ(again.now().layout, "reading");
  EXPECT_TRUE(again.now().tour_seen);
  EXPECT_EQ(again.now().recent, (std::vector<std::filesystem::path>{"/a/first.h5", "/a/second.h5"}));
}

TEST(Preferences, TwelveTracesAreRememberedWithTheirWholePaths) {
  const test::ScratchFolder folder;
  PreferenceFile file(folder / "window.json");
  for (int i = 0; i < 20; ++i) file.opened("trace" + std::to_string(i) + ".h5");
  ASSERT_EQ(file.now().recent.size(), kMostRecent);
  EXPECT_EQ(file.now().recent.front(), std::filesystem::absolute("trace19.h5"));
  file.forget("trace19.h5");
  EXPECT_EQ(PreferenceFile(folder / "window.json").now().recent.front(), std::filesystem::absolute("trace18.h5"));
}

TEST(Preferences, TwoWindowsForgetNoneOfTheirTraces) {
  const test::ScratchFolder folder;
  PreferenceFile one(folder / "window.json"), two(folder / "window.json");
  one.opened("/a.h5");
  two.opened("/b.h5");
  one.save();
  EXPECT_EQ(PreferenceFile(folder / "window.json").now().recent,
            (std::vector<std::filesystem::path>{"/b.h5", "/a.h5"}));
}

TEST(Preferences, ABrokenFileIsSaidInALineAndEverythingIsAsUsual) {
  const test::ScratchFolder folder;
  for (const std::string text :
       {"", "{", "[]", "7", "{\"width\": \"wide\"}", "{\"recent\": [1, 2]}", "\xff\xfe\x00", "{\"text\": 1e999}"}) {
    std::ofstream(folder / "window.json") << text;
    PreferenceFile file(folder / "window.json");
    EXPECT_NE(file.complaint().find("window.json: expected the window's preferences"), std::string::npos) << text;
    EXPECT_EQ(std::count(file.complaint().begin(), file.complaint().end(), '\n'), 0);
    EXPECT_EQ(file.now().width, 0);
    EXPECT_EQ(file.now().text, 1);
    file.opened("/a.h5");
    EXPECT_EQ(PreferenceFile(folder / "window.json").complaint(), "") << "written anew";
  }
}

TEST(Preferences, SizesThatNobodyCanSeeAreNotTaken) {
  const test::ScratchFolder folder;
  std::ofstream(folder / "window.json") << "{\"width\": -5, \"height\": 99999999, \"text\": 900, \"scale\": 0}";
  const PreferenceFile file(folder / "window.json");
  EXPECT_EQ(file.now().width, 0);
  EXPECT_LE(file.now().height, 16384);
  EXPECT_EQ(file.now().text, kMostText);
  EXPECT_GT(file.now().scale, 0);
}

TEST(Preferences, AFolderThatCannotBeWrittenToIsSaid) {
  PreferenceFile file("/no/such/folder/window.json");
  file.opened("/a.h5");
  EXPECT_NE(file.complaint(), "");
  EXPECT_EQ(file.now().recent.size(), 1U) << "for this run";
}

// What a dialog offers: traces and settings, and folders to go on from.
TEST(FolderList, ShowsFoldersThenTracesAndSettings) {
  const test::ScratchFolder folder;
  for (const char* const name : {"b.h5", "a.toml", "text.txt", ".hidden.h5"}) std::ofstream(folder / name) << "1234";
  std::filesystem::create_directory(folder / "z");
  const FolderList list = list_folder(folder / ".", {});
  ASSERT_EQ(list.entries.size(), 3U);
  EXPECT_EQ(list.entries[0].path.filename(), "z");
  EXPECT_TRUE(list.entries[0].folder);
  EXPECT_EQ(list.entries[1].path.filename(), "a.toml");
  EXPECT_EQ(list.entries[2].path.filename(), "b.h5");
  EXPECT_EQ(list.entries[2].bytes, 4);
  EXPECT_EQ(list.error, "");
  EXPECT_TRUE(list_folder(folder / "b.h5", {}).is_file);
  EXPECT_NE(list_folder(folder / "nowhere", {}).error, "");
}

TEST(FolderList, SizesAreInWords) {
  EXPECT_EQ(size_in_words(-1), "");
  EXPECT_EQ(size_in_words(999), "999 B");
  EXPECT_EQ(size_in_words(163'000'000), "163 MB");
  EXPECT_EQ(size_in_words(2'340'000'000), "2.3 GB");
}

}  // namespace
}  // namespace reattend::viz
