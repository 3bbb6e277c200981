// Encodes pictures by libpng's simplified interface, into memory, and writes the file from there.
#include "viz/png.h"

#include <cstddef>
#include <string>

#include <png.h>

#include "base/error.h"
#include "base/files.h"

namespace reattend::viz {

void check_png_path(const std::filesystem::path& path, bool overwrite) {
  refuse_to_replace(path, overwrite, "--screenshot");
  check_folder_of(path, "--screenshot");
}

void write_png(const Picture& picture, const std::filesystem::path& path, bool overwrite) {
  check_png_path(path, overwrite);
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGBA;
  std::vector<std::byte> bytes;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  bytes.resize(size);
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, picture.rgba.data(), 0, nullptr) == 0) {
    fail({.where = path.string(), .expected = "a picture that can be packed", .got = image.message, .remedy = {}});
  }
  WholeFile file(path, overwrite);
  file.write(std::span(bytes).first(size));
  file.publish();
}

}  // namespace reattend::viz
