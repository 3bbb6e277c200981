// Text in figures and pages: what is markup there, and how wide a line may get.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace reattend {

/// Text between tags or in double quotes: markup is escaped, what XML does not allow is replaced.
std::string escaped(std::string_view text);

/// A line of SVG text no wider than `room`: shrunk where it must be. `more`: further attributes.
std::string text_line(double x, double y, std::string_view text, double size, const char* anchor, double room,
                      std::string_view more = "");

/// Words in lines that fit.
std::vector<std::string> wrapped(const std::string& text, double size, double room);

}  // namespace reattend
