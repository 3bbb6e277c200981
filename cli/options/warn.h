// What a user should know though the command goes on: one line on stderr.
#pragma once
#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "base/error.h"

namespace reattend::cli {

/// "reattend: warning: LINE"; control characters in it are made harmless.
inline void warn(const std::string& line) {
  fmt::print(stderr, "reattend: warning: {}\n", to_line({line, "", "", ""}));
}
inline void warn(const Complaint& complaint) {
  warn(to_line(complaint));
}

}  // namespace reattend::cli
