// Tokens as text on a screen: raw bytes made visible, long texts broken into lines.
#pragma once
#include <string>
#include <string_view>

namespace reattend::viz {

/// Valid UTF-8 for any bytes: line breaks as a return arrow, tabs as an arrow, other control characters and bytes that
/// are no character (tokens may hold half of one) as \xNN.
std::string visible(std::string_view bytes);

}  // namespace reattend::viz
