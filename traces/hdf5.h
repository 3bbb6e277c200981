// Thin RAII over the HDF5 C API: handles close themselves and failures become one-line Errors.
#pragma once
#include <hdf5.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "traces/element.h"

namespace reattend::hdf5 {

/// Keeps HDF5 from printing its error stack (the setting belongs to a thread), from loading plug-ins that a file names,
/// and from flushing at exit what could not be written before. Cheap; every entry of reader and writer calls it first.
void quiet();

/// What the innermost function of HDF5's error stack said; empty if nothing.
std::string innermost_error();

/// Throws Error: "WHERE: expected EXPECTED, got <HDF5's innermost text>; REMEDY".
[[noreturn]] void fail_here(const std::string& where, const std::string& expected, const std::string& remedy = "");

/// Extents as HDF5 takes them.
using Dims = std::array<hsize_t, 4>;
constexpr Dims dims(const std::array<uint64_t, 4>& extents) {
  return {extents[0], extents[1], extents[2], extents[3]};
}

/// An identifier with the function that closes it.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() { reset(); }
  explicit operator bool() const { return id_ >= 0; }
  operator hid_t() const { return id_; }
  /// True if there was nothing to close or closing worked.
  bool reset() {
    const hid_t id = std::exchange(id_, -1);
    return id < 0 || close_(id) >= 0;
  }
  /// Gives up ownership without closing.
  void leak() { id_ = -1; }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

/// `id` if it is valid; otherwise fail_here(where, expected).
Handle own(hid_t id, Handle::Close close, const std::string& where, const std::string& expected);

/// The file's type, which is the memory's type as well: data passes through as bits. (HDF5 1.10 converts float16 to
/// float at 17 M values/s; base/half.h does it 200 times as fast.)
Handle type_of(Element e);

/// File access properties that reader and writer share; `low` is the oldest format to write. Nothing buffers raw data:
/// rows of unfiltered chunks go straight to and from the file.
Handle access_properties(H5F_libver_t low);

/// Attributes of an open object. Strings have a fixed length, UTF-8: variable ones lie in unchecked parts of a file.
void write_attribute(hid_t object, const std::string& name, const std::string& text);
void write_attribute(hid_t object, const std::string& name, int64_t value);
void write_attribute(hid_t object, const std::string& name, double value);
void write_attribute(hid_t object, const std::string& name, std::span<const int64_t> values);
void write_attribute(hid_t object, const std::string& name, std::span<const double> values);

}  // namespace reattend::hdf5
