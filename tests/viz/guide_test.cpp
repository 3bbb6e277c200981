// The guide is followed as it stands, in a clone that a tiny model stands in for the default one's in, and names only
// what its tour shows.
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "policies/settings.h"
#include "tests/support/program.h"
#include "viz/actions/actions.h"
#include "viz/panels/panel.h"

namespace reattend::viz::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kPage = "docs/guide.md", kTour = "docs/guide/tour.txt";

std::set<std::string> found_in(const std::string& text, const std::string& pattern) {
  std::set<std::string> out;
  const std::regex regex(pattern);
  for (auto at = std::sregex_iterator(text.begin(), text.end(), regex); at != std::sregex_iterator(); ++at) {
    out.insert((*at)[1]);
  }
  return out;
}

/// What the tour calls, names as panels, and makes pictures of.
struct Tour {
  std::set<std::string> actions, panels, pictures;
  size_t n_picture = 0;
  Tour() {
    const Actions table;
    std::istringstream lines(test::read_all(kTour));
    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || line[0] == '#') continue;
      const Call call = table.parse(line);
      actions.insert(call.action->name);
      if (call.arguments.has("panel")) panels.insert(call.arguments.text("panel"));
      if (!call.action->name.ends_with("picture") && call.action->name != "picture.save") continue;
      pictures.insert(call.arguments.text("file"));
      ++n_picture;
    }
  }
};

TEST(Guide, NamesWhatItsTourShowsAndNothingElse) {
  const std::string page = test::read_all(kPage);
  const Tour tour;
  ASSERT_GT(tour.n_picture, 5U);
  EXPECT_EQ(tour.n_picture, tour.pictures.size()) << "two pictures of one name";
  std::set<std::string> shown;
  for (const std::string& each : found_in(page, R"(\]\((guide/[^)]*\.png)\))")) shown.insert("docs/" + each);
  EXPECT_EQ(shown, tour.pictures);
  // Actions stand in code, panels in bold.
  const std::string files = "txt|h5|toml|png|json|md|csv";
  for (const std::string& each : found_in(page, R"(`([a-z]+\.[a-z_]+)[` ])")) {
    if (std::regex_search(each, std::regex(R"(\.()" + files + ")$"))) continue;
    EXPECT_TRUE(tour.actions.contains(each)) << each;
  }
  size_t n_panel = 0;
  std::set<std::string> names;
  for (const auto& panel : make_panels()) names.insert(panel->name());
  for (const std::string& each : found_in(page, R"(\*\*([^*]+)\*\*)")) {
    if (!names.contains(each)) continue;
    EXPECT_TRUE(tour.panels.contains(each)) << each;
    ++n_panel;
  }
  EXPECT_GT(n_panel, 3U);
}

TEST(Guide, ItsPicturesLieInTheTreeAndAreSmall) {
  constexpr uintmax_t kMost = 150 * 1024;
  for (const std::string& each : Tour().pictures) {
    ASSERT_TRUE(fs::exists(each)) << each;
    EXPECT_LE(fs::file_size(each), kMost) << each;
  }
}

/// Lines of the page's blocks of shell commands.
std::string commands_of(const std::string& page) {
  std::istringstream lines(page);
  std::string out;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) {
      inside = line == "```sh";
    } else if (inside) {
      out += line + "\n";
    }
  }
  return out;
}

TEST(Guide, ANewcomerWhoTypesItsCommandsGetsPicturesFiguresAndASetting) {
  const test::ScratchFolder clone;
  const auto run = [&](const std::string& commands) {
    return test::run_program({"env", "-u", "DISPLAY", "-u", "WAYLAND_DISPLAY",
                              "XDG_CONFIG_HOME=" + (clone / "config").string(),
                              "XDG_CACHE_HOME=" + (clone / "cache").string(), "sh", "-e", "-c",
                              "cd '" + (clone / "").string() + "'\n" + commands});
  };
  fs::create_directories(clone / "docs" / "guide"), fs::create_directories(clone / "build");
  fs::create_directories(clone / "out");
  fs::copy_file(kTour, clone / kTour.string());
  fs::create_directory_symlink(fs::path(REATTEND_VIEW).parent_path(), clone / "build/bin");
  // What ./run does, on a model that needs no download.
  const fs::path here = fs::current_path();
  const test::ProgramResult recorded =
      run("build/bin/reattend record --raw --ignore-end --no-calibration --context 90 --steps 24 --out out/trace.h5 "
          "--model '" +
          (here / "tests/golden/models/tiny_llama.gguf").string() + "' --prompt-file '" +
          (here / "assets/prose.txt").string() + "'");
  ASSERT_EQ(recorded.code, 0) << recorded.err;
  const std::string commands = commands_of(test::read_all(kPage));
  EXPECT_NE(commands.find("--script docs/guide/tour.txt"), std::string::npos) << commands;
  const test::ProgramResult followed = run(commands);
  ASSERT_EQ(followed.code, 0) << followed.out << followed.err;
  for (const std::string& each : Tour().pictures) EXPECT_EQ(test::read_all(clone / each).substr(1, 3), "PNG") << each;
  // Every line that the tour prints can be read by a program, and the last state is that of the saved setting.
  std::istringstream lines(test::read_all(clone / "out/tour/figures.txt"));
  json last;
  size_t n = 0;
  for (std::string line; std::getline(lines, line); ++n) {
    const json each = json::parse(line, nullptr, false);
    ASSERT_FALSE(each.is_discarded()) << line;
    if (each.is_object() && each.contains("goal")) last = each;
  }
  EXPECT_GT(n, 8U);
  const Settings saved = Settings::from_toml_file(clone / "out/tour/reattend.toml");
  EXPECT_EQ(last["setting"], saved.to_json());
  EXPECT_EQ(last["goal"]["kl_in_words"].get<std::string>().find("KL measured"), 0U) << last["goal"];
}

}  // namespace
}  // namespace reattend::viz::testing
