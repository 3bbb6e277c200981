// What an open trace holds: the checked file, its datasets, and typed reads of blocks of them.
#pragma once
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "traces/read/checked_file.h"
#include "traces/read/reader.h"

namespace reattend {

struct TraceReader::State {
  using Extents = hdf5::Extents;
  using Id = schema::Id;
  explicit State(const std::filesystem::path& path);

  hdf5::CheckedFile file;
  TraceInfo info;
  schema::Sizes sizes;  ///< n_layer of it: stored layers
  std::array<std::optional<hdf5::CheckedFile::Opened>, schema::kDatasets.size()> datasets;
  std::vector<std::string> vocab;  ///< filled on first use

  size_t n_prompt() const { return static_cast<size_t>(info.n_prompt); }
  size_t n_step() const { return static_cast<size_t>(info.n_step); }

  /// Looks for steps that were committed since; true if there are any.
  bool refresh();
  /// Error naming the dataset if the trace has none.
  const hdf5::CheckedFile::Opened& at(Id id) const;

  /// A block of a dataset as elements of T.
  template <class T>
  std::vector<T> read(Id id, const Extents& start, const Extents& count) const {
    std::vector<T> out(count[0] * count[1] * count[2] * count[3] * bytes_of(at(id).element) / sizeof(T));
    hdf5::CheckedFile::read(at(id), start, count, std::as_writable_bytes(std::span(out)));
    return out;
  }
  /// All rows that count: the whole of a fixed dataset, the committed part of a growing one.
  template <class T>
  std::vector<T> read_all(Id id) const {
    Extents count = sizes.shape(schema::dataset(id));
    if (id == Id::vocab_text) count = at(id).extents;
    return read<T>(id, {}, count);
  }
  /// One row of a dataset that grows.
  template <class T>
  std::vector<T> read_row(Id id, hsize_t row) const {
    Extents count = sizes.shape(schema::dataset(id));
    count[0] = 1;
    return read<T>(id, {row, 0, 0, 0}, count);
  }
  /// The rows' parts that belong to index `i` of the second dimension: one layer of all steps.
  template <class T>
  std::vector<T> read_layer_steps(Id id, hsize_t i) const {
    Extents count = sizes.shape(schema::dataset(id));
    count[1] = 1;
    return read<T>(id, {0, i, 0, 0}, count);
  }
  /// All steps of a dataset [T][n_layer]..., with `missing` for the layers that are not stored.
  template <class T>
  std::vector<T> read_steps(Id id, T missing) const {
    std::vector<T> stored = read_all<T>(id);
    if (info.layers.empty() || stored.empty()) return stored;
    const size_t n_layer = static_cast<size_t>(info.n_layer), n_stored = info.layers.size();
    const size_t per_layer = stored.size() / (n_step() * n_stored);
    std::vector<T> all(n_step() * n_layer * per_layer, missing);
    for (size_t i = 0; i < n_step() * n_stored; ++i) {
      const size_t to = i / n_stored * n_layer + static_cast<size_t>(info.layers[i % n_stored]);
      std::copy_n(stored.data() + i * per_layer, per_layer, all.data() + to * per_layer);
    }
    return all;
  }
  /// Where a layer lies among those that are stored; Error if it is none of the model's, or not stored.
  hsize_t stored_index(int32_t layer) const;
  void check_kv_head(int32_t kv_head) const;
  /// Error unless first <= t <= n_step.
  void check_step(int32_t t, int32_t first) const;
  void check_ids(Id id, const std::vector<int32_t>& ids, int32_t lowest) const;

  void fill_vocab();
  /// out := [n_kv_head][L + T][d_head] of one layer from the prompt's and the steps' datasets.
  void append_rows(std::vector<std::byte>& out, Id prompt, Id steps, hsize_t layer) const;

 private:
  /// Opens the dataset; Error if it is missing and the trace needs it.
  void open(Id id);
  /// Whether a trace of this kind can't be without it.
  bool needs(Id id) const;
  int64_t read_committed();
  void check_columns() const;
};

}  // namespace reattend
