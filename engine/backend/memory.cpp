// Anonymous maps behind a pool; guarding is mprotect, so a stray read outside an operation ends the process.
#include "engine/backend/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <exception>
#include <vector>

#include "base/page_memory.h"

namespace reattend {

/// Remembers its maps, so that all of them can be opened and closed.
class BackendMemory::Maps : public PageMemory {
 public:
  explicit Maps(bool guarded) : guarded_(guarded) {}

  void open() {
    if (depth_++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  void close() {
    if (--depth_ == 0) protect(PROT_NONE);
  }

 private:
  struct Map {
    void* begin;
    size_t bytes;
  };

  void protect(int access) const {
    if (!guarded_) return;
    for (const Map& map : maps_) {
      if (mprotect(map.begin, map.bytes, access) != 0) std::terminate();
    }
  }

  void* do_allocate(size_t bytes, size_t alignment) override {
    void* const begin = PageMemory::do_allocate(bytes, alignment);
    maps_.push_back({begin, whole(bytes)});
    return begin;
  }
  void do_deallocate(void* begin, size_t bytes, size_t alignment) override {
    std::erase_if(maps_, [&](const Map& m) { return m.begin == begin; });
    PageMemory::do_deallocate(begin, bytes, alignment);
  }

  bool guarded_;
  int depth_ = 0;
  std::vector<Map> maps_;
};

BackendMemory::BackendMemory(Kind kind)
    : kind_(kind),
      maps_(std::make_unique<Maps>(kind == Kind::guarded)),
      pool_(std::make_unique<std::pmr::unsynchronized_pool_resource>(
          std::pmr::pool_options{.max_blocks_per_chunk = 1024, .largest_required_pool_block = size_t{1} << 20},
          maps_.get())) {}

BackendMemory::~BackendMemory() {
  maps_->open();  // the pool's own books lie in the maps
  pool_.reset();
}

std::pmr::memory_resource* BackendMemory::resource() {
  return pool_.get();
}
std::pmr::memory_resource* BackendMemory::maps() {
  return maps_.get();
}

BackendMemory::Access::Access(BackendMemory& memory) : memory_(memory) {
  memory_.maps_->open();
}
BackendMemory::Access::~Access() {
  memory_.maps_->close();
}

}  // namespace reattend
