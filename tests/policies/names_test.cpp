// No file outside policies/ asks for a policy by its name: what others need to know of one stands in its row.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "policies/policy.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;

/// What compares something with a policy's name, a policy() with anything, or settings with a policy's defaults. "full"
/// is also a word of other tables, so it counts beside policy() alone.
std::regex comparison() {
  std::vector<std::string_view> names = policy_names();
  std::erase(names, kFullAttention);
  const std::string name = fmt::format("\"({})\"", fmt::join(names, "|"));
  return std::regex(
      fmt::format(R"([=!]=\s*{0}|{0}\s*[=!]=|policy\(\)\s*[=!]=|[=!]=[^=;&|]*policy\(\)|[=!]=\s*Settings[({{]"|)"
                  R"((compare|starts_with|contains|find)\({0})",
                  name));
}

/// Sources of the product but for policies/ itself.
std::vector<fs::path> sources() {
  std::vector<fs::path> out;
  for (const auto& folder : fs::directory_iterator(".")) {
    const std::string name = folder.path().filename().string();
    if (!folder.is_directory() || !fs::exists(folder.path() / "CMakeLists.txt")) continue;
    if (name == "policies" || name == "tests" || name.starts_with(".") || name.starts_with("build")) continue;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (std::set<std::string>{".h", ".cpp", ".cu"}.contains(entry.path().extension().string())) {
        out.push_back(entry.path());
      }
    }
  }
  return out;
}

TEST(PolicyNames, AreComparedInPoliciesAlone) {  // or a new policy has to be added wherever one is asked for
  const std::regex pattern = comparison();
  const std::vector<fs::path> all = sources();
  ASSERT_GT(all.size(), 200U);
  for (const fs::path& path : all) {
    std::ifstream file(path);
    int number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      EXPECT_FALSE(std::regex_search(line, pattern)) << path.string() << ":" << number << ": " << line;
    }
  }
}

TEST(PolicyNames, AComparisonIsFound) {
  const std::regex pattern = comparison();
  for (const char* line :
       {"if (settings.policy() == \"full\") return;", "policy == \"recycled\"", "\"h2o\" != name",
        "if (name != settings.policy())", "each == Settings(\"full\")", "name.starts_with(\"snapkv\")"}) {
    EXPECT_TRUE(std::regex_search(std::string(line), pattern)) << line;
  }
  for (const char* line :
       {"Settings settings(\"recycled\");", "when->word == \"full\"", "x == 1 && settings.policy().empty()"}) {
    EXPECT_FALSE(std::regex_search(std::string(line), pattern)) << line;
  }
}

}  // namespace
}  // namespace reattend
