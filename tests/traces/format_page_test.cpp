// The tables of docs/trace-format.md are those of the schema. With REATTEND_WRITE_PAGE=1 in the environment they are
// written there instead of compared.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include <fmt/format.h>

#include "traces/attributes.h"
#include "traces/calibration.h"
#include "traces/schema.h"

namespace reattend {
namespace {

constexpr char kPage[] = "docs/trace-format.md";

std::string page() {
  std::ifstream in(kPage);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string type_text(schema::Type type) {
  if (type == schema::Type::kv) return "float16 or float32";
  return std::string(name_of(schema::element_of(type, KvType::f16)));
}

std::string when_text(const schema::Dataset& row) {
  switch (row.when) {
    case schema::When::always:
      return row.since > 0 ? fmt::format("; since 1.{}", row.since) : "";
    case schema::When::values:
    case schema::When::row_sums:
      return "; optional";
    case schema::When::top_maps:
      return "; optional: where maps are top";
    case schema::When::dense_maps:
      return "; optional: where maps are dense";
    case schema::When::binned_maps:
      return "; optional: where maps are binned";
  }
  return "";
}

std::string dataset_table(std::string_view group) {
  std::string out = "| dataset | type | shape | unit | range | meaning |\n|---|---|---|---|---|---|\n";
  for (const schema::Dataset& row : schema::kDatasets) {
    if (row.group != group) continue;
    out += fmt::format("| `{}` | {} | [{}] | {} | {} | {}{} |\n", path_of(row), type_text(row.type), axes_of(row),
                       row.unit, text_of(row.range), row.description, when_text(row));
  }
  return out;
}

std::string attribute_table() {
  constexpr const char* kTypes[] = {"text", "integer", "real", "integers"};
  std::string out = "| attribute | type | unit | meaning |\n|---|---|---|---|\n";
  for (const schema::Attribute& row : schema::kAttributes) {
    out += fmt::format("| `{}` | {} | {} | {} |\n", row.name, kTypes[static_cast<size_t>(row.type)], row.unit,
                       row.description);
  }
  return out;
}

/// Holds the first table below a heading of the page against this one.
void expect_table(const std::string& heading, const std::string& table) {
  std::string text = page();
  const size_t at = text.find("\n## " + heading);
  ASSERT_NE(at, std::string::npos) << heading;
  const size_t begin = text.find("\n| ", at) + 1, end = text.find("\n\n", begin) + 1;
  if (std::getenv("REATTEND_WRITE_PAGE") != nullptr) {
    std::ofstream(kPage) << text.replace(begin, end - begin, table);
    return;
  }
  EXPECT_EQ(text.substr(begin, end - begin), table)
      << "run `REATTEND_WRITE_PAGE=1 ctest --test-dir build -R TraceFormatPage` to write it";
}

TEST(TraceFormatPage, ItsTablesAreThoseOfTheSchema) {
  expect_table("Tokens: `/tokens`", dataset_table("tokens"));
  expect_table("Vocabulary: `/vocab`", dataset_table("vocab"));
  expect_table("Prompt: `/prompt`", dataset_table("prompt"));
  expect_table("RoPE: `/rope`", dataset_table("rope"));
  expect_table("Steps: `/steps`", dataset_table("steps"));
  expect_table("Attributes of the root", attribute_table());
}

TEST(TraceFormatPage, NamesTheVersion) {
  const std::string version = fmt::format("{}.{}", schema::kMajor, schema::kMinor);
  EXPECT_NE(page().find("version " + version), std::string::npos);
  EXPECT_NE(page().find("\n| " + version + " | "), std::string::npos) << "what is new in it";
}

TEST(TraceFormatPage, EveryFigureOfACalibrationIsAnAttributeInItsUnit) {
  for (const CalibrationField& field : kCalibrationFields) {
    const auto* const at =
        std::find_if(std::begin(schema::kAttributes), std::end(schema::kAttributes),
                     [&](const auto& each) { return each.name == "calibration_" + std::string(field.name); });
    ASSERT_NE(at, std::end(schema::kAttributes)) << field.name;
    EXPECT_EQ(at->unit, field.unit) << field.name;
  }
}

}  // namespace
}  // namespace reattend
