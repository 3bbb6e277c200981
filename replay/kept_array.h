// An array in pages of its own, or in memory that somebody else keeps, such as a file that is mapped.
#pragma once
#include <memory>
#include <memory_resource>
#include <span>
#include <vector>

#include "base/page_memory.h"

namespace reattend {

template <class T>
class KeptArray {
 public:
  /// Pages of its own, n elements of zero: what was there goes first, and no room is wasted.
  void resize(size_t n) {
    own_.clear(), own_.shrink_to_fit();
    keeper_.reset();
    own_.resize(n);
    view_ = own_;
  }
  /// `elements` stay as they are as long as `keeper` lives.
  void borrow(std::span<const T> elements, std::shared_ptr<const void> keeper) {
    resize(0);
    view_ = elements, keeper_ = std::move(keeper);
  }
  bool is_borrowed() const { return keeper_ != nullptr; }

  const T* data() const { return view_.data(); }
  size_t size() const { return view_.size(); }
  const T& operator[](size_t i) const { return view_[i]; }
  /// [size()] to be written to; of its own pages only.
  T* own() { return own_.data(); }
  std::span<const std::byte> as_bytes() const { return std::as_bytes(view_); }
  /// Of its own pages.
  int64_t bytes() const { return bytes_of(static_cast<int64_t>(own_.size())); }
  static int64_t bytes_of(int64_t n) { return PageMemory::whole(n * int64_t{sizeof(T)}); }

 private:
  PageMemory pages_;
  std::pmr::vector<T> own_{&pages_};
  std::span<const T> view_;  ///< what is read
  std::shared_ptr<const void> keeper_;
};

/// Arrays that were kept elsewhere, as bytes; each begins at a page.
struct KeptBytes {
  std::vector<std::span<const std::byte>> arrays;
  std::shared_ptr<const void> keeper;

  /// Whether array i has n elements.
  template <class T>
  bool is_of(size_t i, int64_t n) const {
    return i < arrays.size() && n >= 0 && arrays[i].size() == static_cast<size_t>(n) * sizeof(T);
  }
  template <class T>
  std::span<const T> of(size_t i) const {
    return {reinterpret_cast<const T*>(arrays[i].data()), arrays[i].size() / sizeof(T)};
  }
  template <class T>
  void lend(size_t i, KeptArray<T>& to) const {
    to.borrow(of<T>(i), keeper);
  }
};

}  // namespace reattend
