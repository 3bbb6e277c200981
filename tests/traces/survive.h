// Bad files, and the one question asked of all of them: does the reader live, and say what is wrong in one line?
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/error.h"
#include "traces/export/perfetto.h"
#include "traces/read/check.h"

namespace reattend::synthetic {

inline std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void replace(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// Reads all there is; true if the trace opened. Errors must be single lines that name the file.
inline bool survive(const std::filesystem::path& path) {
  try {
    const TraceCheck check = check_trace(path, 2, {}, Cancel());
    for (const auto& line : check.problems) EXPECT_EQ(line.find('\n'), std::string::npos);
    write_perfetto(
        *TraceReader::open(path), [](std::string_view) {}, Cancel());
    return true;
  } catch (const Error& error) {
    const std::string line = error.what();
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_NE(line.find(path.filename().string()), std::string::npos) << line;
    return false;
  }
}

}  // namespace reattend::synthetic
