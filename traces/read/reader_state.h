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
  using Dataset = schema::Dataset;
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
  const hdf5::CheckedFile::Opened& at(const Dataset& row) const;
  bool has(const Dataset& row) const { return datasets[id_of(row)].has_value(); }

  /// A block of a dataset as elements of T.
  template <class T>
  std::vector<T> read(const Dataset& row, const Extents& start, const Extents& count) const {
    std::vector<T> out(count[0] * count[1] * count[2] * count[3] * bytes_of(at(row).element) / sizeof(T));
    hdf5::CheckedFile::read(at(row), start, count, std::as_writable_bytes(std::span(out)));
    return out;
  }
  /// All rows that count: the whole of a fixed dataset, the committed part of a growing one.
  template <class T>
  std::vector<T> read_all(const Dataset& row) const {
    return read<T>(row, {}, row.shape[0] == schema::text_bytes ? at(row).extents : sizes.shape(row));
  }
  /// One row: of a dataset that grows, or of a layer.
  template <class T>
  std::vector<T> read_row(const Dataset& row, uint64_t i) const {
    Extents count = sizes.shape(row);
    count[0] = 1;
    return read<T>(row, {i, 0, 0, 0}, count);
  }
  /// The rows' parts that belong to index `i` of the second dimension: one layer of all steps.
  template <class T>
  std::vector<T> read_layer_steps(const Dataset& row, uint64_t i) const {
    Extents count = sizes.shape(row);
    count[1] = 1;
    return read<T>(row, {0, i, 0, 0}, count);
  }
  /// Every step's row of a dataset, from step 0 on where it has one; layers that are not stored are filled in.
  template <class T>
  std::vector<T> read_steps(const Dataset& row) const {
    const uint64_t first = sizes.row_of(row, row.shape[0] == schema::steps_and_0 ? 0 : 1);
    Extents count = sizes.shape(row);
    count[0] -= first;
    std::vector<T> stored = read<T>(row, {first, 0, 0, 0}, count);
    if (row.shape[1] != schema::n_layer || info.layers.empty() || stored.empty()) return stored;
    const size_t n_layer = static_cast<size_t>(info.n_layer), n_stored = info.layers.size();
    const size_t per_layer = stored.size() / (n_step() * n_stored);
    std::vector<T> all(n_step() * n_layer * per_layer, schema::missing<T>());
    for (size_t i = 0; i < n_step() * n_stored; ++i) {
      const size_t to = i / n_stored * n_layer + static_cast<size_t>(info.layers[i % n_stored]);
      std::copy_n(stored.data() + i * per_layer, per_layer, all.data() + to * per_layer);
    }
    return all;
  }
  /// Where a layer lies among those that are stored; Error if it is none of the model's, or not stored.
  uint64_t stored_index(int32_t layer) const;
  void check_kv_head(int32_t kv_head) const;
  /// Error unless first <= t <= n_step.
  void check_step(int32_t t, int32_t first) const;
  /// Error where a token's id is none of the vocabulary; `values` are of any dataset.
  template <class T>
  void check_ids(const Dataset& row, const std::vector<T>& values) const {
    if (row.range.end != schema::Range::End::token) return;
    for (const T each : values) check_id(row, static_cast<int64_t>(each));
  }

  void fill_vocab();
  /// out := [n_kv_head][L + T][d_head] of one layer from the prompt's and the steps' datasets.
  void append_rows(std::vector<std::byte>& out, const Dataset& prompt, const Dataset& steps, uint64_t layer) const;

 private:
  /// Opens the dataset; Error if it is missing and the trace needs it.
  void open(const Dataset& row);
  void check_id(const Dataset& row, int64_t token) const;
  int64_t read_committed();
  void check_columns() const;
};

}  // namespace reattend
