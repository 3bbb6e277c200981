// Writes named arrays by a few calls of the HDF5 C API.
#include "traces/write/array_file.h"

#include <algorithm>

#include "base/error.h"

namespace reattend {

ArrayFile::ArrayFile(const std::filesystem::path& path, bool force) : file_(path, force) {}

void ArrayFile::write(const std::string& name, std::span<const float> values, std::initializer_list<int64_t> shape) {
  put(name, hdf5::Element::f32, values.data(), values.size(), shape);
}
void ArrayFile::write(const std::string& name, std::span<const int32_t> values, std::initializer_list<int64_t> shape) {
  put(name, hdf5::Element::i32, values.data(), values.size(), shape);
}
void ArrayFile::write(const std::string& name, std::span<const uint8_t> values, std::initializer_list<int64_t> shape) {
  put(name, hdf5::Element::u8, values.data(), values.size(), shape);
}

void ArrayFile::put(const std::string& name, hdf5::Element type, const void* values, size_t n,
                    std::initializer_list<int64_t> shape) {
  const std::string where = file_.path().string() + ": /" + name;
  std::vector<hsize_t> extent(shape.begin(), shape.end());
  hsize_t count = 1;
  for (const hsize_t each : extent) count *= each;
  if (count != n) throw Error(where + ": shape and number of values disagree");
  const hdf5::Handle space = hdf5::own(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr),
                                       H5Sclose, where, "a data space");
  const hdf5::Handle properties = hdf5::own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, where, "dataset properties");
  constexpr size_t kWorthCompressing = 4096;
  if (n * hdf5::bytes_of(type) > kWorthCompressing) {
    std::vector<hsize_t> chunk = extent;
    hsize_t room = 65536;  // elements: the innermost axes whole as far as they go
    for (size_t i = chunk.size(); i-- > 0;) {
      chunk[i] = std::clamp<hsize_t>(chunk[i], 1, std::max<hsize_t>(room, 1));
      room /= chunk[i];
    }
    H5Pset_chunk(properties, static_cast<int>(chunk.size()), chunk.data());
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, 1);
  }
  const hdf5::Handle stored = hdf5::type_of(type);
  const hdf5::Handle set =
      hdf5::own(H5Dcreate2(file_.id(), name.c_str(), stored, space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose,
                where, "a new dataset");
  if (H5Dwrite(set, stored, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
    hdf5::fail_here(where, "room to write", "is the disk full?");
}

void ArrayFile::close() {
  if (!file_.close()) hdf5::fail_here(file_.path().string(), "to close the file", "is the disk full?");
  file_.publish();
}

}  // namespace reattend
