// Takes slabs from the memory below and hands out their blocks, lowest address first.
#include "engine/cache/block_pool.h"

#include <algorithm>

namespace reattend {
namespace {

/// Room for n elements. reserve(n) alone would move all of them for every slab, which is quadratic in a long run.
template <class T>
void make_room(std::vector<T>& list, size_t n) {
  if (list.capacity() < n) list.reserve(std::max(n, 2 * list.capacity()));
}

}  // namespace

BlockPool::~BlockPool() {
  for (std::byte* const slab : slabs_) memory_->deallocate(slab, slab_ * block_bytes_, kAlign);
}

int32_t BlockPool::take() {
  if (free_.empty()) {
    const size_t n = holders_.size();
    // Room first: where memory runs out, nothing has changed. drop() never allocates.
    make_room(holders_, n + slab_), make_room(free_, n + slab_), make_room(slabs_, slabs_.size() + 1);
    slabs_.push_back(static_cast<std::byte*>(memory_->allocate(slab_ * block_bytes_, kAlign)));
    holders_.resize(n + slab_);
    for (size_t i = n + slab_; i > n; --i) free_.push_back(static_cast<int32_t>(i - 1));
  }
  const int32_t block = free_.back();
  free_.pop_back();
  holders_[block] = 1;
  return block;
}

void BlockPool::drop(int32_t block) {
  if (--holders_[block] == 0) free_.push_back(block);
}

}  // namespace reattend
