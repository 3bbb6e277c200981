// Handles, types, attributes and error texts of the thin HDF5 layer.
#include "traces/hdf5.h"

#include <mutex>

#include "base/error.h"

namespace reattend::hdf5 {
namespace {

herr_t keep_description(unsigned /*depth*/, const H5E_error2_t* error, void* out) {
  auto& text = *static_cast<std::string*>(out);
  if (text.empty() && error->desc != nullptr) text = error->desc;
  return 0;
}

void write_raw(hid_t object, const std::string& name, hid_t type, hid_t space, const void* data) {
  const Handle attribute(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (!attribute || H5Awrite(attribute, type, data) < 0) fail_here("attribute " + name, "to write it");
}

template <class T>
void write_array(hid_t object, const std::string& name, Element element, std::span<const T> values) {
  const hsize_t n = values.size();
  const Handle type = type_of(element);
  const Handle space = own(H5Screate_simple(1, &n, nullptr), H5Sclose, name, "a data space");
  write_raw(object, name, type, space, values.data());
}

template <class T>
void write_scalar(hid_t object, const std::string& name, Element element, T value) {
  const Handle type = type_of(element);
  const Handle space = own(H5Screate(H5S_SCALAR), H5Sclose, name, "a data space");
  write_raw(object, name, type, space, &value);
}

}  // namespace

void quiet() {
  static std::once_flag once;
  std::call_once(once, [] {
    H5dont_atexit();
    H5PLset_loading_state(0);
  });
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

std::string innermost_error() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_description, &text);
  H5Eclear2(H5E_DEFAULT);
  // Of a failed system call HDF5 tells time, address and size; what the system said is what helps.
  constexpr std::string_view kSystem = "error message = '";
  const size_t from = text.find(kSystem);
  if (from == std::string::npos) return text;
  const size_t begin = from + kSystem.size();
  return text.substr(begin, text.find('\'', begin) - begin);
}

void fail_here(const std::string& where, const std::string& expected, const std::string& remedy) {
  const std::string text = innermost_error();
  fail({.where = where, .expected = expected, .got = text.empty() ? "a failure of HDF5" : text, .remedy = remedy});
}

Handle own(hid_t id, Handle::Close close, const std::string& where, const std::string& expected) {
  if (id < 0) fail_here(where, expected);
  return {id, close};
}

Handle type_of(Element e) {
  const auto copy = [](hid_t type) { return own(H5Tcopy(type), H5Tclose, "HDF5 type", "a copy"); };
  switch (e) {
    case Element::u8:
      return copy(H5T_STD_U8LE);
    case Element::i32:
      return copy(H5T_STD_I32LE);
    case Element::i64:
      return copy(H5T_STD_I64LE);
    case Element::f32:
      return copy(H5T_IEEE_F32LE);
    case Element::f64:
      return copy(H5T_IEEE_F64LE);
    case Element::f16:
      break;
  }
  Handle half = copy(H5T_IEEE_F32LE);
  // IEEE binary16, as h5py's '<f2': sign bit 15, exponent 5 bits from 10, mantissa 10 bits from 0, bias 15.
  if (H5Tset_fields(half, 15, 10, 5, 0, 10) < 0 || H5Tset_size(half, 2) < 0 || H5Tset_ebias(half, 15) < 0) {
    fail_here("HDF5 type", "a 16-bit float");
  }
  return half;
}

Handle access_properties(H5F_libver_t low) {
  Handle access = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "HDF5", "file access properties");
  bool ok = H5Pset_libver_bounds(access, low, H5F_LIBVER_V110) >= 0;
  // For all datasets of the file: those properties of a single one are forgotten by H5Fstart_swmr_write and H5Drefresh.
  constexpr double kNoPreference = 0.75;
  ok = ok && H5Pset_cache(access, 0, 1, 0, kNoPreference) >= 0 && H5Pset_sieve_buf_size(access, 0) >= 0;
  // Where a writer may be at work HDF5 tries again when a checksum fails, each time sleeping twice as long from 1 ns
  // on: 22 attempts wait 4 ms, far longer than a write takes; its default of 100 hangs on a damaged file.
  ok = ok && H5Pset_metadata_read_attempts(access, 22) >= 0;
#if H5_VERSION_GE(1, 10, 7)
  // Many network file systems know no locks; a trace there must still open.
  ok = ok && H5Pset_file_locking(access, true, true) >= 0;
#endif
  if (!ok) fail_here("HDF5", "file access properties");
  return access;
}

void write_attribute(hid_t object, const std::string& name, const std::string& text) {
  const Handle type = own(H5Tcopy(H5T_C_S1), H5Tclose, name, "a string type");
  // HDF5 knows no strings of length zero.
  H5Tset_size(type, text.empty() ? 1 : text.size());
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  const Handle space = own(H5Screate(H5S_SCALAR), H5Sclose, name, "a data space");
  write_raw(object, name, type, space, text.c_str());
}
void write_attribute(hid_t object, const std::string& name, int64_t value) {
  write_scalar(object, name, Element::i64, value);
}
void write_attribute(hid_t object, const std::string& name, double value) {
  write_scalar(object, name, Element::f64, value);
}
void write_attribute(hid_t object, const std::string& name, std::span<const int64_t> values) {
  write_array(object, name, Element::i64, values);
}
void write_attribute(hid_t object, const std::string& name, std::span<const double> values) {
  write_array(object, name, Element::f64, values);
}

}  // namespace reattend::hdf5
