// A file's bytes, mapped read-only for as long as the object lives.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <utility>

namespace reattend {

class MappedFile {
 public:
  MappedFile() = default;
  /// Throws Error when the file is missing, unreadable, no regular file or empty.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedFile();

  /// [file size]
  std::span<const std::byte> bytes() const { return bytes_; }
  /// Gives the pages back to the system; what is read again comes from the file.
  void forget_pages() const;

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace reattend
