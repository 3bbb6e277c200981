// The calls of the driver for reading and sizes; HDF5 compares files of a driver without `cmp` by their addresses.
#include "traces/read/view_driver.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace reattend::hdf5 {
namespace {

/// HDF5 sees its first member.
struct View {
  H5FD_t base{};
  int fd = -1;
  haddr_t eoa = 0, eof = 0;
};

View& view_of(H5FD_t* file) {
  return *reinterpret_cast<View*>(file);
}
const View& view_of(const H5FD_t* file) {
  return *reinterpret_cast<const View*>(file);
}

H5FD_t* open_fd(const char* /*name*/, unsigned /*flags*/, hid_t access, haddr_t /*maxaddr*/) {
  const auto* const fd = static_cast<const int*>(H5Pget_driver_info(access));
  struct stat status {};
  if (fd == nullptr || fstat(*fd, &status) != 0) return nullptr;
  auto view = std::make_unique<View>();
  view->fd = *fd;
  view->eof = static_cast<haddr_t>(status.st_size);
  return &view.release()->base;
}

herr_t close_view(H5FD_t* file) {
  delete &view_of(file);
  return 0;
}

herr_t query(const H5FD_t* /*file*/, unsigned long* flags) {
  // The flags of HDF5's ordinary driver that concern a reader.
  if (flags != nullptr) {
    *flags = H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_SUPPORTS_SWMR_IO |
             H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  }
  return 0;
}

haddr_t get_eoa(const H5FD_t* file, H5FD_mem_t /*type*/) {
  return view_of(file).eoa;
}
herr_t set_eoa(H5FD_t* file, H5FD_mem_t /*type*/, haddr_t address) {
  view_of(file).eoa = address;
  return 0;
}
haddr_t get_eof(const H5FD_t* file, H5FD_mem_t /*type*/) {
  return view_of(file).eof;
}

/// What lies beyond the file's end reads as zeros, as HDF5 expects of a driver, but for data: those of a dataset that
/// were written are there, unless somebody cut the file meanwhile, and zeros would look like a run that broke down.
herr_t read_bytes(H5FD_t* file, H5FD_mem_t type, hid_t /*transfer*/, haddr_t address, size_t size,
                  void* out /*[size]*/) {
  auto* to = static_cast<char*>(out);
  auto from = static_cast<off_t>(address);
  off_t end = 0;
  if (from < 0 || __builtin_add_overflow(from, size, &end)) return -1;
  while (from < end) {
    const ssize_t n = pread(view_of(file).fd, to, static_cast<size_t>(end - from), from);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0 && type == H5FD_MEM_DRAW) return -1;
    if (n == 0) {
      std::memset(to, 0, static_cast<size_t>(end - from));
      return 0;
    }
    to += n, from += n;
  }
  return 0;
}

herr_t refuse_write(H5FD_t* /*file*/, H5FD_mem_t /*type*/, hid_t /*transfer*/, haddr_t /*address*/, size_t /*size*/,
                    const void* /*data*/) {
  return -1;
}

H5FD_class_t view_class() {
  H5FD_class_t out{};
#if H5_VERSION_GE(1, 13, 2)
  out.version = H5FD_CLASS_VERSION;
  out.value = static_cast<H5FD_class_value_t>(600);  // from 512 on nobody else's
#endif
  out.name = "reattend_view";
  out.maxaddr = (haddr_t{1} << 63) - 1;
  out.fc_degree = H5F_CLOSE_WEAK;
  out.fapl_size = sizeof(int);
  out.open = open_fd;
  out.close = close_view;
  out.query = query;
  out.get_eoa = get_eoa;
  out.set_eoa = set_eoa;
  out.get_eof = get_eof;
  out.read = read_bytes;
  out.write = refuse_write;
  constexpr H5FD_mem_t kDefaults[H5FD_MEM_NTYPES] = H5FD_FLMAP_DICHOTOMY;
  std::memcpy(out.fl_map, kDefaults, sizeof kDefaults);
  return out;
}

}  // namespace

Handle open_view(int fd, const std::string& name, unsigned flags) {
  const H5FD_class_t driver_class = view_class();
  // Registered for this file alone: HDF5 keeps the driver as long as something uses it.
  const Handle driver = own(H5FDregister(&driver_class), H5FDunregister, name, "a file driver");
  const Handle access = access_properties(H5F_LIBVER_EARLIEST);
  if (H5Pset_driver(access, driver, &fd) < 0) fail_here(name, "a file driver");
  return {H5Fopen(name.c_str(), flags, access), H5Fclose};
}

}  // namespace reattend::hdf5
