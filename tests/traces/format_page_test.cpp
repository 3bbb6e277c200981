// docs/trace-format.md is where users look: it must name everything that a trace holds.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "traces/calibration.h"
#include "traces/schema.h"

namespace reattend {
namespace {

std::string page() {
  std::ifstream in("docs/trace-format.md");
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(TraceFormatPage, HasARowForEveryDatasetWithItsShapeUnitAndMeaning) {
  const std::string text = page();
  for (const auto& row : schema::kDatasets) {
    std::string axes;
    for (int i = 0; i < row.rank(); ++i) {
      axes += (i == 0 ? "" : ", ") + std::string(schema::symbol(row.shape[static_cast<size_t>(i)]));
    }
    const std::string name = "| `" + std::string(row.group) + "/" + std::string(row.name) + "` | ";
    const size_t at = text.find(name);
    ASSERT_NE(at, std::string::npos) << name;
    const std::string line = text.substr(at, text.find('\n', at) - at);
    EXPECT_NE(line.find(" | [" + axes + "] | "), std::string::npos) << line;
    EXPECT_NE(line.find(row.unit), std::string::npos) << line;
    EXPECT_NE(line.find(row.description), std::string::npos) << line;
    EXPECT_EQ(line.find("optional") != std::string::npos, row.optional) << line;
  }
}

TEST(TraceFormatPage, HasARowForEveryAttributeAndNamesTheVersion) {
  const std::string text = page();
  for (const auto& attribute : schema::kAttributes) {
    EXPECT_NE(text.find("| `" + std::string(attribute.name) + "` | "), std::string::npos) << attribute.name;
  }
  const std::string version = std::to_string(schema::kMajor) + "." + std::to_string(schema::kMinor);
  EXPECT_NE(text.find("version " + version), std::string::npos);
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
