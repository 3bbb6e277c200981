// JSON of any names: a model or a trace whose path is Latin-1 must not end a command after its work is done.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

#include "base/json_text.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;

TEST(JsonText, BytesThatAreNoUtf8AreReplacedAndNothingElseChanges) {
  const nlohmann::json json = {{"path", "mod\xE8le.gguf"}, {"n", 3}};
  EXPECT_THROW(static_cast<void>(json.dump()), nlohmann::json::exception) << "what it is there for";
  EXPECT_EQ(json_text(json), "{\"n\":3,\"path\":\"mod\xEF\xBF\xBDle.gguf\"}");
  EXPECT_EQ(json_text(nlohmann::ordered_json{{"b", "\u00e9"}, {"a", 1}}, 1), "{\n \"b\": \"\u00e9\",\n \"a\": 1\n}");
}

// A second way to write JSON would be one that throws.
TEST(JsonText, IsTheOnlyWayInWhichProgramsWriteJson) {
  int n_read = 0;
  for (const char* const folder : {"base", "bench", "cli", "engine", "evals", "kernels", "policies", "replay",
                                   "report", "traces", "tune", "viz"}) {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      const std::string extension = entry.path().extension().string();
      if ((extension != ".h" && extension != ".cpp") || entry.path().filename() == "json_text.cpp") continue;
      std::ifstream in(entry.path());
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      EXPECT_EQ(text.find(".dump("), std::string::npos) << entry.path() << ": use json_text()";
      ++n_read;
    }
  }
  EXPECT_GT(n_read, 300) << "tests run in the source folder";
}

}  // namespace
}  // namespace reattend
