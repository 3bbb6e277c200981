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
using schema::Extents;
using schema::Id;

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
  std::string where(Id id) const {
    const auto& row = schema::dataset(id);
    return path() + ": " + std::string(row.group) + "/" + std::string(row.name);
  }
  /// Rows made at a time: few changes of structure, yet a disk that fills up shows it when the steps do not fit, not at
  /// the first one, and a run that ends early leaves little unused.
  int64_t rows_at_once() const { return std::clamp(header.expected_steps, 1, 32); }
  bool wanted(Id id) const {
    switch (id) {
      case Id::prompt_values:
      case Id::values:
        return header.values;
      case Id::prompt_row_sums:
        return header.row_sums;
      case Id::map_positions:
      case Id::map_weights:
      case Id::map_rest:
        return header.maps == Maps::top;
      case Id::map_dense:
        return header.maps == Maps::dense;
      case Id::map_binned:
        return header.maps == Maps::binned;
      default:
        return true;
    }
  }
  hdf5::Element element(Id id) const { return schema::element_of(schema::dataset(id).type, header.kv_type); }

  void create(Id id);
  void write(Id id, const Extents& start, const Extents& count, const void* data, size_t n_byte);
  /// All of a dataset that does not grow, or a first part.
  template <class T>
  void write_all(Id id, std::span<const T> data) {
    write(id, {}, sizes.shape(schema::dataset(id)), data.data(), data.size_bytes());
  }
  /// Row `row` of a dataset that grows, which has room for it.
  template <class T>
  void write_row(Id id, hsize_t row, const T* data, size_t n) {
    Extents count = sizes.shape(schema::dataset(id));
    count[0] = 1;
    write(id, {row, 0, 0, 0}, count, data, n * sizeof(T));
  }
  void write_top(hsize_t row, const TopTokens& top) {
    write_row(Id::top_ids, row, top.ids.data(), top.ids.size());
    write_row(Id::top_logprobs, row, top.logprobs.data(), top.logprobs.size());
    write_row(Id::top_rest, row, &top.rest, 1);
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

void TraceWriter::State::create(Id id) {
  const auto& row = schema::dataset(id);
  schema::Sizes made_sizes = sizes;
  made_sizes.n_step = capacity;
  const Extents now = made_sizes.shape(row);
  Extents most = now, chunk = now;
  const Handle type = hdf5::type_of(element(id));
  const Handle properties = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, where(id), "creation properties");
  if (row.extendible()) {
    most[0] = H5S_UNLIMITED;
    const hsize_t row_bytes = bytes_of(element(id)) * now[1] * now[2] * now[3];
    chunk[0] = chunk_rows(row_bytes);
    H5Pset_chunk(properties, row.rank(), chunk.data());
  }
  H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
  const Handle space =
      own(row.rank() == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(row.rank(), now.data(), most.data()), H5Sclose,
          where(id), "a data space");
  const Handle link = own(H5Pcreate(H5P_LINK_CREATE), H5Pclose, where(id), "link properties");
  H5Pset_create_intermediate_group(link, 1);
  const std::string name = "/" + std::string(row.group) + "/" + std::string(row.name);
  Handle made(H5Dcreate2(file.id(), name.c_str(), type, space, link, properties, H5P_DEFAULT), H5Dclose);
  if (!made) hdf5::fail_here(where(id), "to create the dataset", remedy());
  std::string axes;
  for (int i = 0; i < row.rank(); ++i) {
    axes += (i == 0 ? "" : ", ") + std::string(schema::symbol(row.shape[static_cast<size_t>(i)]));
  }
  hdf5::write_attribute(made, "unit", std::string(row.unit));
  hdf5::write_attribute(made, "description", std::string(row.description));
  hdf5::write_attribute(made, "axes", axes);
  datasets[static_cast<size_t>(id)] = std::move(made);
}

void TraceWriter::State::write(Id id, const Extents& start, const Extents& count, const void* data, size_t n_byte) {
  const auto& row = schema::dataset(id);
  const hsize_t need = bytes_of(element(id)) * count[0] * count[1] * count[2] * count[3];
  if (n_byte != need) {
    fail({.where = where(id), .expected = std::to_string(need) + " bytes", .got = std::to_string(n_byte)});
  }
  if (need == 0) return;
  const hid_t dataset = datasets[static_cast<size_t>(id)];
  const Handle type = hdf5::type_of(element(id));
  if (row.rank() == 0) {
    if (H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
      hdf5::fail_here(where(id), "to write", remedy());
    return;
  }
  const Handle memory = own(H5Screate_simple(row.rank(), count.data(), nullptr), H5Sclose, where(id), "a data space");
  const Handle space = own(H5Dget_space(dataset), H5Sclose, where(id), "a data space");
  if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr) < 0 ||
      H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, data) < 0) {
    hdf5::fail_here(where(id), "to write " + std::to_string(n_byte) + " bytes", remedy());
  }
}

/// Gives every dataset that grows room for n_step steps, no more and no less.
void TraceWriter::State::set_rows(int64_t n_step) {
  schema::Sizes wanted_sizes = sizes;
  wanted_sizes.n_step = n_step;
  for (size_t i = 0; i < schema::kDatasets.size(); ++i) {
    const auto& row = schema::kDatasets[i];
    if (!datasets[i] || !row.extendible()) continue;
    if (H5Dset_extent(datasets[i], wanted_sizes.shape(row).data()) < 0) {
      hdf5::fail_here(where(static_cast<Id>(i)), "to change the number of rows", remedy());
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
    if (header.n_column == 0) s.header.n_column = header.columns_for(header.expected_steps);
    s.sizes = sizes_of(s.header);
    s.capacity = s.rows_at_once();
    write_attributes(s.file.id(), s.header, s.sizes);
    for (size_t i = 0; i < schema::kDatasets.size(); ++i) {
      if (s.wanted(static_cast<Id>(i))) s.create(static_cast<Id>(i));
    }
    s.write_all<int32_t>(Id::token_ids, header.prompt);
    std::string text;
    std::vector<int64_t> offsets = {0};
    for (const auto& token : header.vocab) {
      text += token;
      offsets.push_back(static_cast<int64_t>(text.size()));
    }
    s.write_all<char>(Id::vocab_text, text);
    s.write_all<int64_t>(Id::vocab_offsets, offsets);
    std::vector<float> factors = header.rope.factors;
    if (factors.empty()) factors.assign(static_cast<size_t>(header.d_head / 2), 1.0F);
    s.write_all<float>(Id::rope_factors, factors);
    const int64_t none = 0;
    s.write(Id::committed, {}, {1, 1, 1, 1}, &none, sizeof none);
  });
}

void TraceWriter::prompt_kv(int32_t layer, int32_t kv_head, std::span<const std::byte> keys,
                            std::span<const std::byte> values) {
  auto& s = *state_;
  s.guarded([&] {
    const Extents start = {static_cast<hsize_t>(layer), static_cast<hsize_t>(kv_head), 0, 0};
    const Extents count = {1, 1, s.sizes.of(schema::Dim::n_prompt), s.sizes.of(schema::Dim::d_head)};
    s.write(Id::prompt_keys, start, count, keys.data(), keys.size());
    if (s.header.values) s.write(Id::prompt_values, start, count, values.data(), values.size());
  });
}

void TraceWriter::prompt_queries(int32_t layer, std::span<const float> queries) {
  auto& s = *state_;
  s.guarded([&] { s.write_row(Id::prompt_queries, static_cast<hsize_t>(layer), queries.data(), queries.size()); });
}

void TraceWriter::prompt_row_sums(int32_t layer, std::span<const float> sums) {
  auto& s = *state_;
  s.guarded([&] { s.write_row(Id::prompt_row_sums, static_cast<hsize_t>(layer), sums.data(), sums.size()); });
}

void TraceWriter::start(const TopTokens& top) {
  auto& s = *state_;
  s.guarded([&] {
    s.write_top(0, top);
    s.started = true;
    if (s.appears == Appears::when_whole) return;
    if (H5Fflush(s.file.id(), H5F_SCOPE_LOCAL) < 0 || H5Fstart_swmr_write(s.file.id()) < 0) {
      hdf5::fail_here(s.path(), "to start writing", s.remedy());
    }
    s.file.publish();
  });
}

void TraceWriter::append(const StepRecord& step) {
  auto& s = *state_;
  s.guarded([&] {
    const auto row = static_cast<hsize_t>(s.sizes.n_step++);
    if (s.sizes.n_step > s.capacity) s.set_rows(s.capacity + s.rows_at_once());
    const auto put = [&](Id id, const auto& values) { s.write_row(id, row, values.data(), values.size()); };
    const auto put_one = [&](Id id, const auto& value) { s.write_row(id, row, &value, 1); };
    s.write_row(Id::token_ids, s.header.prompt.size() + row, &step.token, 1);
    put(Id::keys, step.keys);
    if (s.header.values) put(Id::values, step.values);
    put(Id::queries, step.queries);
    put_one(Id::logprob, step.logprob);
    s.write_top(row + 1, step.top);
    if (s.header.maps == Maps::top) {
      put(Id::map_positions, step.map_positions);
      put(Id::map_weights, step.map_weights);
      put(Id::map_rest, step.map_rest);
    }
    if (s.header.maps == Maps::dense) put(Id::map_dense, step.map_dense);
    if (s.header.maps == Maps::binned) put(Id::map_binned, step.map_binned);
    put(Id::overlap, step.overlap);
    put(Id::decision, step.decision);
    put(Id::reason, step.reason);
    put(Id::cos_last_full, step.cos_last_full);
    put(Id::cos_prev_pre, step.cos_prev_pre);
    put(Id::cos_prev_post, step.cos_prev_post);
    put(Id::recovered, step.recovered);
    put(Id::oracle, step.oracle);
    put(Id::positions, step.positions);
    put_one(Id::ms, step.ms);
    put_one(Id::bytes_weights, step.bytes_weights);
    put_one(Id::bytes_attend, step.bytes_attend);
    put_one(Id::bytes_select, step.bytes_select);
  });
}

void TraceWriter::commit() {
  auto& s = *state_;
  if (s.sizes.n_step == s.committed) return;
  s.guarded([&] {
    // The rows went to the file as they were written; now the number that admits them.
    const int64_t now = s.sizes.n_step;
    s.write(Id::committed, {}, {1, 1, 1, 1}, &now, sizeof now);
    if (H5Dflush(s.datasets[static_cast<size_t>(Id::committed)]) < 0) {
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
