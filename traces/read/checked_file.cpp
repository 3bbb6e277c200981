// Checks an HDF5 file before it is used: superblock, links, layouts, filters, extents against the size of the file.
#include "traces/read/checked_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "traces/live.h"
#include "traces/parts.h"
#include "traces/read/view_driver.h"

namespace reattend::hdf5 {
namespace {

constexpr char kBroken[] = "the file is damaged or not a trace; `reattend trace check` looks closer";

/// True and sets `out` unless a * b overflows.
bool multiply(uint64_t a, uint64_t b, uint64_t& out) {
  return !__builtin_mul_overflow(a, b, &out);
}

bool is_hard_link(hid_t group, const std::string& name) {
  H5L_info_t info;
  return H5Lget_info(group, name.c_str(), &info, H5P_DEFAULT) >= 0 && info.type == H5L_TYPE_HARD;
}

template <class T>
std::vector<T> read_numbers(hid_t attribute, hid_t type, hssize_t n) {
  std::vector<T> values(static_cast<size_t>(n));
  if (n > 0 && H5Aread(attribute, type, values.data()) < 0) values.clear();
  return values;
}

std::optional<AttributeValue> read_attribute(hid_t root, const char* name) {
  constexpr hssize_t kMostNumbers = 65536;
  constexpr size_t kLongestText = 1 << 20;
  const Handle attribute(H5Aopen(root, name, H5P_DEFAULT), H5Aclose);
  if (!attribute) return {};
  const Handle type(H5Aget_type(attribute), H5Tclose), space(H5Aget_space(attribute), H5Sclose);
  if (!type || !space) return {};
  const hssize_t n = H5Sget_simple_extent_npoints(space);
  const H5T_class_t kind = H5Tget_class(type);
  if (n < 0 || n > kMostNumbers) return {};
  if (kind == H5T_INTEGER) return read_numbers<int64_t>(attribute, H5T_NATIVE_INT64, n);
  if (kind == H5T_FLOAT) return read_numbers<double>(attribute, H5T_NATIVE_DOUBLE, n);
  // Variable strings lie in a part of the file that no checksum covers; this program writes none.
  if (kind != H5T_STRING || n != 1 || H5Tis_variable_str(type) != 0) return {};
  const size_t size = H5Tget_size(type);
  if (size == 0 || size > kLongestText) return {};
  std::string text(size, '\0');
  if (H5Aread(attribute, type, text.data()) < 0) return {};
  text.resize(std::min(size, text.find_last_not_of('\0') + 1));
  return text;
}

herr_t collect_attribute(hid_t root, const char* name, const H5A_info_t* /*info*/, void* out) {
  constexpr size_t kMost = 4096;
  auto& all = *static_cast<std::map<std::string, AttributeValue>*>(out);
  if (all.size() >= kMost) return 1;
  if (auto value = read_attribute(root, name)) all.emplace(name, std::move(*value));
  return 0;
}

template <class Extent>
std::string shape_text(int rank, const Extent* extents /*[rank]*/) {
  std::string text = "[";
  for (int i = 0; i < rank; ++i) text += (i == 0 ? "" : ", ") + std::to_string(extents[i]);
  return text + "]";
}

/// A type by what it is and its size: "float of 8 bytes".
std::string type_text(hid_t type) {
  const H5T_class_t of = H5Tget_class(type);
  const char* const name = of == H5T_INTEGER  ? "integer"
                           : of == H5T_FLOAT  ? "float"
                           : of == H5T_STRING ? "string"
                                              : "type";
  return std::string(name) + " of " + std::to_string(H5Tget_size(type)) + " bytes";
}

}  // namespace

CheckedFile::CheckedFile(std::filesystem::path path) : path_(std::move(path)) {
  quiet();
  const std::string where = path_.string();
  fd_ = ::open(where.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) {
    const int reason = errno;
    const std::string parts = parts_beside(path_);
    fail({.where = where.empty() ? "\"\"" : where,
          .expected = "a trace",
          .got = std::strerror(reason),
          .remedy = parts.empty() ? "check the path" : parts});
  }
  try {
    struct stat status {};
    if (fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
      fail({.where = where, .expected = "a trace", .got = "a folder, device or pipe"});
    }
    constexpr unsigned char kSignature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char head[12] = {};  // signature, superblock version, sizes of offsets and lengths, consistency flags
    if (pread(fd_, head, sizeof head, 0) != sizeof head || std::memcmp(head, kSignature, sizeof kSignature) != 0) {
      fail({.where = where,
            .expected = "an HDF5 file",
            .got = "one that does not begin with HDF5's signature",
            .remedy = "give a trace written by `reattend record`"});
    }
    if (head[8] < 2 || head[8] > 3) {
      fail({.where = where,
            .expected = "an HDF5 file with checksums (superblock 2 or 3)",
            .got = "superblock " + std::to_string(head[8]),
            .remedy = "write it again with h5py.File(..., libver='v110')"});
    }
    marked_open_ = head[8] == 3 && head[11] != 0;
    file_ = open_view(fd_, where, marked_open_ ? H5F_ACC_RDONLY | H5F_ACC_SWMR_READ : H5F_ACC_RDONLY);
    if (!file_) fail_here(where, "a readable HDF5 file", "the file is cut short or damaged; record again");
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

CheckedFile::~CheckedFile() {
  file_.reset();
  ::close(fd_);
}

bool CheckedFile::live() const {
  return marked_open_ && is_live(fd_);
}

int64_t CheckedFile::size() const {
  struct stat status {};
  return fstat(fd_, &status) == 0 ? status.st_size : 0;
}

std::map<std::string, AttributeValue> CheckedFile::attributes() const {
  std::map<std::string, AttributeValue> all;
  hsize_t position = 0;
  if (H5Aiterate2(file_, H5_INDEX_NAME, H5_ITER_INC, &position, collect_attribute, &all) < 0) {
    fail_here(path_.string() + ": attributes", "a list of them", kBroken);
  }
  return all;
}

bool CheckedFile::has_attribute(const char* name) const {
  return H5Aexists(file_, name) > 0;
}

std::optional<CheckedFile::Opened> CheckedFile::open(const schema::Dataset& row, Element element,
                                                     std::span<const uint64_t> expected, bool first_at_least) const {
  const std::string group_name(row.group), name(row.name);
  Opened d{.element = element, .where = path_.string() + ": " + group_name + "/" + name};
  const auto exists = [](hid_t where, const std::string& link) {
    return H5Lexists(where, link.c_str(), H5P_DEFAULT) > 0;
  };
  if (!exists(file_, group_name)) return {};
  const char* kLinks = "a group or dataset of this file";
  if (!is_hard_link(file_, group_name)) fail({.where = d.where, .expected = kLinks, .got = "a link"});
  const Handle group = own(H5Gopen2(file_, group_name.c_str(), H5P_DEFAULT), H5Gclose, d.where, "a group");
  if (!exists(group, name)) return {};
  if (!is_hard_link(group, name)) fail({.where = d.where, .expected = kLinks, .got = "a link"});

  d.id = own(H5Dopen2(group, name.c_str(), H5P_DEFAULT), H5Dclose, d.where, "a dataset");
  const Handle type = own(H5Dget_type(d.id), H5Tclose, d.where, "a type");
  const Handle wanted = type_of(element);
  if (H5Tequal(type, wanted) <= 0) {
    fail({.where = d.where, .expected = std::string(name_of(element)), .got = type_text(type), .remedy = kBroken});
  }
  d.rank = static_cast<int>(expected.size());
  refresh(d);
  bool fits = true;
  for (size_t i = 0; i < expected.size(); ++i) {
    fits = fits && (i == 0 && first_at_least ? d.extents[i] >= expected[i] : d.extents[i] == expected[i]);
  }
  if (!fits) {
    fail({.where = d.where,
          .expected = "shape " + shape_text(d.rank, expected.data()) + (first_at_least ? " or longer" : ""),
          .got = shape_text(d.rank, d.extents.data()),
          .remedy = kBroken});
  }
  const Handle creation = own(H5Dget_create_plist(d.id), H5Pclose, d.where, "creation properties");
  check_storage(d, creation);
  return d;
}

void CheckedFile::refresh(Opened& d) const {
  if (marked_open_ && H5Drefresh(d.id) < 0) fail_here(d.where, "to look again", kBroken);
  const Handle space = own(H5Dget_space(d.id), H5Sclose, d.where, "a data space");
  if (H5Sget_simple_extent_ndims(space) != d.rank) {
    fail({.where = d.where,
          .expected = "rank " + std::to_string(d.rank),
          .got = "rank " + std::to_string(H5Sget_simple_extent_ndims(space)),
          .remedy = kBroken});
  }
  Dims extents{1, 1, 1, 1};
  if (H5Sget_simple_extent_dims(space, extents.data(), nullptr) < 0) fail_here(d.where, "a shape", kBroken);
  std::copy(extents.begin(), extents.end(), d.extents.begin());
}

void CheckedFile::check_storage(const Opened& d, hid_t creation) const {
  const auto refuse = [&](const std::string& expected, const std::string& got) {
    fail({.where = d.where, .expected = expected, .got = got, .remedy = kBroken});
  };
  const H5D_layout_t layout = H5Pget_layout(creation);
  if (layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED && layout != H5D_COMPACT) {
    refuse("data stored in this file", "a virtual dataset");
  }
  if (H5Pget_external_count(creation) != 0) refuse("data stored in this file", "external storage");
  const int n_filter = H5Pget_nfilters(creation);
  bool deflated = false;
  for (int i = 0; i < n_filter; ++i) {
    unsigned flags = 0;
    size_t n_value = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &n_value, nullptr, 0, nullptr, nullptr);
    if (filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_FLETCHER32) {
      refuse("filters shuffle, deflate or fletcher32", "filter " + std::to_string(filter));
    }
    deflated = deflated || filter == H5Z_FILTER_DEFLATE;
  }
  uint64_t chunk_bytes = 0;
  if (layout == H5D_CHUNKED) {
    constexpr uint64_t kMostChunk = uint64_t{1} << 28;
    Dims chunk{1, 1, 1, 1};
    if (const int rank = H5Pget_chunk(creation, d.rank, chunk.data()); rank != d.rank) {
      refuse("chunks of rank " + std::to_string(d.rank), "rank " + std::to_string(rank));
    }
    chunk_bytes = bytes_of(d.element);
    for (const uint64_t n : chunk) {
      if (!multiply(chunk_bytes, n, chunk_bytes) || chunk_bytes > kMostChunk) {
        refuse("chunks of at most 256 MB", shape_text(d.rank, chunk.data()));
      }
    }
  }
  // An extent without bytes behind it would ask for memory that the file never fills; deflate gains 1032 at most, and a
  // live file's extents may be ahead of its bytes.
  constexpr uint64_t kAhead = uint64_t{1} << 26;
  uint64_t bytes = bytes_of(d.element), limit = 0;
  bool small = true;
  for (const uint64_t n : d.extents) small = small && multiply(bytes, n, bytes);
  small = small && multiply(static_cast<uint64_t>(size()), deflated ? 1032 : 1, limit) &&
          bytes <= limit + chunk_bytes + kAhead;
  if (!small) {
    refuse("a shape that fits a file of " + std::to_string(size()) + " bytes", shape_text(d.rank, d.extents.data()));
  }
}

void CheckedFile::read(const Opened& d, const Extents& start, const Extents& count, std::span<std::byte> out) {
  const uint64_t bytes = bytes_of(d.element) * count[0] * count[1] * count[2] * count[3];
  if (bytes != out.size()) {
    fail({.where = d.where, .expected = std::to_string(bytes) + " bytes of room", .got = std::to_string(out.size())});
  }
  if (bytes == 0) return;
  const Handle type = type_of(d.element);
  if (d.rank == 0) {
    if (H5Dread(d.id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()) < 0) fail_here(d.where, "to read", kBroken);
    return;
  }
  const Dims from = dims(start), n = dims(count);
  const Handle memory = own(H5Screate_simple(d.rank, n.data(), nullptr), H5Sclose, d.where, "a data space");
  const Handle space = own(H5Dget_space(d.id), H5Sclose, d.where, "a data space");
  if (H5Sselect_hyperslab(space, H5S_SELECT_SET, from.data(), nullptr, n.data(), nullptr) < 0 ||
      H5Dread(d.id, type, memory, space, H5P_DEFAULT, out.data()) < 0) {
    fail_here(d.where, "to read " + std::to_string(bytes) + " bytes",
              "the file is damaged, or was cut short while it was open; `reattend trace check` looks closer");
  }
}

}  // namespace reattend::hdf5
