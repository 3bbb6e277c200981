// Folders include what docs/architecture.md lets them include, and never each other in a circle, at any level.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace reattend {
namespace {

namespace fs = std::filesystem;

/// A file and one that it includes, as paths from the tree's root.
struct Include {
  std::string from, to;
};

std::string content_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// Folders of the table in docs/architecture.md, and what each may use.
std::map<std::string, std::set<std::string>> allowed() {
  std::map<std::string, std::set<std::string>> out;
  std::istringstream page(content_of("docs/architecture.md"));
  const std::regex row(R"(\| `(\w+)/` \|.*\| ([^|]*) \|)"), name(R"(\w+)");
  for (std::string line; std::getline(page, line);) {
    std::smatch match;
    if (!std::regex_match(line, match, row) || match[1] == "tests") continue;
    std::set<std::string>& uses = out[match[1]];
    const std::string list = match[2];
    for (std::sregex_iterator it(list.begin(), list.end(), name), end; it != end; ++it) uses.insert(it->str());
  }
  return out;
}

/// Includes of the tree's own files by those below `folder`.
std::vector<Include> includes_below(const std::string& folder) {
  const std::regex include(R"re(#\s*include\s+"([^"]+)")re");
  std::vector<Include> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    if (!std::set<std::string>{".h", ".cpp", ".cu"}.contains(extension)) continue;
    const std::string text = content_of(entry.path());
    for (std::sregex_iterator it(text.begin(), text.end(), include), end; it != end; ++it) {
      if (const std::string to = (*it)[1]; fs::exists(to)) out.push_back({entry.path().string(), to});
    }
  }
  return out;
}

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  for (const fs::path& part : fs::path(path)) parts.push_back(part.string());
  return parts;
}

/// For each folder the arrows between what lies in it: its subfolders, and "." for its own files.
using Arrows = std::map<std::string, std::set<std::string>>;
std::map<std::string, Arrows> arrows_by_folder(const std::vector<Include>& includes) {
  std::map<std::string, Arrows> out;
  for (const Include& each : includes) {
    const std::vector<std::string> from = parts_of(each.from), to = parts_of(each.to);
    size_t common = 0;
    while (common + 1 < std::min(from.size(), to.size()) && from[common] == to[common]) ++common;
    std::string folder;
    for (size_t i = 0; i < common; ++i) folder += from[i] + "/";
    const std::string a = common + 1 < from.size() ? from[common] : ".", b = common + 1 < to.size() ? to[common] : ".";
    if (a != b) out[folder][a].insert(b);
  }
  return out;
}

/// A circle of arrows as "a -> b -> a"; empty where there is none.
std::string circle_in(const Arrows& arrows) {
  std::set<std::string> done;
  std::vector<std::string> path;
  std::string found;
  const auto visit = [&](auto&& self, const std::string& at) -> bool {
    if (const auto begin = std::find(path.begin(), path.end(), at); begin != path.end()) {
      for (auto it = begin; it != path.end(); ++it) found += *it + " -> ";
      found += at;
      return true;
    }
    if (!done.insert(at).second) return false;
    path.push_back(at);
    if (const auto next = arrows.find(at); next != arrows.end()) {
      for (const std::string& to : next->second) {
        if (self(self, to)) return true;
      }
    }
    path.pop_back();
    return false;
  };
  for (const auto& [from, to] : arrows) {
    if (visit(visit, from)) break;
  }
  return found;
}

TEST(Tree, FoldersUseWhatTheArchitecturePageAllows) {
  const auto may_use = allowed();
  ASSERT_GE(may_use.size(), 12U) << "docs/architecture.md: expected a table with a row for each folder";
  for (const auto& [folder, uses] : may_use) {
    for (const Include& each : includes_below(folder)) {
      const std::string used = parts_of(each.to).front();
      EXPECT_TRUE(used == folder || uses.contains(used))
          << each.from << " includes " << each.to << ", but docs/architecture.md does not let " << folder << " use "
          << used;
    }
  }
}

TEST(Tree, EveryFolderWithSourcesHasARow) {
  const auto may_use = allowed();
  for (const auto& entry : fs::directory_iterator(".")) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_directory() || name == "tests" || !fs::exists(entry.path() / "CMakeLists.txt")) continue;
    EXPECT_TRUE(may_use.contains(name)) << name << "/ has no row in the table of docs/architecture.md";
  }
}

TEST(Tree, NoFolderDependsOnItselfInACircleAtAnyLevel) {
  std::vector<Include> all;
  for (const auto& [folder, uses] : allowed()) {
    const std::vector<Include> more = includes_below(folder);
    all.insert(all.end(), more.begin(), more.end());
  }
  ASSERT_GT(all.size(), 500U);
  for (const auto& [folder, arrows] : arrows_by_folder(all)) {
    EXPECT_EQ(circle_in(arrows), "") << "within " << (folder.empty() ? "the tree" : folder);
  }
}

TEST(Tree, ACircleIsFound) {
  EXPECT_EQ(circle_in({{"a", {"b"}}, {"b", {"c"}}}), "");
  EXPECT_EQ(circle_in({{"a", {"b"}}, {"b", {"c"}}, {"c", {"a"}}}), "a -> b -> c -> a");
}

TEST(Tree, TheDecodeLoopAndWideHeadersDoNotSeeHdf5) {
  for (const Include& each : includes_below("engine")) {
    EXPECT_NE(each.to, "traces/hdf5.h") << each.from;
    if (each.from.starts_with("engine/record/")) continue;
    EXPECT_FALSE(each.to.starts_with("traces/"))
        << each.from << " includes " << each.to << ": only engine/record/ may know the trace format";
  }
}

}  // namespace
}  // namespace reattend
