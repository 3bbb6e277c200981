// Damaged and hostile files: an Error of one line or sound data, never a crash, a hang or a huge allocation.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <limits>
#include <random>

#include "base/error.h"
#include "tests/traces/survive.h"
#include "tests/traces/synthetic.h"
#include "traces/hdf5.h"
#include "traces/read/reader.h"

namespace reattend {
namespace {

using namespace synthetic;

/// A closed trace and one whose writer vanished without closing it.
std::vector<std::string> samples(const Folder& folder) {
  write_trace(folder / "closed.h5", 5);
  const pid_t child = fork();
  if (child == 0) {
    TraceWriter writer(folder / "open.h5", false);
    write_prompt(writer);
    for (int32_t t = 1; t <= 5; ++t) writer.append(step(t)), writer.commit();
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  return {contents(folder / "closed.h5"), contents(folder / "open.h5")};
}

TEST(TraceHostile, TruncationAtAnyLengthIsAnErrorOrSoundData) {
  const Folder folder;
  for (const std::string& sample : samples(folder)) {
    std::mt19937 random(3);
    for (int i = 0; i < 100; ++i) {
      const size_t length = i < 30 ? static_cast<size_t>(i) * 40 : random() % sample.size();
      replace(folder / "damaged.h5", sample.substr(0, length));
      const bool opened = survive(folder / "damaged.h5");
      EXPECT_FALSE(opened && length < 1000) << length;
    }
  }
}

// HDF5 would read zeros behind the end: queries of nothing, attention that is the same everywhere.
TEST(TraceHostile, ATraceThatIsCutWhileItIsOpenIsAnErrorNotZeros) {
  const Folder folder;
  write_trace(folder / "trace.h5", 40);
  const auto reader = TraceReader::open(folder / "trace.h5");
  const LayerData before = reader->layer(0);
  std::filesystem::resize_file(folder / "trace.h5", 600);
  int n_error = 0;
  for (int32_t l = 0; l < reader->info().n_layer; ++l) {
    try {
      const LayerData after = reader->layer(l);
      EXPECT_TRUE(l > 0 || (after.keys == before.keys && after.queries == before.queries)) << "still in memory";
    } catch (const Error& error) {
      ++n_error;
      EXPECT_NE(std::string(error.what()).find("cut short while it was open"), std::string::npos) << error.what();
    }
  }
  EXPECT_GT(n_error, 0);
}

TEST(TraceHostile, FlippedBytesAnywhereNeverCrash) {
  const Folder folder;
  int refused = 0;
  for (const std::string& sample : samples(folder)) {
    std::mt19937 random(5);
    for (int i = 0; i < 200; ++i) {
      std::string damaged = sample;
      // Half of the flips hit the first 16 KB, where the structure of the file is dense.
      const size_t range = i % 2 == 0 ? std::min<size_t>(sample.size(), 16384) : sample.size();
      for (int n = 1 + i % 4; n > 0; --n) damaged[random() % range] ^= static_cast<char>(1u << random() % 8);
      replace(folder / "damaged.h5", damaged);
      refused += survive(folder / "damaged.h5") ? 0 : 1;
    }
  }
  EXPECT_GT(refused, 20) << "the flips hit nothing that matters";
}

/// Changes a closed trace through HDF5 and expects the reader to refuse it, saying `expected`.
void expect_refusal(const std::string& expected, const std::function<void(hid_t file)>& change) {
  const Folder folder;
  const auto path = folder / "a.h5";
  write_trace(path, 3);
  {
    hdf5::quiet();
    const hdf5::Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    ASSERT_TRUE(file);
    change(file);
  }
  try {
    TraceReader::open(path);
    FAIL() << "opened; expected an error with: " << expected;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what();
  }
}

void set_integer(hid_t file, const char* name, int64_t value) {
  H5Adelete(file, name);
  hdf5::write_attribute(file, name, value);
}

/// Replaces a dataset by one that `create` makes.
void put_dataset(hid_t file, const char* name, hid_t type, std::vector<hsize_t> shape, hid_t creation = H5P_DEFAULT) {
  H5Ldelete(file, name, H5P_DEFAULT);
  const hdf5::Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose);
  const hdf5::Handle made(H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT), H5Dclose);
  ASSERT_TRUE(made) << hdf5::innermost_error();
}

TEST(TraceHostile, AttributesThatDoNotFitTheDatasetsAreRefused) {
  expect_refusal("prompt/keys", [](hid_t f) { set_integer(f, "n_prompt", 69); });
  expect_refusal("n_layer", [](hid_t f) { set_integer(f, "n_layer", -1); });
  expect_refusal("n_layer", [](hid_t f) { set_integer(f, "n_layer", int64_t{1} << 60); });
  expect_refusal("n_kv_head", [](hid_t f) { set_integer(f, "n_kv_head", 3); });
  expect_refusal("d_head", [](hid_t f) { set_integer(f, "d_head", 0); });
  expect_refusal("n_vocab", [](hid_t f) { set_integer(f, "n_vocab", 0); });
  expect_refusal("format", [](hid_t f) { H5Adelete(f, "format"); });
  expect_refusal("kv_type", [](hid_t f) {
    H5Adelete(f, "kv_type");
    hdf5::write_attribute(f, "kv_type", std::string("int3"));
  });
  for (const double scale : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    expect_refusal("attention_scale", [scale](hid_t f) { hdf5::write_attribute(f, "attention_scale", scale); });
    expect_refusal("attention_cap", [scale](hid_t f) { hdf5::write_attribute(f, "attention_cap", scale); });
  }
  const auto windows = [](const std::vector<int64_t>& list) {
    return [list](hid_t f) { hdf5::write_attribute(f, "windows", std::span<const int64_t>(list)); };
  };
  expect_refusal("windows", windows({8}));
  expect_refusal("windows", windows(std::vector<int64_t>(64, 0)));
  const auto n_layer = static_cast<size_t>(header().n_layer);
  expect_refusal("windows", windows(std::vector<int64_t>(n_layer, -1)));
  expect_refusal("without a window", windows(std::vector<int64_t>(n_layer, 8)));
  expect_refusal("settings", [](hid_t f) {
    H5Adelete(f, "settings");
    hdf5::write_attribute(f, "settings", std::string(R"({"name": "recycled", "K": )"));
  });
}

/// The steps of such a trace are sound; only times can't be predicted from it.
TEST(TraceHostile, FiguresThatNoMachineHasAreLeftOutAndNamed) {
  const Folder folder;
  const auto path = folder / "a.h5";
  write_trace(path, 3);
  const Calibration before = TraceReader::open(path)->info().calibration;
  {
    const hdf5::Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    ASSERT_TRUE(file);
    for (const auto& [name, value] :
         {std::pair{"calibration_weights_ms", 1e300}, {"calibration_stream_gbps", 1e-300}}) {
      H5Adelete(file, name);
      hdf5::write_attribute(file, name, value);
    }
  }
  const auto trace = TraceReader::open(path);
  const TraceInfo& info = trace->info();
  EXPECT_EQ(info.calibration.weights_ms, 0);
  EXPECT_EQ(info.calibration.stream_gbps, 0);
  EXPECT_EQ(info.calibration.attend_stream_gbps, before.attend_stream_gbps);
  for (const char* part : {"calibration_weights_ms of 1e+300 ms", "calibration_stream_gbps of 1e-300 GB/s"}) {
    EXPECT_NE(info.warning.find(part), std::string::npos) << info.warning;
  }
  EXPECT_EQ(info.n_step, 3);
}

TEST(TraceHostile, DatasetsOfOtherTypesShapesAndStoragesAreRefused) {
  expect_refusal("steps/ms", [](hid_t f) { H5Ldelete(f, "steps/ms", H5P_DEFAULT); });
  expect_refusal("rank", [](hid_t f) { put_dataset(f, "steps/ms", H5T_IEEE_F64LE, {3, 1}); });
  expect_refusal("float64", [](hid_t f) { put_dataset(f, "steps/ms", H5T_STD_I64LE, {3}); });
  expect_refusal("shape [3]", [](hid_t f) { put_dataset(f, "steps/ms", H5T_IEEE_F64LE, {2}); });
  // An extent without data behind it: would be 32 TB of memory.
  expect_refusal("fits a file", [](hid_t f) {
    const hdf5::Handle chunked(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    const hsize_t chunk = 1024;
    H5Pset_chunk(chunked, 1, &chunk);
    put_dataset(f, "steps/ms", H5T_IEEE_F64LE, {hsize_t{1} << 42}, chunked);
  });
  expect_refusal("external storage", [](hid_t f) {
    const hdf5::Handle external(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    H5Pset_external(external, "/etc/passwd", 0, 24);
    put_dataset(f, "steps/ms", H5T_IEEE_F64LE, {3}, external);
  });
  expect_refusal("virtual", [](hid_t f) {
    const hdf5::Handle virtual_(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    const hsize_t n = 3;
    const hdf5::Handle space(H5Screate_simple(1, &n, nullptr), H5Sclose);
    H5Pset_virtual(virtual_, space, "/etc/passwd", "x", space);
    put_dataset(f, "steps/ms", H5T_IEEE_F64LE, {3}, virtual_);
  });
  expect_refusal("link", [](hid_t f) {
    H5Ldelete(f, "steps/ms", H5P_DEFAULT);
    H5Lcreate_external("/etc/passwd", "/x", f, "steps/ms", H5P_DEFAULT, H5P_DEFAULT);
  });
  expect_refusal("filter", [](hid_t f) {
    const hdf5::Handle scaled(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    const hsize_t chunk = 3;
    H5Pset_chunk(scaled, 1, &chunk);
    H5Pset_scaleoffset(scaled, H5Z_SO_FLOAT_DSCALE, 2);
    put_dataset(f, "steps/ms", H5T_IEEE_F64LE, {3}, scaled);
  });
}

TEST(TraceHostile, FilesThatAreNoTraceAreNamed) {
  const Folder folder;
  replace(folder / "text.h5", "this is not an HDF5 file at all, but long enough");
  EXPECT_FALSE(survive(folder / "text.h5"));
  replace(folder / "empty.h5", "");
  EXPECT_FALSE(survive(folder / "empty.h5"));
  EXPECT_THROW(TraceReader::open(folder / ""), Error);
  EXPECT_THROW(TraceReader::open(folder / "missing.h5"), Error);
  EXPECT_THROW(TraceReader::open("/dev/zero"), Error);
  {
    hdf5::quiet();
    const hdf5::Handle old(H5Fcreate((folder / "old.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  }
  EXPECT_FALSE(survive(folder / "old.h5"));
}

}  // namespace
}  // namespace reattend
