// The KV cache: blocks of 256 positions per layer and KV head, shared between forks.
#pragma once
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "engine/cache/block_pool.h"
#include "kernels/layout.h"

namespace reattend {

struct CacheShape {
  int32_t n_layer = 0, n_kv_head = 0, d_head = 0;
  KvType type = KvType::f16;
  int32_t n_ctx = 0;                  ///< most positions it may ever hold
  std::vector<int32_t> windows = {};  ///< [n_layer] positions that a layer looks back to, its own the last; 0: all

  int32_t n_column() const { return n_layer * n_kv_head; }
  int32_t window(int32_t layer) const { return windows.empty() ? 0 : windows[static_cast<size_t>(layer)]; }
  /// Keys, then values: 256 rows each.
  size_t block_bytes() const { return static_cast<size_t>(2 * kPiece * row_bytes(type, d_head)); }
};

/// Takes a block for every layer and KV head ("column") as positions are added, so a short run of a long context costs
/// what it uses; of layers with a window, blocks that it has left are given up. The tables of blocks lie at one place
/// from the beginning: what was handed out by blocks() stays good while the cache grows, and shows what it holds now.
class KvCache {
 public:
  /// Tables come from `memory`; it and the pool, whose blocks have shape.block_bytes(), must outlive the cache.
  KvCache(const CacheShape& shape, BlockPool& pool, std::pmr::memory_resource* memory);
  /// A fork: complete blocks are shared, the last partial ones copied.
  KvCache(const KvCache& other);
  KvCache& operator=(const KvCache&) = delete;
  ~KvCache();

  const CacheShape& shape() const { return shape_; }
  int32_t size() const { return size_; }
  /// Makes room for positions [size(), size() + n) of every layer, whose queries are still to come. Throws Error when
  /// that exceeds n_ctx.
  void grow(int32_t n) { extend(n, size_); }
  /// The same for positions that were computed elsewhere: of layers with a window, room for what their next query sees.
  void restore(int32_t n) { extend(n, size_ + n); }

  /// Gives up the blocks that lie within [begin, end): their rows must not be asked for again.
  void release(int32_t layer, int32_t kv_head, int32_t begin, int32_t end);
  /// Whether every position is still there, but for what windows have left.
  bool complete() const { return complete_; }
  /// Whether the position's block is there, of a layer that only its window confines.
  bool holds(int32_t layer, int32_t position) const {
    return blocks_[entry(layer * shape_.n_kv_head, position / kPiece)] >= 0;
  }

  /// Row of a position below size() in a block that was not released: row_bytes(shape().type, shape().d_head).
  void* key(int32_t layer, int32_t kv_head, int32_t position) { return row(layer, kv_head, position, 0); }
  void* value(int32_t layer, int32_t kv_head, int32_t position) {
    return row(layer, kv_head, position, pool_.block_bytes() / 2);
  }
  KvBlocks blocks(int32_t layer, int32_t kv_head) const {
    const size_t at = entry(layer * shape_.n_kv_head + kv_head, 0);
    return {.keys = keys_ + at, .values = values_ + at, .type = shape_.type, .d_head = shape_.d_head};
  }
  /// Bytes of keys and values of one position of one KV head.
  int64_t bytes_per_position() const { return 2 * row_bytes(shape_.type, shape_.d_head); }

 private:
  size_t n_entry() const { return static_cast<size_t>(shape_.n_column()) * n_block_max_; }
  size_t table_bytes() const { return n_entry() * (2 * sizeof(void*) + sizeof(int32_t)); }
  size_t entry(int32_t column, int32_t block) const { return column * n_block_max_ + static_cast<size_t>(block); }
  /// The i-th entry to be filled: blocks in order, and for each of them all columns.
  size_t entry_of(int64_t i) const {
    return entry(static_cast<int32_t>(i % shape_.n_column()), static_cast<int32_t>(i / shape_.n_column()));
  }
  /// Blocks of the layer that no query from position `next` on sees.
  int32_t n_unseen(int32_t layer, int32_t next) const;
  void extend(int32_t n, int32_t next);
  void drop(size_t at);
  void put(size_t at, int32_t block);
  void* row(int32_t layer, int32_t kv_head, int32_t position, size_t half) {
    const size_t at = entry(layer * shape_.n_kv_head + kv_head, position / kPiece);
    return pool_.data(blocks_[at]) + half + position % kPiece * (bytes_per_position() / 2);
  }

  CacheShape shape_;
  BlockPool& pool_;
  std::pmr::memory_resource* memory_;
  int32_t size_ = 0;
  bool complete_ = true;
  size_t n_block_max_ = 0;           ///< blocks of a column at n_ctx
  int64_t n_held_ = 0;               ///< entries that were filled, in the order of entry_of()
  std::vector<int32_t> n_given_up_;  ///< [n_layer] blocks given up because no query sees them again; empty: no windows
  // Where blocks are, in one allocation; entries that were not filled are undefined, and untouched pages cost nothing.
  const void **keys_ = nullptr, **values_ = nullptr;  ///< [n_column][n_block_max], null where released
  int32_t* blocks_ = nullptr;                         ///< the same in the pool, -1 where released
};

}  // namespace reattend
