// Memory straight from the system: zeroed pages, huge ones for what is large.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory_resource>

namespace reattend {

/// One anonymous map per request; from 2 MB on in huge pages where the system has them: 8K positions of SmolLM2 are
/// 189 MB, 46,000 small pages whose table walks cost more than the reads. Throws std::bad_alloc. Thread-safe.
class PageMemory : public std::pmr::memory_resource {
 public:
  /// What a request of that many bytes occupies.
  static size_t whole(size_t bytes);
  static int64_t whole(int64_t bytes) { return static_cast<int64_t>(whole(static_cast<size_t>(bytes))); }

 protected:
  void* do_allocate(size_t bytes, size_t alignment) override;
  void do_deallocate(void* begin, size_t bytes, size_t alignment) override;
  bool do_is_equal(const memory_resource& other) const noexcept override;
};

}  // namespace reattend
