// A damaged or foreign model file is refused in one line that names what is wrong; nothing of it is believed unchecked.
#include "engine/model/gguf.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "base/error.h"
#include "tests/support/gguf_writer.h"

namespace reattend {
namespace {

using testing::GgufWriter;
using testing::raw;
using testing::raw_string;

std::span<const std::byte> span_of(const std::string& bytes) {
  return std::as_bytes(std::span(bytes));
}

/// The message of the Error that parsing throws; empty when it throws none.
std::string message_of(const std::string& bytes) {
  try {
    Gguf::parse("FILE", span_of(bytes));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

GgufWriter small_file() {
  GgufWriter w;
  w.put_u32("first", 7);
  w.put_string("name", "a model");
  w.put_strings("words", {"one", "", "three"});
  w.put_i32s("numbers", {1, -2, 3});
  w.put_zeros("a", {4, 3});
  w.put_zeros("b", {5});
  return w;
}

struct Damage {
  const char* name;
  std::function<void(GgufWriter&)> apply;
  std::vector<const char*> says;  ///< words of the message that lead a user to the place
};

class DamagedFile : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedFile, IsRefusedInOneLineThatNamesThePlace) {
  GgufWriter w = small_file();
  ASSERT_EQ(message_of(w.bytes()), "") << "the undamaged file opens";
  GetParam().apply(w);
  const std::string message = message_of(w.bytes());
  for (const char* word : GetParam().says)
    EXPECT_NE(message.find(word), std::string::npos) << word << "\nin: " << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

const std::vector<Damage> kDamages = {
    {"Magic", [](GgufWriter& w) { w.magic = "GGML"; }, {"FILE", "magic", "GGUF", "GGML"}},
    {"OldVersion", [](GgufWriter& w) { w.version = 1; }, {"version", "3", "1"}},
    {"NewerVersion", [](GgufWriter& w) { w.version = 4; }, {"version", "3", "4"}},
    {"BigEndian", [](GgufWriter& w) { w.version = 0x03000000; }, {"little-endian", "big-endian"}},
    {"BigEndianOfVersion2", [](GgufWriter& w) { w.version = 0x02000000; }, {"little-endian", "big-endian"}},
    {"BigEndianMagic", [](GgufWriter& w) { w.magic = "FUGG"; }, {"big-endian"}},
    {"BigEndianCounts",
     [](GgufWriter& w) {
       w.n_tensor = uint64_t{2} << 56;
       w.n_key = uint64_t{4} << 56;
     },
     {"little-endian", "big-endian"}},
    {"FormatBeforeGguf", [](GgufWriter& w) { w.magic = "tjgg"; }, {"GGML", "convert"}},
    {"PointerOfGitLfs", [](GgufWriter& w) { w.magic = "vers"; }, {"git lfs pull"}},
    {"MoreTensorsThanRoom",
     [](GgufWriter& w) { w.n_tensor = uint64_t{1} << 60; },
     {"tensor count", "1152921504606846976"}},
    {"MoreKeysThanRoom", [](GgufWriter& w) { w.n_key = UINT64_MAX; }, {"metadata count", "18446744073709551615"}},
    {"OneTensorTooMany", [](GgufWriter& w) { w.n_tensor = 3; }, {"tensor"}},
    {"EmptyKey", [](GgufWriter& w) { w.put_u32("", 1); }, {"metadata key 4", "0 bytes"}},
    {"LongKey", [](GgufWriter& w) { w.put_u32(std::string(65536, 'k'), 1); }, {"metadata key 4", "65536 bytes"}},
    {"KeyTwice", [](GgufWriter& w) { w.keys.push_back(w.keys[0]); }, {"first", "twice"}},
    {"UnknownType",
     [](GgufWriter& w) {
       w.keys.push_back({"odd", 13, raw(uint64_t{0})});
     },
     {"odd", "type", "13"}},
    {"StringPastTheEnd",
     [](GgufWriter& w) { w.put("name", GgufType::string, raw(uint64_t{1} << 40)); },
     {"name", "1099511627776 bytes", "truncated"}},
    {"StringLengthOverflows",
     [](GgufWriter& w) { w.put("name", GgufType::string, raw(UINT64_MAX)); },
     {"name", "18446744073709551615 bytes"}},
    {"NestedArray",
     [](GgufWriter& w) { w.put("nest", GgufType::array, raw(uint32_t{9}) + raw(uint64_t{0})); },
     {"nest", "array of arrays"}},
    {"ArrayOfUnknownType",
     [](GgufWriter& w) { w.put("odd", GgufType::array, raw(uint32_t{77}) + raw(uint64_t{0})); },
     {"odd", "element type", "77"}},
    {"ArrayPastTheEnd",
     [](GgufWriter& w) { w.put("many", GgufType::array, raw(uint32_t{10}) + raw(uint64_t{1} << 61)); },
     {"many", "2305843009213693952"}},
    {"ArrayOfStringsPastTheEnd",
     [](GgufWriter& w) { w.put("many", GgufType::array, raw(uint32_t{8}) + raw(uint64_t{1} << 50)); },
     {"many", "truncated"}},
    {"BoolOfTwo", [](GgufWriter& w) { w.put("flag", GgufType::boolean, raw(uint8_t{2})); }, {"flag", "0 or 1", "2"}},
    {"AlignmentOfThree",
     [](GgufWriter& w) { w.put_u32("general.alignment", 3); },
     {"general.alignment", "power of two", "3"}},
    {"AlignmentOfZero", [](GgufWriter& w) { w.put_u32("general.alignment", 0); }, {"general.alignment", "0"}},
    {"AlignmentIsText",
     [](GgufWriter& w) { w.put_string("general.alignment", "32"); },
     {"general.alignment", "string"}},
    {"AlignmentBeyondTheFile",
     [](GgufWriter& w) { w.put_u32("general.alignment", 1 << 30); },
     {"tensor", "data section of 0 bytes"}},
    {"NamelessTensor", [](GgufWriter& w) { w.put_zeros("", {1}); }, {"name of tensor 2", "0 bytes"}},
    {"LongTensorName", [](GgufWriter& w) { w.put_zeros(std::string(65, 't'), {1}); }, {"name of tensor 2", "65 bytes"}},
    {"TensorTwice", [](GgufWriter& w) { w.tensors.push_back(w.tensors[0]); }, {"tensor a", "two"}},
    {"NoDimensions", [](GgufWriter& w) { w.tensor("a").dims = {}; }, {"tensor a", "1 to 4 dimensions", "0"}},
    {"FiveDimensions",
     [](GgufWriter& w) {
       w.tensor("a").dims = {1, 1, 1, 1, 1};
     },
     {"tensor a", "dimensions", "5"}},
    {"DimensionOfZero",
     [](GgufWriter& w) {
       w.tensor("a").dims = {4, 0};
     },
     {"tensor a", "dimension 0"}},
    {"DimensionsOverflow",
     [](GgufWriter& w) {
       w.tensor("a").dims = {uint64_t{1} << 32, uint64_t{1} << 32};
     },
     {"tensor a", "63 bits"}},
    {"DimensionIsNegative", [](GgufWriter& w) { w.tensor("a").dims = {UINT64_MAX}; }, {"tensor a", "63 bits"}},
    {"BytesOverflow",
     [](GgufWriter& w) { w.tensor("a").dims = {uint64_t{1} << 62}; },
     {"tensor a", "4611686018427387904 blocks of 4 bytes"}},
    {"UnsupportedTensorType",
     [](GgufWriter& w) { w.tensor("a").type = 19; },
     {"tensor a", "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "IQ4_XS", "GGML type 19"}},
    {"BrokenBlock", [](GgufWriter& w) { w.tensor("a").type = 8; }, {"tensor a", "multiple of 32", "Q8_0", "4"}},
    {"CrookedOffset", [](GgufWriter& w) { w.tensor("b").offset = 65; }, {"tensor b", "multiple of 32", "65"}},
    {"DataPastTheEnd", [](GgufWriter& w) { w.tensor("b").offset = 1 << 20; }, {"tensor b", "1048576", "truncated"}},
    {"OffsetOverflows",
     [](GgufWriter& w) { w.tensor("b").offset = UINT64_MAX - 31; },
     {"tensor b", "18446744073709551584"}},
    {"DataOverlap", [](GgufWriter& w) { w.tensor("b").offset = 0; }, {"overlap", "tensor a", "tensor b"}},
};

INSTANTIATE_TEST_SUITE_P(Gguf, DamagedFile, ::testing::ValuesIn(kDamages),
                         [](const auto& damage) { return std::string(damage.param.name); });

TEST(Gguf, EveryTruncationIsRefused) {
  const std::string bytes = small_file().bytes();
  for (size_t n = 0; n < bytes.size(); ++n) {
    // An exact copy on the heap: a sanitizer would see the slightest read past its end.
    const std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_THROW(Gguf::parse("FILE", std::as_bytes(std::span(cut))), Error) << "first " << n << " of " << bytes.size();
  }
}

TEST(Gguf, Version2IsReadAsVersion3) {
  GgufWriter w = small_file();
  w.version = 2;
  const std::string bytes = w.bytes();
  const Gguf file = Gguf::parse("FILE", span_of(bytes));
  EXPECT_EQ(file.integer("first", 0, 10), 7);
  EXPECT_EQ(file.tensors().size(), 2U);
}

TEST(Gguf, ValuesInWordsAndAsNumbers) {
  GgufWriter w = small_file();
  w.put_f32("half", 0.5F);
  w.put_bool("yes", true);
  const std::string bytes = w.bytes();
  const Gguf file = Gguf::parse("FILE", span_of(bytes));
  EXPECT_EQ(file.text_of("first"), "7");
  EXPECT_EQ(file.text_of("half"), "0.5");
  EXPECT_EQ(file.text_of("yes"), "true");
  EXPECT_EQ(file.text_of("name"), "\"a model\"");
  EXPECT_EQ(file.text_of("words"), "an array of 3 string");
  EXPECT_EQ(file.number("first"), 7);
  EXPECT_EQ(file.number("half"), 0.5);
  EXPECT_EQ(file.number("yes"), 1);
  EXPECT_EQ(file.number("name"), std::nullopt);
  EXPECT_EQ(file.number("numbers"), std::nullopt);
}

TEST(Gguf, MetadataComesBackAsWritten) {
  GgufWriter w = small_file();
  w.put("signed", GgufType::i8, raw(int8_t{-5}));
  w.put("unsigned", GgufType::u8, raw(uint8_t{251}));
  w.put("short", GgufType::i16, raw(int16_t{-300}));
  w.put("ushort", GgufType::u16, raw(uint16_t{65000}));
  w.put("long", GgufType::i64, raw(int64_t{-5'000'000'000}));
  w.put("ulong", GgufType::u64, raw(uint64_t{5'000'000'000}));
  w.put("real", GgufType::f64, raw(0.1));
  w.put_f32("float", 0.25F);
  w.put_bool("yes", true);
  const std::string bytes = w.bytes();
  const Gguf file = Gguf::parse("FILE", span_of(bytes));
  EXPECT_EQ(file.integer("first", 0, 10), 7);
  EXPECT_EQ(file.integer("signed", -10, 10), -5);
  EXPECT_EQ(file.integer("unsigned", 0, 255), 251);
  EXPECT_EQ(file.integer("short", -1000, 0), -300);
  EXPECT_EQ(file.integer("ushort", 0, 70000), 65000);
  EXPECT_EQ(file.integer("long", INT64_MIN, INT64_MAX), -5'000'000'000);
  EXPECT_EQ(file.integer("ulong", INT64_MIN, INT64_MAX), 5'000'000'000);
  EXPECT_EQ(file.integer_or("absent", 0, 1, 42), 42);
  EXPECT_EQ(file.real("real"), 0.1);
  EXPECT_EQ(file.real("float"), 0.25);
  EXPECT_TRUE(file.boolean_or("yes", false));
  EXPECT_EQ(file.string("name"), "a model");
  EXPECT_EQ(file.strings("words"), (std::vector<std::string_view>{"one", "", "three"}));
  EXPECT_EQ(file.integers("numbers"), (std::vector<int64_t>{1, -2, 3}));
}

TEST(Gguf, WrongUseOfAKeyNamesKeyExpectedAndGot) {
  GgufWriter w = small_file();
  w.put_f32("nan", std::numeric_limits<float>::quiet_NaN());
  w.put("huge", GgufType::u64, raw(UINT64_MAX));
  const std::string bytes = w.bytes();
  const Gguf file = Gguf::parse("FILE", span_of(bytes));
  const auto expect = [](const auto& call, std::vector<std::string> words) {
    try {
      call();
      ADD_FAILURE() << "no error for " << words[0];
    } catch (const Error& error) {
      for (const std::string& word : words)
        EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  };
  expect([&] { file.integer("absent", 0, 1); }, {"FILE", "absent", "an integer", "no such key"});
  expect([&] { file.integer("name", 0, 1); }, {"name", "an integer", "string"});
  expect([&] { file.integer("first", 0, 6); }, {"first", "0 to 6", "7"});
  expect([&] { file.integer("huge", 0, INT64_MAX - 1); }, {"huge"});
  expect([&] { file.real("first"); }, {"first", "f32 or f64", "u32"});
  expect([&] { file.real("nan"); }, {"nan", "finite"});
  expect([&] { file.string("first"); }, {"first", "a string", "u32"});
  expect([&] { file.boolean_or("first", true); }, {"first", "a bool", "u32"});
  expect([&] { file.strings("numbers"); }, {"numbers", "array of string", "an array of 3 i32"});
  expect([&] { file.integers("words"); }, {"words", "integers", "an array of 3 string"});
}

TEST(Gguf, TensorsLieWhereTheFileSays) {
  GgufWriter w = small_file();
  w.alignment = 64;
  w.put_u32("general.alignment", 64);
  w.tensor("b").data = raw(1.5F) + raw(2.5F) + raw(3.5F) + raw(4.5F) + raw(5.5F);
  const std::string bytes = w.bytes();
  const Gguf file = Gguf::parse("FILE", span_of(bytes));
  ASSERT_EQ(file.tensors().size(), 2U);
  const TensorView& a = file.find_tensor("a")->view;
  EXPECT_EQ(a.n_col, 4);
  EXPECT_EQ(a.n_row, 3);
  EXPECT_EQ(a.bytes.size(), 48U);
  const TensorView& b = file.find_tensor("b")->view;
  EXPECT_EQ(b.n_row, 1);
  float last = 0;
  std::memcpy(&last, b.bytes.data() + 16, 4);
  EXPECT_EQ(last, 5.5F);
  EXPECT_EQ(file.find_tensor("c"), nullptr);
}

TEST(Gguf, ControlCharactersOfAFileDoNotReachTheTerminal) {
  GgufWriter w = small_file();
  w.magic = "\x1b[2J";
  EXPECT_EQ(message_of(w.bytes()).find('\x1b'), std::string::npos);
}

TEST(Gguf, WhatIsNoFileIsRefusedInWords) {
  const auto message = [](const std::filesystem::path& path) -> std::string {
    try {
      Gguf::open(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message("no/such/model.gguf").find("get-model"), std::string::npos);
  EXPECT_NE(message("tests").find("a directory"), std::string::npos);
  const auto empty = std::filesystem::temp_directory_path() / "reattend_empty.gguf";
  std::ofstream(empty).close();
  EXPECT_NE(message(empty).find("empty file"), std::string::npos);
  std::filesystem::remove(empty);
}

}  // namespace
}  // namespace reattend
