// Memory for kernels: aligned to cache lines, growing without copying.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>

namespace reattend::cpu {

/// n objects of a trivial type, uninitialised. reserve() drops the contents when it must grow.
template <class T>
class Aligned {
 public:
  explicit Aligned(std::pmr::memory_resource* memory = std::pmr::new_delete_resource())
      : data_(nullptr, Free{memory, 0}) {}
  T* get() const { return data_.get(); }
  void reserve(int64_t n) {
    const size_t bytes = static_cast<size_t>(n) * sizeof(T);
    if (bytes <= data_.get_deleter().bytes) return;
    std::pmr::memory_resource* const memory = data_.get_deleter().memory;
    data_ = {nullptr, Free{memory, 0}};
    data_ = {static_cast<T*>(memory->allocate(bytes, kAlignment)), Free{memory, bytes}};
  }

 private:
  static constexpr size_t kAlignment = 64;
  struct Free {
    std::pmr::memory_resource* memory;
    size_t bytes;
    void operator()(T* p) const { memory->deallocate(p, bytes, kAlignment); }
  };
  std::unique_ptr<T[], Free> data_;
};

}  // namespace reattend::cpu
