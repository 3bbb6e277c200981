// An RGBA8 image that Dear ImGui uploads and draws; no graphics library is named here, so it works without any.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include <imgui.h>

namespace reattend::viz {

/// Lives within one ImGui context; destroy it after the renderer backend and before the context.
class Canvas {
 public:
  Canvas() = default;
  ~Canvas();
  Canvas(const Canvas&) = delete;
  Canvas& operator=(const Canvas&) = delete;

  /// Makes room for width x height pixels, keeping the texture where it is large enough.
  void resize(int width, int height);
  int width() const { return width_; }
  int height() const { return height_; }
  /// Row y of the image, [width] pixels in ImGui's byte order (IM_COL32).
  ImU32* row(int y);
  /// To be called after writing: the image is uploaded with the next frame that is rendered.
  void changed();
  /// Draws the image pixel for pixel with its upper left corner at `corner`.
  void draw(ImDrawList& list, ImVec2 corner) const;

 private:
  void forget_retired();

  std::unique_ptr<ImTextureData> texture_;
  /// Replaced textures that the renderer may still hold, with the frames they have waited.
  struct Retired {
    std::unique_ptr<ImTextureData> texture;
    int frames = 0;
  };
  std::vector<Retired> retired_;
  int width_ = 0, height_ = 0;
};

}  // namespace reattend::viz
