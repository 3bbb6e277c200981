// Repairs by copying objects: what the reader can reach goes to a new file, what it ignores is left behind.
#include "traces/write/repair.h"

#include <string>

#include "base/error.h"
#include "traces/hdf5.h"
#include "traces/read/reader.h"
#include "traces/schema.h"
#include "traces/write/new_file.h"

namespace reattend {
namespace {

using hdf5::Handle;
using hdf5::own;

struct Copy {
  hid_t from, to;
  std::string failure;
};

herr_t copy_attribute(hid_t from, const char* name, const H5A_info_t* /*info*/, void* out) {
  auto& copy = *static_cast<Copy*>(out);
  const Handle source(H5Aopen(from, name, H5P_DEFAULT), H5Aclose);
  const Handle type(H5Aget_type(source), H5Tclose), space(H5Aget_space(source), H5Sclose);
  // Fixed-size kinds only, as the reader does: this program writes no others.
  if (!type || !space || H5Tis_variable_str(type) != 0 || H5Tget_class(type) == H5T_VLEN) return 0;
  std::vector<std::byte> bytes(static_cast<size_t>(H5Aget_storage_size(source)));
  const Handle target(H5Acreate2(copy.to, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (!target ||
      (!bytes.empty() && (H5Aread(source, type, bytes.data()) < 0 || H5Awrite(target, type, bytes.data()) < 0))) {
    copy.failure = std::string("attribute ") + name;
    return -1;
  }
  return 0;
}

/// Opens an object and walks a dataset's index of chunks.
herr_t walk_object(hid_t from, const char* name, const H5O_info_t* info, void* /*out*/) {
  const Handle object(H5Oopen(from, name, H5P_DEFAULT), H5Oclose);
  H5D_space_status_t status;
  return object && (info->type != H5O_TYPE_DATASET || H5Dget_space_status(object, &status) >= 0) ? 0 : -1;
}

herr_t copy_object(hid_t from, const char* name, const H5L_info_t* info, void* out) {
  auto& copy = *static_cast<Copy*>(out);
  if (info->type != H5L_TYPE_HARD) return 0;
  // Walked first: on a damaged index of chunks H5Ocopy (1.10.8) follows a null pointer.
  const bool sound =
      H5Ovisit_by_name2(from, name, H5_INDEX_NAME, H5_ITER_INC, walk_object, nullptr, H5O_INFO_BASIC, H5P_DEFAULT) >= 0;
  if (sound && H5Ocopy(from, name, copy.to, name, H5P_DEFAULT, H5P_DEFAULT) >= 0) return 0;
  copy.failure = name;
  return -1;
}

void cut_to(hid_t file, const schema::Dataset& row, hsize_t n, const std::string& where) {
  const std::string name = path_of(row), group(row.group);
  if (H5Lexists(file, group.c_str(), H5P_DEFAULT) <= 0 || H5Lexists(file, name.c_str(), H5P_DEFAULT) <= 0) return;
  const Handle dataset = own(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose, where, name);
  const Handle space = own(H5Dget_space(dataset), H5Sclose, where, name);
  hdf5::Dims extents{1, 1, 1, 1};
  H5Sget_simple_extent_dims(space, extents.data(), nullptr);
  extents[0] = n;
  if (H5Dset_extent(dataset, extents.data()) < 0) hdf5::fail_here(where, "to cut " + name);
}

}  // namespace

int32_t repair_trace(const std::filesystem::path& source, const std::filesystem::path& target, bool force) {
  const auto trace = TraceReader::open(source);
  const TraceInfo& info = trace->info();
  if (info.live) {
    fail({.where = source.string(),
          .expected = "a trace whose recording has ended",
          .got = "one being written",
          .remedy = "stop the recording, or wait for it"});
  }
  NewFile file(target, force);
  const Handle from = own(H5Fopen(source.c_str(), H5F_ACC_RDONLY | (info.closed ? 0 : H5F_ACC_SWMR_READ),
                                  hdf5::access_properties(H5F_LIBVER_EARLIEST)),
                          H5Fclose, source.string(), "a readable HDF5 file");
  Copy copy{.from = from, .to = file.id()};
  hsize_t position = 0;
  if (H5Aiterate2(from, H5_INDEX_NAME, H5_ITER_INC, &position, copy_attribute, &copy) < 0 ||
      H5Literate(from, H5_INDEX_NAME, H5_ITER_INC, nullptr, copy_object, &copy) < 0) {
    hdf5::fail_here(target.string(), "to copy " + copy.failure, "free some space, or the source is damaged there");
  }
  const schema::Sizes sizes = schema::sizes_of(info);
  for (const auto& row : schema::kDatasets) {
    if (row.extendible()) cut_to(file.id(), row, sizes.of(row.shape[0]), target.string());
  }
  if (!file.close()) hdf5::fail_here(target.string(), "to close the copy", "free some space");
  file.publish();
  return info.n_step;
}

}  // namespace reattend
