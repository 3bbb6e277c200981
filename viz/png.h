// Pictures to files.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

namespace reattend::viz {

/// An RGBA8 picture, upper row first.
struct Picture {
  int32_t width = 0, height = 0;
  std::vector<uint8_t> rgba;  ///< [height][width][4]
};

/// Throws Error where `path` exists (unless `overwrite`) or cannot be written. A failed write leaves no partial file.
void write_png(const Picture& picture, const std::filesystem::path& path, bool overwrite);

/// Throws Error early for what write_png would refuse: before minutes of work, not after.
void check_png_path(const std::filesystem::path& path, bool overwrite);

}  // namespace reattend::viz
