// Models in several files: they are one model, and a part that is missing or another model's is named.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "base/error.h"
#include "base/sha256.h"
#include "engine/model/model.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/program.h"

namespace reattend {
namespace {

using testing::GgufWriter;
using testing::raw;

/// The small model in three parts: metadata alone, the tensors of the layer, the others.
class GgufParts : public ::testing::Test {
 protected:
  GgufParts() {
    const GgufWriter whole = testing::small_llama();
    parts_[0].keys = whole.keys;
    for (const GgufWriter::Tensor& tensor : whole.tensors) {
      parts_[tensor.name.starts_with("blk.") ? 1 : 2].tensors.push_back(tensor);
    }
    for (uint16_t i = 0; i < 3; ++i) {
      parts_[i].put("split.no", GgufType::u16, raw(i));
      parts_[i].put("split.count", GgufType::u16, raw(uint16_t{3}));
      parts_[i].put("split.tensors.count", GgufType::i32, raw(static_cast<int32_t>(whole.tensors.size())));
    }
  }
  std::filesystem::path path(int number) const {
    return folder_ / ("m-0000" + std::to_string(number) + "-of-00003.gguf");
  }
  void write() const {
    for (int i = 0; i < 3; ++i) std::ofstream(path(i + 1), std::ios::binary) << parts_[i].bytes();
  }
  /// The error of opening what is there, which must be one line.
  static std::string message_of(const std::filesystem::path& path) {
    try {
      Model::open(path);
    } catch (const Error& error) {
      const std::string line = error.what();
      EXPECT_EQ(line.find('\n'), std::string::npos) << line;
      return line;
    }
    return "";
  }
  void expect_refused(const std::function<void()>& damage, const std::vector<std::string>& says) {
    const auto whole = parts_;
    damage();
    write();
    const std::string message = message_of(path(1));
    for (const std::string& word : says)
      EXPECT_NE(message.find(word), std::string::npos) << word << "\nin: " << message;
    parts_ = whole;
  }

  std::array<GgufWriter, 3> parts_;
  test::ScratchFolder folder_;
};

TEST_F(GgufParts, AreOneModel) {
  write();
  const Model model = Model::open(path(1));
  EXPECT_EQ(model.file().n_part(), 3);
  EXPECT_EQ(model.file().tensors().size(), testing::small_llama().tensors.size());
  EXPECT_EQ(model.layers().size(), 1U);
  const std::string all = parts_[0].bytes() + parts_[1].bytes() + parts_[2].bytes();
  EXPECT_EQ(model.sha256(), sha256(std::as_bytes(std::span(all))));
  model.file().forget_pages();
  EXPECT_EQ(model.sha256().size(), 64U);
}

TEST_F(GgufParts, AreFoundFromAnyFolder) {
  write();
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder_ / "");
  EXPECT_EQ(message_of("m-00001-of-00003.gguf"), "");
  std::filesystem::current_path(before);
}

TEST_F(GgufParts, AnotherPartThanTheFirstNamesTheFirst) {
  write();
  const std::string message = message_of(path(2));
  EXPECT_NE(message.find("expected the first part of a model, got part 2 of 3; give " + path(1).string()),
            std::string::npos)
      << message;
}

TEST_F(GgufParts, APartWithoutItsNameIsRefused) {
  write();
  std::filesystem::rename(path(1), folder_ / "model.gguf");
  const std::string message = message_of(folder_ / "model.gguf");
  EXPECT_NE(message.find("a name that ends with -00001-of-00003.gguf"), std::string::npos) << message;
  EXPECT_NE(message.find("llama-gguf-split --merge"), std::string::npos) << message;
}

TEST_F(GgufParts, AMissingPartIsNamed) {
  write();
  std::filesystem::remove(path(3));
  const std::string message = message_of(path(1));
  EXPECT_NE(message.find(path(3).string() + ": expected part 3 of 3 beside the first, got no such file"),
            std::string::npos)
      << message;
}

TEST_F(GgufParts, PartsOfOtherModelsAreRefused) {
  expect_refused([&] { parts_[1].put("split.count", GgufType::u16, raw(uint16_t{4})); },
                 {path(2).string(), "expected part 2 of 3", "got part 2 of 4"});
  expect_refused([&] { parts_[2].put("split.no", GgufType::u16, raw(uint16_t{1})); },
                 {path(3).string(), "expected part 3 of 3", "got part 2 of 3"});
  expect_refused([&] { parts_[1].keys.clear(); }, {path(2).string(), "got part 1 of 1"});
  expect_refused([&] { parts_[1].put_string("split.count", "x"); }, {path(2).string() + ": split.count"});
  expect_refused([&] { parts_[2].tensors.push_back(parts_[1].tensors[0]); },
                 {path(3).string() + ": tensor blk.0.attn_norm.weight", "one of that name in all parts"});
  expect_refused([&] { parts_[2].tensors.pop_back(); }, {path(1).string() + ": split.tensors.count"});
  expect_refused([&] { parts_[0].put("split.count", GgufType::u32, raw(uint32_t{100'000})); }, {"0 to 99999"});
  expect_refused([&] { parts_[0].put("split.no", GgufType::u16, raw(uint16_t{3})); }, {"split.no", "0 to 2"});
  expect_refused([&] { parts_[1].magic = "GGML"; }, {path(2).string() + ": magic number"});
}

TEST_F(GgufParts, AModelInOneFileMaySaySo) {
  for (const uint16_t count : {uint16_t{0}, uint16_t{1}}) {
    GgufWriter w = testing::small_llama();
    w.put("split.count", GgufType::u16, raw(count));
    std::ofstream(folder_ / "whole.gguf", std::ios::binary) << w.bytes();
    EXPECT_EQ(message_of(folder_ / "whole.gguf"), "");
  }
}

TEST(GoldenParts, HaveTheTensorsOfTheWholeFile) {
  const Gguf whole = Gguf::open("tests/golden/models/tiny_llama.gguf"),
             parts = Gguf::open("tests/golden/models/tiny_llama_split-00001-of-00002.gguf");
  ASSERT_EQ(parts.tensors().size(), whole.tensors().size());
  for (const GgufTensor& tensor : whole.tensors()) {
    const GgufTensor* const same = parts.find_tensor(tensor.view.name);
    ASSERT_NE(same, nullptr) << tensor.view.name;
    EXPECT_TRUE(std::equal(tensor.view.bytes.begin(), tensor.view.bytes.end(), same->view.bytes.begin(),
                           same->view.bytes.end()))
        << tensor.view.name;
  }
}

}  // namespace
}  // namespace reattend
