// The KV cache: blocks of 256 positions per layer and KV head, shared between forks.
#pragma once
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <vector>

#include "kernels/layout.h"

namespace reattend {

struct CacheShape {
  int32_t n_layer = 0, n_kv_head = 0, d_head = 0;
  KvType type = KvType::f16;
  int32_t n_ctx = 0;  ///< most positions it may ever hold
};

/// Grows block by block as positions are added, so a short run of a long context costs what it uses.
class KvCache {
 public:
  KvCache(const CacheShape& shape, std::pmr::memory_resource* memory);
  /// A fork: complete blocks are shared, the last partial ones copied.
  KvCache(const KvCache& other);
  KvCache& operator=(const KvCache&) = delete;

  const CacheShape& shape() const { return shape_; }
  int32_t size() const { return size_; }
  /// Makes room for positions [size(), size() + n) of every layer. Throws Error when that exceeds n_ctx.
  void grow(int32_t n);

  /// Gives up the blocks that lie within [begin, end): their rows must not be asked for again.
  void release(int32_t layer, int32_t kv_head, int32_t begin, int32_t end);
  /// Whether every position is still there.
  bool complete() const { return complete_; }

  /// Row of a position below size() in a block that was not released: row_bytes(shape().type, shape().d_head).
  void* key(int32_t layer, int32_t kv_head, int32_t position);
  void* value(int32_t layer, int32_t kv_head, int32_t position);
  KvBlocks blocks(int32_t layer, int32_t kv_head) const;
  /// Bytes of keys and values of one position of one KV head.
  int64_t bytes_per_position() const { return 2 * row_bytes(shape_.type, shape_.d_head); }

 private:
  struct Block;
  struct Column {  ///< one layer and KV head
    std::pmr::vector<std::shared_ptr<Block>> blocks;
    std::pmr::vector<const void*> keys, values;  ///< [n_block]
    explicit Column(std::pmr::memory_resource* m) : blocks(m), keys(m), values(m) {}
  };
  void append_block(Column& column);
  Column& column(int32_t layer, int32_t kv_head) { return columns_[layer * shape_.n_kv_head + kv_head]; }

  CacheShape shape_;
  std::pmr::memory_resource* memory_;
  int32_t size_ = 0;
  bool complete_ = true;
  std::pmr::vector<Column> columns_;  ///< [n_layer * n_kv_head]
};

}  // namespace reattend
