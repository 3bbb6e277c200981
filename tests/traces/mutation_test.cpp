// Traces whose structure was changed by somebody who knows HDF5: whatever a file says, the reader lives and answers in
// one line. REATTEND_MUTATIONS=N tries N of them.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>

#include "tests/traces/survive.h"
#include "tests/traces/synthetic.h"
#include "traces/attributes.h"
#include "traces/hdf5.h"
#include "traces/schema.h"

namespace reattend {
namespace {

using namespace synthetic;
using hdf5::Handle;

class Mutator {
 public:
  Mutator(hid_t file, uint32_t seed) : file_(file), random_(seed) {}

  void mutate() {
    const auto& row = schema::kDatasets[draw(schema::kDatasets.size())];
    const std::string group(row.group), name = group + "/" + std::string(row.name);
    switch (draw(9)) {
      case 0:
        return put(name, other_extents(name), type_of(name));
      case 1:
        return put(name, extents_of(name), other_type());
      case 2:
        return link(draw(4) == 0 ? group : name);
      case 3:
        H5Ldelete(file_, (draw(4) == 0 ? group : name).c_str(), H5P_DEFAULT);
        return;
      case 4:
        return set_committed();
      case 5:
        return fill(name);
      default:
        return attribute();
    }
  }

 private:
  size_t draw(size_t n) { return random_() % n; }
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[draw(values.size())];
  }

  std::vector<hsize_t> extents_of(const std::string& name) {
    const Handle dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
    if (!dataset) return {1};
    const Handle space(H5Dget_space(dataset), H5Sclose);
    std::vector<hsize_t> extents(static_cast<size_t>(std::max(0, H5Sget_simple_extent_ndims(space))));
    H5Sget_simple_extent_dims(space, extents.data(), nullptr);
    return extents;
  }
  std::vector<hsize_t> other_extents(const std::string& name) {
    auto extents = extents_of(name);
    if (draw(5) == 0) extents.push_back(one_of<hsize_t>({1, 3}));
    if (extents.empty()) return extents;
    hsize_t& n = extents[draw(extents.size())];
    n = one_of<hsize_t>({0, 1, n - 1, n + 1, 2 * n, n * 1000, hsize_t{1} << 20, hsize_t{1} << 33, hsize_t{1} << 62});
    return extents;
  }
  Handle type_of(const std::string& name) {
    const Handle dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
    return {dataset ? H5Dget_type(dataset) : H5Tcopy(H5T_STD_I32LE), H5Tclose};
  }
  Handle other_type() {
    if (draw(6) == 0) {
      Handle text(H5Tcopy(H5T_C_S1), H5Tclose);
      H5Tset_size(text, draw(2) == 0 ? H5T_VARIABLE : 8);
      return text;
    }
    if (draw(6) == 0) return {H5Tvlen_create(H5T_STD_I32LE), H5Tclose};
    return {H5Tcopy(one_of<hid_t>({H5T_STD_U8LE, H5T_STD_I32LE, H5T_STD_I32BE, H5T_STD_I64LE, H5T_IEEE_F32LE,
                                   H5T_IEEE_F64LE, H5T_IEEE_F32BE, H5T_STD_U64LE})),
            H5Tclose};
  }
  /// A new dataset of the name, with chunks of any size and any filter; perhaps none, where HDF5 refuses.
  void put(const std::string& name, const std::vector<hsize_t>& extents, const Handle& type) {
    H5Ldelete(file_, name.c_str(), H5P_DEFAULT);
    const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    if (!extents.empty() && draw(4) != 0) {
      std::vector<hsize_t> chunk;
      for (const hsize_t n : extents) chunk.push_back(one_of<hsize_t>({1, 2, 7, n / 2 + 1, n + 1, 1000, 1 << 16}));
      H5Pset_chunk(creation, static_cast<int>(chunk.size()), chunk.data());
      if (draw(3) == 0) H5Pset_shuffle(creation);
      if (draw(3) == 0) H5Pset_deflate(creation, 1);
      if (draw(6) == 0) H5Pset_scaleoffset(creation, H5Z_SO_INT, 0);
      if (draw(6) == 0) H5Pset_nbit(creation);
    } else if (draw(4) == 0) {
      H5Pset_layout(creation, H5D_COMPACT);
    }
    const Handle space(extents.empty() ? H5Screate(draw(2) == 0 ? H5S_SCALAR : H5S_NULL)
                                       : H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr),
                       H5Sclose);
    const Handle made(H5Dcreate2(file_, name.c_str(), type, space, H5P_DEFAULT, creation, H5P_DEFAULT), H5Dclose);
  }
  void link(const std::string& name) {
    H5Ldelete(file_, name.c_str(), H5P_DEFAULT);
    switch (draw(5)) {
      case 0:
        H5Lcreate_soft("/steps/ms", file_, name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
        return;
      case 1:
        H5Lcreate_soft(name.c_str(), file_, name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
        return;
      case 2:
        H5Lcreate_external("/etc/passwd", "/x", file_, name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
        return;
      case 3:  // a group where a dataset should be: the root itself
        H5Lcreate_hard(file_, "/", file_, name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
        return;
      default:
        H5Lcreate_hard(file_, "/steps/keys", file_, name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
    }
  }
  void set_committed() {
    const Handle dataset(H5Dopen2(file_, "steps/committed", H5P_DEFAULT), H5Dclose);
    const auto n = one_of<int64_t>({-1, 0, 2, 4, 1000, int64_t{1} << 27, int64_t{1} << 40, INT64_MIN});
    const bool scalar = extents_of("steps/committed").empty();  // an earlier change may have made it larger
    if (dataset && scalar) H5Dwrite(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &n);
  }
  /// Other contents: every element the same bits.
  void fill(const std::string& name) {
    const Handle dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
    if (!dataset) return;
    const Handle type(H5Dget_type(dataset), H5Tclose);
    if (H5Tget_class(type) != H5T_INTEGER && H5Tget_class(type) != H5T_FLOAT) return;  // others hold pointers
    const auto extents = extents_of(name);
    size_t n = H5Tget_size(type);
    for (const hsize_t each : extents) {
      if (each > 100000) return;
      n *= each;
    }
    const std::vector<unsigned char> bytes(n, one_of<unsigned char>({0, 1, 0x7f, 0xff, 0xfe}));
    if (n > 0 && n < 1 << 24) H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
  }
  void attribute() {
    const std::string name(schema::kAttributes[draw(std::size(schema::kAttributes))].name);
    H5Adelete(file_, name.c_str());
    const double nan = std::nan("");
    switch (draw(7)) {
      case 0:
        return;
      case 1:
        return hdf5::write_attribute(file_, name, one_of<double>({nan, -1, 0, 1e300, 0.5}));
      case 2:
        return hdf5::write_attribute(file_, name,
                                     one_of<std::string>({"", "none", "dense", "1.1", "2.0", "\n\x01\xff", "{}", "[]",
                                                          R"({"name":"recycled","K":-1})"}));
      case 3: {
        const std::vector<int64_t> list = {one_of<int64_t>({0, 1, -1}), one_of<int64_t>({1, 0, int64_t{1} << 40})};
        return hdf5::write_attribute(file_, name, std::span<const int64_t>(list));
      }
      default:
        return hdf5::write_attribute(file_, name,
                                     one_of<int64_t>({0, 1, 2, 3, 5, 8, 64, 70, 71, -1, 1 << 14, 1 << 24,
                                                      int64_t{1} << 40, INT64_MAX, INT64_MIN}));
    }
  }

  hid_t file_;
  std::mt19937 random_;
};

TEST(TraceMutation, NoStructureMakesTheReaderCrash) {
  const char* const wish = std::getenv("REATTEND_MUTATIONS");
  const int n = wish != nullptr ? std::atoi(wish) : 250;
  const Folder folder;
  std::vector<std::string> samples;
  for (const Maps maps : {Maps::top, Maps::dense, Maps::binned}) {
    TraceHeader all = header();
    all.maps = maps;
    all.expected_steps = 3, all.map_bin = 16;
    write_trace(folder / "sample.h5", all, 3);
    samples.push_back(contents(folder / "sample.h5"));
  }
  int refused = 0;
  for (int i = 0; i < n; ++i) {
    const auto path = folder / "mutant.h5";
    replace(path, samples[static_cast<size_t>(i) % samples.size()]);
    {
      hdf5::quiet();
      const Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
      ASSERT_TRUE(file);
      Mutator mutator(file, static_cast<uint32_t>(i));
      for (int k = 0; k <= i % 3; ++k) mutator.mutate();
    }
    SCOPED_TRACE("mutation " + std::to_string(i));
    refused += survive(path) ? 0 : 1;
  }
  EXPECT_GT(refused, n / 3) << "the mutations changed nothing that matters";
  EXPECT_LT(refused, n) << "not one mutant opened: nothing behind the opening was tried";
}

}  // namespace
}  // namespace reattend
