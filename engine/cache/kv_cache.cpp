// Blocks are reference-counted; a fork copies only what either side may still write.
#include "engine/cache/kv_cache.h"

#include <cstring>
#include <string>

#include "base/error.h"

namespace reattend {

/// Keys, then values: 256 rows each.
struct KvCache::Block {
  std::pmr::memory_resource* memory;
  std::byte* data;
  size_t bytes;
  static constexpr size_t kAlign = 64;

  Block(std::pmr::memory_resource* m, size_t n)
      : memory(m), data(static_cast<std::byte*>(m->allocate(n, kAlign))), bytes(n) {}
  ~Block() { memory->deallocate(data, bytes, kAlign); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
};

KvCache::KvCache(const CacheShape& shape, std::pmr::memory_resource* memory)
    : shape_(shape), memory_(memory), columns_(memory) {
  for (int32_t i = 0; i < shape.n_layer * shape.n_kv_head; ++i) columns_.emplace_back(memory);
}

KvCache::KvCache(const KvCache& other)
    : shape_(other.shape_), memory_(other.memory_), size_(other.size_), complete_(other.complete_), columns_(memory_) {
  const auto n_shared = static_cast<std::ptrdiff_t>(size_ / kPiece);
  const size_t partial = static_cast<size_t>(size_ % kPiece * bytes_per_position() / 2);
  const size_t half = static_cast<size_t>(kPiece * bytes_per_position() / 2);
  columns_.reserve(other.columns_.size());
  for (const Column& from : other.columns_) {
    Column& to = columns_.emplace_back(memory_);
    to.blocks.assign(from.blocks.begin(), from.blocks.begin() + n_shared);
    to.keys.assign(from.keys.begin(), from.keys.begin() + n_shared);
    to.values.assign(from.values.begin(), from.values.begin() + n_shared);
    if (partial == 0) continue;
    append_block(to);
    std::memcpy(to.blocks.back()->data, from.blocks.back()->data, partial);
    std::memcpy(to.blocks.back()->data + half, from.blocks.back()->data + half, partial);
  }
}

void KvCache::append_block(Column& column) {
  const size_t half = static_cast<size_t>(bytes_per_position() / 2 * kPiece);
  auto block = std::allocate_shared<Block>(std::pmr::polymorphic_allocator<Block>(memory_), memory_, 2 * half);
  column.keys.push_back(block->data);
  column.values.push_back(block->data + half);
  column.blocks.push_back(std::move(block));
}

void KvCache::grow(int32_t n) {
  if (n > shape_.n_ctx - size_) {
    fail({.where = "KV cache",
          .expected = "at most " + std::to_string(shape_.n_ctx) + " positions",
          .got = std::to_string(size_) + " held and " + std::to_string(n) + " more",
          .remedy = "give a larger --ctx or generate fewer tokens"});
  }
  size_ += n;
  const size_t n_block = static_cast<size_t>(n_piece(size_));
  for (Column& each : columns_) {
    while (each.blocks.size() < n_block) append_block(each);
  }
}

void KvCache::release(int32_t layer, int32_t kv_head, int32_t begin, int32_t end) {
  Column& from = column(layer, kv_head);
  for (int32_t b = n_piece(begin); b < end / kPiece; ++b) {
    if (from.blocks[b] == nullptr) continue;
    from.blocks[b].reset();
    from.keys[b] = from.values[b] = nullptr;
    complete_ = false;
  }
}

void* KvCache::key(int32_t layer, int32_t kv_head, int32_t position) {
  std::byte* block = column(layer, kv_head).blocks[position / kPiece]->data;
  return block + position % kPiece * (bytes_per_position() / 2);
}

void* KvCache::value(int32_t layer, int32_t kv_head, int32_t position) {
  return static_cast<std::byte*>(key(layer, kv_head, position)) + bytes_per_position() / 2 * kPiece;
}

KvBlocks KvCache::blocks(int32_t layer, int32_t kv_head) const {
  const Column& from = columns_[layer * shape_.n_kv_head + kv_head];
  return {.keys = from.keys.data(), .values = from.values.data(), .type = shape_.type, .d_head = shape_.d_head};
}

}  // namespace reattend
