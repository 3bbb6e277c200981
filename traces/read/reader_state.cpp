// Opens a trace: attributes decide what must be there, and every dataset is held against them.
#include "traces/read/reader_state.h"

#include <cstring>

#include "base/error.h"
#include "traces/read/info.h"

namespace reattend {

using hdf5::CheckedFile;
using hdf5::Extents;
using schema::dataset;
using schema::Dataset;

TraceReader::State::State(const std::filesystem::path& path) : file(path), info(read_info(file)) {
  sizes = schema::sizes_of(info);
  // `committed` is written last, so it has to be read before the rest is looked at.
  open(dataset("steps/committed"));
  sizes.n_step = read_committed();
  info.n_step = static_cast<int32_t>(sizes.n_step);
  // Whether there are values and sums is seen by their datasets alone.
  info.has_values = info.has_prompt_row_sums = false;
  for (const Dataset& row : schema::kDatasets) open(row);
  check_columns();
  info.has_values = has(dataset("prompt/values")) && has(dataset("steps/values"));
  info.has_prompt_row_sums = has(dataset("prompt/row_sums"));
  info.rope.factors = read_all<float>(dataset("rope/factors"));
  if (std::all_of(info.rope.factors.begin(), info.rope.factors.end(), [](float f) { return f == 1; })) {
    info.rope.factors.clear();
  }
  info.live = file.live();
  info.closed = !file.marked_open();
  if (!info.closed && !info.live) {
    add_warning(info.warning, "recording ended without closing the file: its " + std::to_string(info.n_step) +
                                  " finished steps are all here; `reattend trace repair` makes a copy that any "
                                  "program opens");
  }
}

void TraceReader::State::open(const Dataset& row) {
  auto& opened = datasets[id_of(row)];
  if (opened) return;
  const Extents shape = sizes.shape(row);
  opened = file.open(row, schema::element_of(row.type, info.kv_type),
                     std::span(shape.data(), static_cast<size_t>(row.rank())),
                     row.extendible() || row.shape[0] == schema::text_bytes);
  if (!opened && is_stored(row, info)) {
    fail({.where = info.path.string(),
          .expected = "dataset " + path_of(row),
          .got = "none",
          .remedy = "give a trace written by `reattend record`"});
  }
}

int64_t TraceReader::State::read_committed() {
  const Dataset& row = dataset("steps/committed");
  const int64_t n = read<int64_t>(row, {}, {1, 1, 1, 1}).front();
  constexpr int64_t kMost = 1 << 28;
  if (n < 0 || n > kMost) {
    fail({.where = at(row).where, .expected = "0 to " + std::to_string(kMost), .got = std::to_string(n)});
  }
  return n;
}

/// Every position of every step must have a column.
void TraceReader::State::check_columns() const {
  if (info.maps != Maps::dense && info.maps != Maps::binned) return;
  const int64_t reach = int64_t{info.n_column} * (info.maps == Maps::binned ? info.map_bin : 1);
  if (reach >= info.n_prompt + int64_t{info.n_step}) return;
  fail({.where = info.path.string() + ": attribute n_column",
        .expected = "columns for " + std::to_string(info.n_prompt + int64_t{info.n_step}) + " positions",
        .got = "for " + std::to_string(reach)});
}

const CheckedFile::Opened& TraceReader::State::at(const Dataset& row) const {
  const auto& opened = datasets[id_of(row)];
  if (!opened) {
    fail({.where = info.path.string(),
          .expected = "dataset " + path_of(row),
          .got = "none",
          .remedy = "record again with it"});
  }
  return *opened;
}

uint64_t TraceReader::State::stored_index(int32_t layer) const {
  if (layer < 0 || layer >= info.n_layer) {
    fail_usage({.where = info.path.string() + ": layer",
                .expected = "0 to " + std::to_string(info.n_layer - 1),
                .got = std::to_string(layer)});
  }
  if (info.layers.empty()) return static_cast<uint64_t>(layer);
  const auto found = std::lower_bound(info.layers.begin(), info.layers.end(), layer);
  if (found != info.layers.end() && *found == layer) return static_cast<uint64_t>(found - info.layers.begin());
  if (!info.acts(layer)) {
    fail_usage({.where = info.path.string() + ": layer",
                .expected = "one without a window, on which a policy acts",
                .got = std::to_string(layer) + ", which looks back " +
                       std::to_string(info.windows[static_cast<size_t>(layer)]) + " positions whatever the policy"});
  }
  std::string list;
  for (const int32_t l : info.layers) list += (list.empty() ? "" : ",") + std::to_string(l);
  fail_usage({.where = info.path.string() + ": layer",
              .expected = "one of those recorded (" + list + ")",
              .got = std::to_string(layer),
              .remedy = "name recorded ones with --layers, or record again without --layers"});
}

void TraceReader::State::check_kv_head(int32_t kv_head) const {
  if (kv_head >= 0 && kv_head < info.n_kv_head) return;
  fail_usage({.where = info.path.string() + ": KV head",
              .expected = "0 to " + std::to_string(info.n_kv_head - 1),
              .got = std::to_string(kv_head)});
}

void TraceReader::State::check_step(int32_t t, int32_t first) const {
  if (t >= first && t <= info.n_step) return;
  fail_usage({.where = info.path.string() + ": step",
              .expected = std::to_string(first) + " to " + std::to_string(info.n_step),
              .got = std::to_string(t)});
}

void TraceReader::State::check_id(const Dataset& row, int64_t token) const {
  const auto lowest = static_cast<int64_t>(row.range.low);
  if (token >= lowest && token < info.n_vocab) return;
  fail({.where = at(row).where,
        .expected = "ids from " + std::to_string(lowest) + " to " + std::to_string(info.n_vocab - 1),
        .got = std::to_string(token)});
}

void TraceReader::State::fill_vocab() {
  if (!vocab.empty()) return;
  const auto text = read_all<char>(dataset("vocab/text"));
  const auto offsets = read_all<int64_t>(dataset("vocab/offsets"));
  std::vector<std::string> all;
  all.reserve(offsets.size() - 1);
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const int64_t from = offsets[i], to = offsets[i + 1];
    if (from < 0 || to < from || to > static_cast<int64_t>(text.size())) {
      fail({.where = at(dataset("vocab/offsets")).where,
            .expected = "rising offsets up to " + std::to_string(text.size()),
            .got = std::to_string(from) + ", " + std::to_string(to)});
    }
    all.emplace_back(text.data() + from, static_cast<size_t>(to - from));
  }
  vocab = std::move(all);
}

void TraceReader::State::append_rows(std::vector<std::byte>& out, const Dataset& prompt, const Dataset& steps,
                                     uint64_t layer) const {
  const size_t row = static_cast<size_t>(info.d_head) * bytes_of(at(prompt).element);
  const size_t n_kv_head = static_cast<size_t>(info.n_kv_head), n_position = n_prompt() + n_step();
  out.resize(n_kv_head * n_position * row);
  Extents one = sizes.shape(prompt);
  one[0] = one[1] = 1;
  for (size_t h = 0; h < n_kv_head; ++h) {
    CheckedFile::read(at(prompt), {layer, h, 0, 0}, one,
                      std::span(out).subspan(h * n_position * row, n_prompt() * row));
  }
  const auto decoded = read_layer_steps<std::byte>(steps, layer);
  for (size_t t = 0; t < n_step(); ++t) {
    for (size_t h = 0; h < n_kv_head; ++h) {
      std::memcpy(out.data() + (h * n_position + n_prompt() + t) * row, decoded.data() + (t * n_kv_head + h) * row,
                  row);
    }
  }
}

bool TraceReader::State::refresh() {
  if (!file.marked_open()) return false;
  info.live = file.live();
  file.refresh(*datasets[id_of(dataset("steps/committed"))]);
  const int64_t n = read_committed();
  if (n <= sizes.n_step) return false;
  sizes.n_step = n;
  for (const Dataset& row : schema::kDatasets) {
    auto& opened = datasets[id_of(row)];
    if (!opened || !row.extendible()) continue;
    file.refresh(*opened);
    const uint64_t need = sizes.of(row.shape[0]);
    if (opened->extents[0] < need) {
      fail({.where = opened->where,
            .expected = std::to_string(need) + " rows",
            .got = std::to_string(opened->extents[0])});
    }
  }
  info.n_step = static_cast<int32_t>(n);
  check_columns();
  return true;
}

}  // namespace reattend
