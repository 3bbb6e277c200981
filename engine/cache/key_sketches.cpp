// Takes memory for all columns at once, and again where a shape needs more.
#include "engine/cache/key_sketches.h"

#include <algorithm>
#include <cstring>

namespace reattend {

KeySketches::KeySketches(const KeySketches& other) : memory_(other.memory_), columns_(other.columns_.size()) {
  if (other.data_ == nullptr) return;
  data_ = static_cast<std::byte*>(memory_->allocate(other.bytes(), SketchLayout::kAlign));
  slot_ = other.slot_, columns_ = other.columns_;
  for (size_t i = 0; i < columns_.size(); ++i) {
    std::memcpy(data_ + i * slot_, other.data_ + i * slot_, static_cast<size_t>(columns_[i].bytes));
  }
}

KeySketches::~KeySketches() {
  drop();
}

void KeySketches::drop() {
  if (data_ != nullptr) memory_->deallocate(data_, bytes(), SketchLayout::kAlign);
  data_ = nullptr;
}

std::byte* KeySketches::open(int32_t column, const SketchLayout& layout, int32_t n_ctx) {
  // Layers may differ in how many positions come before the first block.
  SketchLayout all = layout;
  all.shape.first = 0;
  const auto needed = static_cast<size_t>(all.bytes(n_ctx));
  if (needed > slot_ || data_ == nullptr) {
    drop();
    std::fill(columns_.begin(), columns_.end(), Column{});
    slot_ = needed;
    data_ = static_cast<std::byte*>(memory_->allocate(bytes(), SketchLayout::kAlign));
  }
  Column& mine = columns_[static_cast<size_t>(column)];
  if (!(mine.shape == layout.shape)) mine = {.shape = layout.shape};
  return data_ + static_cast<size_t>(column) * slot_;
}

}  // namespace reattend
