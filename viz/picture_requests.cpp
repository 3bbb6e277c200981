// Cuts what was asked for out of the frame and writes it; what goes wrong is the request's.
#include "viz/picture_requests.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace reattend::viz {

Picture cut(const Picture& whole, ImVec2 corner, ImVec2 size) {
  const auto pixel = [](float x, int32_t most) { return std::clamp(static_cast<int32_t>(std::lround(x)), 0, most); };
  const int32_t left = pixel(corner.x, whole.width), right = pixel(corner.x + size.x, whole.width);
  const int32_t top = pixel(corner.y, whole.height), bottom = pixel(corner.y + size.y, whole.height);
  Picture out{right - left, bottom - top, {}};
  for (int32_t y = top; y < bottom; ++y) {
    const auto row = whole.rgba.begin() + (int64_t{y} * whole.width + left) * 4;
    out.rgba.insert(out.rgba.end(), row, row + int64_t{out.width} * 4);
  }
  return out;
}

void serve_pictures(Workbench& bench, float scale, const std::function<Picture()>& read) {
  if (bench.pictures.empty()) return;
  const Picture frame = read();
  for (const auto& each : std::exchange(bench.pictures, {})) {
    const bool all = each->size.x <= 0 || each->size.y <= 0;
    const Picture part = all ? frame
                             : cut(frame, ImVec2(each->corner.x * scale, each->corner.y * scale),
                                   ImVec2(each->size.x * scale, each->size.y * scale));
    try {
      write_png(part, each->file, each->force);
    } catch (const Error& error) {
      each->error = error.what();
    }
    each->width = part.width, each->height = part.height;
    each->done = true;
  }
}

}  // namespace reattend::viz
