// An HDF5 file of named arrays, for results that are read by other programs.
#pragma once
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>

#include "traces/hdf5.h"
#include "traces/write/new_file.h"

namespace reattend {

/// Arrays are written whole, row-major, little-endian; those above 4 KB are compressed.
class ArrayFile {
 public:
  /// Throws Error (usage) when the file exists and `force` is not given, Error when it cannot be made.
  ArrayFile(const std::filesystem::path& path, bool force);
  void write(const std::string& name, std::span<const float> values, std::initializer_list<int64_t> shape);
  void write(const std::string& name, std::span<const int32_t> values, std::initializer_list<int64_t> shape);
  void write(const std::string& name, std::span<const uint8_t> values, std::initializer_list<int64_t> shape);
  /// Gives the file its name; until then an older one stays as it was. Throws Error when what was written could not be
  /// stored.
  void close();

 private:
  void put(const std::string& name, hdf5::Element type, const void* values, size_t n,
           std::initializer_list<int64_t> shape);
  NewFile file_;
};

}  // namespace reattend
