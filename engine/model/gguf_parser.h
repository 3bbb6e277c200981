// The one pass over a GGUF file's header that checks everything the accessors of Gguf then trust.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/model/gguf.h"

namespace reattend {

/// Call header, metadata, tensors once each, in this order. Every failure is an Error that names file, place and
/// offset.
class GgufParser {
 public:
  /// bytes [file size]
  GgufParser(const std::string& name, std::span<const std::byte> bytes) : name_(name), bytes_(bytes) {}

  void header();
  std::map<std::string_view, GgufValue> metadata();
  /// alignment: a power of two.
  std::vector<GgufTensor> tensors(uint64_t alignment);

 private:
  uint64_t left() const { return bytes_.size() - at_; }
  std::span<const std::byte> take(uint64_t n, const std::string& what);
  template <class T>
  T number(const std::string& what);
  std::string_view string(const std::string& what);
  GgufValue value(std::string_view key);
  GgufTensor tensor(uint64_t index, uint64_t& offset);
  void place(std::vector<GgufTensor>& tensors, const std::vector<uint64_t>& offsets, uint64_t alignment) const;
  /// What else the file may be by its first four bytes.
  [[noreturn]] void refuse_magic(std::string_view got) const;
  [[noreturn]] void refuse_byte_order(const char* what) const;
  [[noreturn]] void refuse(const std::string& what, const std::string& expected, const std::string& got,
                           const std::string& remedy = "") const;

  const std::string& name_;
  std::span<const std::byte> bytes_;
  uint64_t at_ = 0;
  uint64_t n_tensor_ = 0, n_key_ = 0;
};

}  // namespace reattend
