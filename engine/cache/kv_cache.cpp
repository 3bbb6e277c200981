// Keeps the tables of blocks; a fork copies only what either side may still write.
#include "engine/cache/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/error.h"

namespace reattend {

KvCache::KvCache(const CacheShape& shape, BlockPool& pool, std::pmr::memory_resource* memory)
    : shape_(shape),
      pool_(pool),
      memory_(memory),
      n_block_max_(static_cast<size_t>(n_piece(shape.n_ctx))),
      n_given_up_(shape.windows.size()) {
  if (n_entry() == 0) return;
  keys_ = static_cast<const void**>(memory_->allocate(table_bytes(), alignof(void*)));
  values_ = keys_ + n_entry();
  blocks_ = reinterpret_cast<int32_t*>(values_ + n_entry());
}

// From here on the cache is one that can be destroyed, whatever memory runs out of.
KvCache::KvCache(const KvCache& other) : KvCache(other.shape_, other.pool_, other.memory_) {
  complete_ = other.complete_, n_given_up_ = other.n_given_up_;
  const int32_t n_shared = other.size_ / kPiece;
  const auto partial = static_cast<size_t>(other.size_ % kPiece * bytes_per_position() / 2);
  const size_t half = pool_.block_bytes() / 2;
  for (; n_held_ < int64_t{n_shared} * shape_.n_column(); ++n_held_) {
    const int32_t block = other.blocks_[entry_of(n_held_)];
    if (block >= 0) pool_.share(block);
    put(entry_of(n_held_), block);
  }
  for (; partial > 0 && n_held_ < int64_t{n_shared + 1} * shape_.n_column(); ++n_held_) {
    const size_t at = entry_of(n_held_);
    put(at, pool_.take());
    const std::byte* const from = pool_.data(other.blocks_[at]);
    std::memcpy(pool_.data(blocks_[at]), from, partial);
    std::memcpy(pool_.data(blocks_[at]) + half, from + half, partial);
  }
  size_ = other.size_;
}

KvCache::~KvCache() {
  for (int64_t i = 0; i < n_held_; ++i) {
    if (const int32_t block = blocks_[entry_of(i)]; block >= 0) pool_.drop(block);
  }
  if (n_entry() > 0) memory_->deallocate(keys_, table_bytes(), alignof(void*));
}

void KvCache::put(size_t at, int32_t block) {
  blocks_[at] = block;
  const std::byte* const data = block >= 0 ? pool_.data(block) : nullptr;
  keys_[at] = data;
  values_[at] = data == nullptr ? nullptr : data + pool_.block_bytes() / 2;
}

int32_t KvCache::n_unseen(int32_t layer, int32_t next) const {
  const int32_t window = shape_.window(layer);
  return window == 0 ? 0 : std::max(0, next + 1 - window) / kPiece;
}

void KvCache::extend(int32_t n, int32_t next) {
  if (n > shape_.n_ctx - size_) {
    fail({.where = "KV cache",
          .expected = "at most " + std::to_string(shape_.n_ctx) + " positions",
          .got = std::to_string(size_) + " held and " + std::to_string(n) + " more",
          .remedy = "give a larger --ctx or generate fewer tokens"});
  }
  for (int32_t layer = 0; layer < static_cast<int32_t>(n_given_up_.size()); ++layer) {
    const int32_t end = std::min(n_unseen(layer, next), n_piece(size_));
    for (int32_t& b = n_given_up_[static_cast<size_t>(layer)]; b < end; ++b) {
      for (int32_t g = 0; g < shape_.n_kv_head; ++g) drop(entry(layer * shape_.n_kv_head + g, b));
    }
  }
  for (; n_held_ < int64_t{n_piece(size_ + n)} * shape_.n_column(); ++n_held_) {
    const auto layer = static_cast<int32_t>(n_held_ % shape_.n_column()) / shape_.n_kv_head;
    const bool seen = n_held_ / shape_.n_column() >= n_unseen(layer, next);
    put(entry_of(n_held_), seen ? pool_.take() : -1);
  }
  size_ += n;
}

void KvCache::drop(size_t at) {
  if (blocks_[at] < 0) return;
  pool_.drop(blocks_[at]);
  put(at, -1);
}

void KvCache::release(int32_t layer, int32_t kv_head, int32_t begin, int32_t end) {
  for (int32_t b = n_piece(begin); b < end / kPiece; ++b) {
    const size_t at = entry(layer * shape_.n_kv_head + kv_head, b);
    complete_ = complete_ && blocks_[at] < 0;
    drop(at);
  }
}

}  // namespace reattend
