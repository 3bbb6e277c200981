// Builds the one-line messages of error.h.
#include "base/error.h"

namespace reattend {
namespace {

/// File contents reach messages; a newline or an escape sequence in them must not reach the terminal.
std::string printable(const std::string& text) {
  constexpr size_t kLongest = 400;
  std::string out;
  for (const char c : text.substr(0, kLongest)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (text.size() > kLongest) out += "...";
  return out;
}

}  // namespace

std::string to_line(const Complaint& complaint) {
  std::string line = printable(complaint.where);
  const auto add = [&line](const char* before, const std::string& text, const char* alone) {
    if (text.empty()) return;
    line += line.empty() ? alone : before;
    line += printable(text);
  };
  add(": expected ", complaint.expected, "expected ");
  add(complaint.expected.empty() ? ": " : ", got ", complaint.got, "");
  add("; ", complaint.remedy, "");
  return line;
}

void fail(const Complaint& complaint) {
  throw Error(to_line(complaint), ExitCode::failed);
}
void fail_usage(const Complaint& complaint) {
  throw Error(to_line(complaint), ExitCode::usage);
}

}  // namespace reattend
