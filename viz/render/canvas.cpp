// Keeps one texture a little larger than needed and updates its upper left part.
#include "viz/render/canvas.h"

#include <algorithm>

#include <imgui_internal.h>

namespace reattend::viz {
namespace {

/// Sizes grow in steps of this many pixels, so that dragging a splitter does not make a texture per frame.
constexpr int kStep = 256;

int round_up(int size) {
  return (size + kStep - 1) / kStep * kStep;
}

}  // namespace

Canvas::~Canvas() {
  if (texture_) ImGui::UnregisterUserTexture(texture_.get());
  for (Retired& old : retired_) ImGui::UnregisterUserTexture(old.texture.get());
}

void Canvas::forget_retired() {
  // The renderer gives a texture back after the frames that used it; three are more than any backend takes.
  constexpr int kFrames = 3;
  std::erase_if(retired_, [](Retired& old) {
    if (++old.frames < kFrames || old.texture->TexID != ImTextureID_Invalid) return false;
    ImGui::UnregisterUserTexture(old.texture.get());
    return true;
  });
}

void Canvas::resize(int width, int height) {
  width_ = std::max(1, width), height_ = std::max(1, height);
  forget_retired();
  if (texture_ && texture_->Width >= width_ && texture_->Height >= height_) return;
  const int texture_width = round_up(std::max(width_, texture_ ? texture_->Width : 0));
  const int texture_height = round_up(std::max(height_, texture_ ? texture_->Height : 0));
  if (texture_) {
    texture_->WantDestroyNextFrame = true;
    retired_.push_back({std::move(texture_)});
  }
  texture_ = std::make_unique<ImTextureData>();
  texture_->Create(ImTextureFormat_RGBA32, texture_width, texture_height);
  texture_->UseColors = true;
  ImGui::RegisterUserTexture(texture_.get());
}

ImU32* Canvas::row(int y) {
  return static_cast<ImU32*>(texture_->GetPixelsAt(0, y));
}

void Canvas::changed() {
  // A texture that has not been created yet is uploaded as a whole.
  if (texture_->Status != ImTextureStatus_WantCreate) {
    ImTextureDataQueueUpload(texture_.get(), 0, 0, width_, height_);
  }
}

void Canvas::draw(ImDrawList& list, ImVec2 corner) const {
  const auto width = static_cast<float>(width_), height = static_cast<float>(height_);
  list.AddImage(texture_->GetTexRef(), corner, ImVec2(corner.x + width, corner.y + height), ImVec2(0, 0),
                ImVec2(width / static_cast<float>(texture_->Width), height / static_cast<float>(texture_->Height)));
}

}  // namespace reattend::viz
