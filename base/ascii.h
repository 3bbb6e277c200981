// ASCII letters without their case; bytes of other characters stay as they are.
#pragma once
#include <string>
#include <string_view>

namespace reattend {

constexpr char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

constexpr std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = ascii_lower(c);
  return out;
}

}  // namespace reattend
