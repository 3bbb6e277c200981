// What a user should know though the command goes on: one line on stderr.
#pragma once
#include <string>

#include "base/error.h"
#include "base/standard_streams.h"

namespace reattend::cli {

/// "reattend: warning: LINE"; control characters in it are made harmless.
inline void warn(const std::string& line) {
  print_note("reattend: warning: {}\n", to_line({line, "", "", ""}));
}
inline void warn(const Complaint& complaint) {
  warn(to_line(complaint));
}

}  // namespace reattend::cli
