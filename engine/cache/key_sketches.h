// The sketches of a sequence's keys: of all layers and KV heads in one piece of memory, made when one is asked for.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "kernels/sketch.h"

namespace reattend {

/// Blocks lie where SketchLayout says, a layer and KV head ("column") behind the other. In small pages the walks to
/// them took as long as reading them: of each block a choice reads a few lines.
class KeySketches {
 public:
  /// `memory` gives zeroed pages and must outlive this.
  KeySketches(int32_t n_column, std::pmr::memory_resource* memory)
      : memory_(memory), columns_(static_cast<size_t>(n_column)) {}
  /// A fork: what is there is copied.
  KeySketches(const KeySketches& other);
  KeySketches& operator=(const KeySketches&) = delete;
  ~KeySketches();

  /// The column's blocks of that layout, of at most n_ctx positions; empty ones if they were of another shape.
  std::byte* open(int32_t column, const SketchLayout& layout, int32_t n_ctx);
  /// Positions before it are in the column's blocks.
  int32_t size(int32_t column) const { return columns_[static_cast<size_t>(column)].n; }
  /// They take `bytes` of the column.
  void set_size(int32_t column, int32_t n, int64_t bytes) {
    columns_[static_cast<size_t>(column)].n = n, columns_[static_cast<size_t>(column)].bytes = bytes;
  }
  void forget(int32_t column) { set_size(column, 0, 0); }

 private:
  struct Column {
    Sketch shape;
    int32_t n = 0;
    int64_t bytes = 0;
  };
  void drop();
  size_t bytes() const { return slot_ * columns_.size(); }

  std::pmr::memory_resource* memory_;
  std::vector<Column> columns_;
  size_t slot_ = 0;            ///< bytes of a column
  std::byte* data_ = nullptr;  ///< [n_column][slot_]
};

}  // namespace reattend
