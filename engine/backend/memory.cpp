// Anonymous maps behind a pool; sealing is mprotect, so a stray read outside an operation ends the process.
#include "engine/backend/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <vector>

namespace reattend {
namespace {

constexpr size_t kPage = 4096;
/// Huge pages: 8K positions of SmolLM2 are 189 MB, 46,000 small pages whose table walks cost more than the reads.
constexpr size_t kHugePage = size_t{2} << 20;

size_t round_up(size_t n, size_t to) {
  return (n + to - 1) / to * to;
}

}  // namespace

/// One map per request of the pool above it, which asks for few and large ones.
class BackendMemory::Maps : public std::pmr::memory_resource {
 public:
  explicit Maps(bool sealed) : sealed_(sealed) {}

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
    if (!sealed_) return;
    for (const Map& map : maps_) {
      if (mprotect(map.begin, map.bytes, access) != 0) std::terminate();
    }
  }

  void* do_allocate(size_t bytes, size_t /*alignment: a page's*/) override {
    const size_t whole = round_up(bytes, bytes >= kHugePage ? kHugePage : kPage);
    void* begin = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (begin == MAP_FAILED) throw std::bad_alloc();
    if (whole >= kHugePage) madvise(begin, whole, MADV_HUGEPAGE);
    maps_.push_back({begin, whole});
    return begin;
  }
  void do_deallocate(void* begin, size_t, size_t) override {
    const auto map = std::find_if(maps_.begin(), maps_.end(), [&](const Map& m) { return m.begin == begin; });
    munmap(map->begin, map->bytes);
    maps_.erase(map);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  bool sealed_;
  int depth_ = 0;
  std::vector<Map> maps_;
};

BackendMemory::BackendMemory(Kind kind)
    : maps_(std::make_unique<Maps>(kind == Kind::sealed)),
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

BackendMemory::Access::Access(BackendMemory& memory) : memory_(memory) {
  memory_.maps_->open();
}
BackendMemory::Access::~Access() {
  memory_.maps_->close();
}

}  // namespace reattend
