// Equal blocks of memory, cut from slabs and counted, so that sequences can share them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

namespace reattend {

/// The blocks of all sequences of a backend. A block that its last holder drops is handed out again; slabs are given
/// back with the pool. Not thread-safe.
class BlockPool {
 public:
  /// Slabs of `slab` blocks come from `memory`, which must outlive the pool.
  BlockPool(size_t block_bytes, size_t slab, std::pmr::memory_resource* memory)
      : block_bytes_(block_bytes), slab_(slab), memory_(memory) {}
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  /// A block with one holder; its bytes are undefined.
  int32_t take();
  /// One holder more, one less.
  void share(int32_t block) { ++holders_[block]; }
  void drop(int32_t block);
  /// Of a block that somebody holds.
  std::byte* data(int32_t block) const {
    const auto i = static_cast<size_t>(block);
    return slabs_[i / slab_] + i % slab_ * block_bytes_;
  }
  size_t block_bytes() const { return block_bytes_; }
  int64_t n_held() const { return static_cast<int64_t>(holders_.size() - free_.size()); }

 private:
  static constexpr size_t kAlign = 64;

  size_t block_bytes_, slab_;
  std::pmr::memory_resource* memory_;
  std::vector<std::byte*> slabs_;  ///< [n_slab] of `slab` blocks
  std::vector<int32_t> holders_;   ///< [n_slab * slab]
  std::vector<int32_t> free_;      ///< blocks without holders; the last one is taken next
};

}  // namespace reattend
