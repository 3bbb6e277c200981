// The writer: all datasets and their rows first, then SWMR, then the rows' contents; a step counts once `committed`
// says so.
#include "traces/write/writer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "traces/hdf5.h"
#include "traces/schema.h"
#include "traces/write/attributes.h"
#include "traces/write/new_file.h"

namespace reattend {
namespace {

using hdf5::Handle;
using hdf5::own;
using schema::dataset;
using schema::Dataset;
using schema::Extents;

/// Rows per chunk: big rows are chunks of their own, small ones share about 16 KB.
hsize_t chunk_rows(hsize_t row_bytes) {
  constexpr hsize_t kShared = 16384;
  return row_bytes >= kShared ? 1 : std::clamp<hsize_t>(kShared / std::max<hsize_t>(row_bytes, 1), 1, 1024);
}

}  // namespace

struct TraceWriter::State {
  State(std::filesystem::path path, bool force, Appears when) : file(std::move(path), force), appears(when) {}

  NewFile file;
  Appears appears;
  bool started = false, failed = false, closed = false;
  std::array<Handle, schema::kDatasets.size()> datasets;
  TraceHeader header;
  schema::Sizes sizes;  ///< n_step of it: appended steps
  /// Rows that exist, T of the file's extents until it is closed. They are made many at a time: between that, the
  /// file's structure does not change, so a kill can tear nothing but rows that nobody counts yet.
  int64_t capacity = 0;
  int64_t committed = 0;

  std::string path() const { return file.path().string(); }
  /// What helps when writing fails.
  const char* remedy() const {
    return appears == Appears::when_whole
               ? "free some space or choose another --out"
               : "free some space or choose another --out, then record again; finished steps can be read";
  }
  std::string where(const Dataset& row) const { return path() + ": " + path_of(row); }
  /// Rows made at a time: few changes of structure, yet a disk that fills up shows it when the steps do not fit, not at
  /// the first one, and a run that ends early leaves little unused.
  int64_t rows_at_once() const { return std::clamp(header.expected_steps, 1, 32); }
  hdf5::Element element(const Dataset& row) const { return schema::element_of(row.type, header.kv_type); }

  void create(const Dataset& row);
  void write(const Dataset& row, const Extents& start, const Extents& count, const void* data, size_t n_byte);
  /// All of a dataset that does not grow, or a first part.
  template <class T>
  void write_all(const Dataset& row, std::span<const T> data) {
    write(row, {}, sizes.shape(row), data.data(), data.size_bytes());
  }
  /// One row: of a dataset that grows, which has room for it, or of a layer.
  template <class T>
  void write_row(const Dataset& row, uint64_t at, std::span<const T> data) {
    Extents count = sizes.shape(row);
    count[0] = 1;
    write(row, {at, 0, 0, 0}, count, data.data(), data.size_bytes());
  }
  /// The step's rows of every dataset that this trace has and that has one for step t: step 0 has predictions alone.
  void write_step(const StepData& step, int64_t t) {
    schema::for_each_column([&](const Dataset& row, auto column) {
      if (!datasets[id_of(row)] || (t == 0 && row.shape[0] != schema::Dim::steps_and_0)) return;
      write_row(row, sizes.row_of(row, t), std::span(std::as_const(step.*column)));
    });
  }
  void set_rows(int64_t n_step);
  void usable() const {
    if (failed || closed) {
      fail({.where = path(), .expected = "an open trace", .got = "one that failed or was closed before"});
    }
  }
  /// Runs work; whatever it throws, the writer takes no more.
  template <class F>
  void guarded(F&& work) {
    hdf5::quiet();
    usable();
    try {
      work();
    } catch (...) {
      failed = true;
      throw;
    }
  }
};

void TraceWriter::State::create(const Dataset& row) {
  schema::Sizes made_sizes = sizes;
  made_sizes.n_step = capacity;
  const hdf5::Dims now = hdf5::dims(made_sizes.shape(row));
  hdf5::Dims most = now, chunk = now;
  const Handle type = hdf5::type_of(element(row));
  const Handle properties = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, where(row), "creation properties");
  if (row.extendible()) {
    most[0] = H5S_UNLIMITED;
    chunk[0] = chunk_rows(bytes_of(element(row)) * now[1] * now[2] * now[3]);
    H5Pset_chunk(properties, row.rank(), chunk.data());
  }
  H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
  const Handle space =
      own(row.rank() == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(row.rank(), now.data(), most.data()), H5Sclose,
          where(row), "a data space");
  const Handle link = own(H5Pcreate(H5P_LINK_CREATE), H5Pclose, where(row), "link properties");
  H5Pset_create_intermediate_group(link, 1);
  const std::string name = "/" + path_of(row);
  Handle made(H5Dcreate2(file.id(), name.c_str(), type, space, link, properties, H5P_DEFAULT), H5Dclose);
  if (!made) hdf5::fail_here(where(row), "to create the dataset", remedy());
  hdf5::write_attribute(made, "unit", std::string(row.unit));
  hdf5::write_attribute(made, "description", std::string(row.description));
  hdf5::write_attribute(made, "axes", axes_of(row));
  datasets[id_of(row)] = std::move(made);
}

void TraceWriter::State::write(const Dataset& row, const Extents& start, const Extents& count, const void* data,
                               size_t n_byte) {
  const uint64_t need = bytes_of(element(row)) * count[0] * count[1] * count[2] * count[3];
  if (n_byte != need) {
    fail({.where = where(row), .expected = std::to_string(need) + " bytes", .got = std::to_string(n_byte)});
  }
  if (need == 0) return;
  const hid_t dataset = datasets[id_of(row)];
  const Handle type = hdf5::type_of(element(row));
  if (row.rank() == 0) {
    if (H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
      hdf5::fail_here(where(row), "to write", remedy());
    return;
  }
  const hdf5::Dims from = hdf5::dims(start), n = hdf5::dims(count);
  const Handle memory = own(H5Screate_simple(row.rank(), n.data(), nullptr), H5Sclose, where(row), "a data space");
  const Handle space = own(H5Dget_space(dataset), H5Sclose, where(row), "a data space");
  if (H5Sselect_hyperslab(space, H5S_SELECT_SET, from.data(), nullptr, n.data(), nullptr) < 0 ||
      H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, data) < 0) {
    hdf5::fail_here(where(row), "to write " + std::to_string(n_byte) + " bytes", remedy());
  }
}

/// Gives every dataset that grows room for n_step steps, no more and no less.
void TraceWriter::State::set_rows(int64_t n_step) {
  schema::Sizes wanted_sizes = sizes;
  wanted_sizes.n_step = n_step;
  for (const Dataset& row : schema::kDatasets) {
    if (!datasets[id_of(row)] || !row.extendible()) continue;
    if (H5Dset_extent(datasets[id_of(row)], hdf5::dims(wanted_sizes.shape(row)).data()) < 0) {
      hdf5::fail_here(where(row), "to change the number of rows", remedy());
    }
  }
  if (H5Fflush(file.id(), H5F_SCOPE_LOCAL) < 0) hdf5::fail_here(path(), "to make rows for more steps", remedy());
  capacity = n_step;
}

TraceWriter::TraceWriter(std::filesystem::path path, bool force, Appears appears)
    : state_(std::make_unique<State>(std::move(path), force, appears)) {}

TraceWriter::~TraceWriter() {
  auto& s = *state_;
  try {
    if (!s.failed && !s.closed && s.file.published()) close();
  } catch (const Error&) {
    s.failed = true;  // whoever wants to know calls close()
  }
  if (s.failed) {
    // Closing would flush what could not be written and mark the file as clean. As it lies it is consistent.
    for (auto& dataset : s.datasets) dataset.leak();
    s.file.abandon();
  }
}

void TraceWriter::begin(const TraceHeader& header) {
  auto& s = *state_;
  s.guarded([&] {
    s.header = header;
    s.header.complete();
    s.sizes = schema::sizes_of(s.header);
    std::string text;
    std::vector<int64_t> offsets = {0};
    for (const auto& token : header.vocab) {
      text += token;
      offsets.push_back(static_cast<int64_t>(text.size()));
    }
    s.sizes.text_bytes = offsets.back();
    s.capacity = s.rows_at_once();
    write_attributes(s.file.id(), s.header);
    for (const Dataset& row : schema::kDatasets) {
      if (is_stored(row, s.header)) s.create(row);
    }
    s.write_all<int32_t>(dataset("tokens/ids"), header.prompt);
    s.write_all<char>(dataset("vocab/text"), text);
    s.write_all<int64_t>(dataset("vocab/offsets"), offsets);
    std::vector<float> factors = header.rope.factors;
    if (factors.empty()) factors.assign(static_cast<size_t>(header.d_head / 2), 1.0F);
    s.write_all<float>(dataset("rope/factors"), factors);
    const int64_t none = 0;
    s.write_all(dataset("steps/committed"), std::span(&none, 1));
  });
}

void TraceWriter::prompt_kv(int32_t layer, int32_t kv_head, std::span<const std::byte> keys,
                            std::span<const std::byte> values) {
  auto& s = *state_;
  s.guarded([&] {
    const Extents start = {static_cast<uint64_t>(layer), static_cast<uint64_t>(kv_head), 0, 0};
    const Extents count = {1, 1, s.sizes.of(schema::Dim::n_prompt), s.sizes.of(schema::Dim::d_head)};
    s.write(dataset("prompt/keys"), start, count, keys.data(), keys.size());
    if (s.header.has_values) s.write(dataset("prompt/values"), start, count, values.data(), values.size());
  });
}

void TraceWriter::prompt_queries(int32_t layer, std::span<const float> queries) {
  auto& s = *state_;
  s.guarded([&] { s.write_row(dataset("prompt/queries"), static_cast<uint64_t>(layer), queries); });
}

void TraceWriter::prompt_row_sums(int32_t layer, std::span<const float> sums) {
  auto& s = *state_;
  s.guarded([&] { s.write_row(dataset("prompt/row_sums"), static_cast<uint64_t>(layer), sums); });
}

void TraceWriter::start(const StepData& step_0) {
  auto& s = *state_;
  s.guarded([&] {
    s.write_step(step_0, 0);
    s.started = true;
    if (s.appears == Appears::when_whole) return;
    if (H5Fflush(s.file.id(), H5F_SCOPE_LOCAL) < 0 || H5Fstart_swmr_write(s.file.id()) < 0) {
      hdf5::fail_here(s.path(), "to start writing", s.remedy());
    }
    s.file.publish();
  });
}

void TraceWriter::append(const StepData& step) {
  auto& s = *state_;
  s.guarded([&] {
    ++s.sizes.n_step;
    if (s.sizes.n_step > s.capacity) s.set_rows(s.capacity + s.rows_at_once());
    s.write_step(step, s.sizes.n_step);
  });
}

void TraceWriter::commit() {
  auto& s = *state_;
  if (s.sizes.n_step == s.committed) return;
  s.guarded([&] {
    // The rows went to the file as they were written; now the number that admits them.
    const int64_t now = s.sizes.n_step;
    s.write_all(dataset("steps/committed"), std::span(&now, 1));
    if (H5Dflush(s.datasets[id_of(dataset("steps/committed"))]) < 0) {
      hdf5::fail_here(s.path(), "to commit the steps", s.remedy());
    }
    s.committed = now;
  });
}

void TraceWriter::close() {
  auto& s = *state_;
  if (s.closed) return;
  if (s.started) commit();
  s.guarded([&] {
    if (s.started && s.capacity > s.sizes.n_step) s.set_rows(s.sizes.n_step);
    bool ok = true;
    for (auto& dataset : s.datasets) ok = dataset.reset() && ok;
    ok = s.file.close() && ok;
    if (!ok) hdf5::fail_here(s.path(), "to close the trace", s.remedy());
    if (s.started && s.appears == Appears::when_whole) s.file.publish();
  });
  s.closed = true;
}

int32_t TraceWriter::committed() const {
  return static_cast<int32_t>(state_->committed);
}
const std::filesystem::path& TraceWriter::path() const {
  return state_->file.path();
}

}  // namespace reattend
