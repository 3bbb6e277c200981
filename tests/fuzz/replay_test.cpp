// The kept corpora, replayed: what a fuzzer once reached keeps being refused in words or read correctly.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/targets.h"

namespace reattend {
namespace {

void replay(const char* target, void (*run)(std::span<const uint8_t>)) {
  int n_file = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path("tests/fuzz/corpus") / target)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
    ASSERT_TRUE(file.good() || file.eof()) << entry.path();
    EXPECT_NO_THROW(run(bytes)) << entry.path();
    ++n_file;
  }
  EXPECT_GE(n_file, 50) << "the corpus of " << target << " is not complete";
}

TEST(FuzzCorpus, Gguf) {
  replay("gguf", fuzz::gguf);
}
TEST(FuzzCorpus, Text) {
  replay("text", fuzz::text);
}
TEST(FuzzCorpus, Tables) {
  replay("tables", fuzz::tables);
}
TEST(FuzzCorpus, Templates) {
  replay("templates", fuzz::templates);
}
TEST(FuzzCorpus, Parts) {
  replay("parts", fuzz::parts);
}
TEST(FuzzCorpus, Settings) {
  replay("settings", fuzz::settings);
}
TEST(FuzzCorpus, PromptCache) {
  replay("prompt_cache", fuzz::prompt_cache);
}

}  // namespace
}  // namespace reattend
