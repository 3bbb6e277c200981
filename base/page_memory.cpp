// Gets memory by one mmap() a request, so that it is unmapped as it was mapped.
#include "base/page_memory.h"

#include <sys/mman.h>

#include <new>

namespace reattend {
namespace {

constexpr size_t kPage = 4096, kHugePage = size_t{2} << 20;

}  // namespace

size_t PageMemory::whole(size_t bytes) {
  const size_t page = bytes >= kHugePage ? kHugePage : kPage;
  return (bytes + page - 1) / page * page;
}

void* PageMemory::do_allocate(size_t bytes, size_t /*alignment: a page's*/) {
  const size_t size = whole(bytes);
  if (size < bytes) throw std::bad_alloc();
  void* const begin = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) throw std::bad_alloc();
  if (size >= kHugePage) madvise(begin, size, MADV_HUGEPAGE);
  return begin;
}

void PageMemory::do_deallocate(void* begin, size_t bytes, size_t) {
  munmap(begin, whole(bytes));
}

bool PageMemory::do_is_equal(const memory_resource& other) const noexcept {
  return this == &other;
}

}  // namespace reattend
