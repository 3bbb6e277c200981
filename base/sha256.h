// SHA-256 of bytes, as the hex text that model checksums are written in.
#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace reattend {

/// 64 lower-case hex digits. bytes [n]
std::string sha256(std::span<const std::byte> bytes);
/// Of all parts [n], one behind the other.
std::string sha256(std::span<const std::span<const std::byte>> parts);

}  // namespace reattend
