// Memory for kernels: aligned to cache lines, growing without copying.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace reattend::cpu {

/// n objects of a trivial type, uninitialised. reserve() drops the contents when it must grow.
template <class T>
class Aligned {
 public:
  T* get() const { return data_.get(); }
  void reserve(int64_t n) {
    if (n <= capacity_) return;
    data_.reset();
    data_.reset(static_cast<T*>(::operator new(static_cast<size_t>(n) * sizeof(T), kAlignment)));
    capacity_ = n;
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<T[], Free> data_;
  int64_t capacity_ = 0;
};

}  // namespace reattend::cpu
