// Reads whole datasets of small HDF5 files as double: what golden data and results are compared in.
#pragma once
#include <hdf5.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/default_model.h"
#include "tests/support/scratch_folder.h"
#include "traces/hdf5.h"

namespace reattend::testing {

/// A file of named arrays.
class Arrays {
 public:
  explicit Arrays(const std::filesystem::path& path) : path_(path) {
    hdf5::quiet();
    file_ = hdf5::own(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, path.string(), "a file of arrays");
  }
  bool has(const std::string& name) const { return H5Lexists(file_, name.c_str(), H5P_DEFAULT) > 0; }
  std::vector<double> read(const std::string& name) const {
    const std::string where = path_.string() + ":" + name;
    const hdf5::Handle set = hdf5::own(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose, where, "a dataset");
    const hdf5::Handle space = hdf5::own(H5Dget_space(set), H5Sclose, where, "its space");
    std::vector<double> out(static_cast<size_t>(H5Sget_simple_extent_npoints(space)));
    if (H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()) < 0) hdf5::fail_here(where, "data");
    return out;
  }

 private:
  std::filesystem::path path_;
  hdf5::Handle file_;
};

using test::ScratchFolder;

}  // namespace reattend::testing
