// Keeps the tables of blocks; a fork copies only what either side may still write.
#include "engine/cache/kv_cache.h"

#include <cstring>
#include <string>

#include "base/error.h"

namespace reattend {

void KvCache::make_tables() {
  n_block_max_ = static_cast<size_t>(n_piece(shape_.n_ctx));
  if (n_entry() == 0) return;
  keys_ = static_cast<const void**>(memory_->allocate(n_entry() * sizeof(void*), alignof(void*)));
  values_ = static_cast<const void**>(memory_->allocate(n_entry() * sizeof(void*), alignof(void*)));
  blocks_ = static_cast<int32_t*>(memory_->allocate(n_entry() * sizeof(int32_t), alignof(int32_t)));
}

KvCache::KvCache(const CacheShape& shape, BlockPool& pool, std::pmr::memory_resource* memory)
    : shape_(shape), pool_(pool), memory_(memory) {
  make_tables();
}

KvCache::KvCache(const KvCache& other)
    : shape_(other.shape_), pool_(other.pool_), memory_(other.memory_), complete_(other.complete_) {
  make_tables();
  const int32_t n_shared = other.size_ / kPiece;
  const auto partial = static_cast<size_t>(other.size_ % kPiece * bytes_per_position() / 2);
  const size_t half = pool_.block_bytes() / 2;
  for (int32_t column = 0; column < shape_.n_column(); ++column) {
    for (int32_t b = 0; b < n_shared; ++b) {
      const int32_t block = other.blocks_[entry(column, b)];
      if (block >= 0) pool_.share(block);
      put(entry(column, b), block);
    }
    if (partial == 0) continue;
    const std::byte* const from = pool_.data(other.blocks_[entry(column, n_shared)]);
    const int32_t block = pool_.take();
    put(entry(column, n_shared), block);
    std::memcpy(pool_.data(block), from, partial);
    std::memcpy(pool_.data(block) + half, from + half, partial);
  }
  size_ = other.size_;
}

KvCache::~KvCache() {
  for (int32_t column = 0; column < shape_.n_column(); ++column) {
    for (int32_t b = 0; b < n_piece(size_); ++b) {
      if (const int32_t block = blocks_[entry(column, b)]; block >= 0) pool_.drop(block);
    }
  }
  if (n_entry() == 0) return;
  memory_->deallocate(keys_, n_entry() * sizeof(void*), alignof(void*));
  memory_->deallocate(values_, n_entry() * sizeof(void*), alignof(void*));
  memory_->deallocate(blocks_, n_entry() * sizeof(int32_t), alignof(int32_t));
}

void KvCache::put(size_t at, int32_t block) {
  blocks_[at] = block;
  const std::byte* const data = block >= 0 ? pool_.data(block) : nullptr;
  keys_[at] = data;
  values_[at] = data == nullptr ? nullptr : data + pool_.block_bytes() / 2;
}

void KvCache::grow(int32_t n) {
  if (n > shape_.n_ctx - size_) {
    fail({.where = "KV cache",
          .expected = "at most " + std::to_string(shape_.n_ctx) + " positions",
          .got = std::to_string(size_) + " held and " + std::to_string(n) + " more",
          .remedy = "give a larger --ctx or generate fewer tokens"});
  }
  // Block by block, so that memory that runs out on the way leaves whole blocks behind.
  for (int32_t b = n_piece(size_); b < n_piece(size_ + n); ++b) {
    for (int32_t column = 0; column < shape_.n_column(); ++column) put(entry(column, b), pool_.take());
  }
  size_ += n;
}

void KvCache::release(int32_t layer, int32_t kv_head, int32_t begin, int32_t end) {
  for (int32_t b = n_piece(begin); b < end / kPiece; ++b) {
    const size_t at = entry(layer * shape_.n_kv_head + kv_head, b);
    if (blocks_[at] < 0) continue;
    pool_.drop(blocks_[at]);
    put(at, -1);
    complete_ = false;
  }
}

}  // namespace reattend
