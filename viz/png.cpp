// libpng's simplified interface, written beside the target and renamed.
#include "viz/png.h"

#include <system_error>

#include <png.h>

#include "base/error.h"

namespace reattend::viz {

void check_png_path(const std::filesystem::path& path, bool overwrite) {
  std::error_code error;
  if (!overwrite && std::filesystem::exists(path, error)) {
    fail({path.string(), "a path that is free", "an existing file", "choose another name or pass --force"});
  }
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (!std::filesystem::is_directory(folder, error)) {
    fail({path.string(), "an existing folder", "no folder " + folder.string(), "create it first"});
  }
}

void write_png(const Picture& picture, const std::filesystem::path& path, bool overwrite) {
  check_png_path(path, overwrite);
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGBA;
  std::filesystem::path beside = path;
  beside += ".new";
  std::error_code error;
  if (png_image_write_to_file(&image, beside.c_str(), 0, picture.rgba.data(), 0, nullptr) == 0) {
    std::filesystem::remove(beside, error);
    fail({path.string(), "a place that can be written", image.message, "choose another folder"});
  }
  std::filesystem::rename(beside, path, error);
  if (error) fail({path.string(), "a place that can be written", error.message(), "choose another folder"});
}

}  // namespace reattend::viz
