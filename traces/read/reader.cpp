// Reads what a trace is asked for: tokens, measures, one layer's keys and queries, maps, single steps.
#include "traces/read/reader.h"

#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "kernels/cpu/ops.h"
#include "traces/parts.h"
#include "traces/read/reader_state.h"

namespace reattend {

using hdf5::Extents;
using schema::dataset;
using schema::Dataset;

namespace {

std::vector<float> to_floats(const std::vector<Half>& halves) {
  std::vector<float> out(halves.size());
  constexpr size_t kAtOnce = size_t{1} << 30;
  for (size_t i = 0; i < halves.size(); i += kAtOnce) {
    const auto n = static_cast<int32_t>(std::min(kAtOnce, halves.size() - i));
    Cpu::load_kv(halves.data() + i, n, KvType::f16, out.data() + i);
  }
  return out;
}

}  // namespace

std::shared_ptr<TraceReader> TraceReader::open(const std::filesystem::path& path) {
  hdf5::quiet();
  try {
    return std::shared_ptr<TraceReader>(new TraceReader(std::make_unique<State>(path)));
  } catch (const Error& error) {
    // Structure that no flush has completed looks like damage.
    if (!is_part(path) || !std::filesystem::exists(path)) throw;
    throw Error(std::string(error.what()) + "; it is " + part_text(path), error.code());
  }
}

TraceReader::TraceReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TraceReader::~TraceReader() = default;
const TraceInfo& TraceReader::info() const {
  return state_->info;
}

bool TraceReader::has(const Dataset& row) const {
  return state_->has(row);
}

std::vector<int32_t> TraceReader::tokens() {
  hdf5::quiet();
  const auto& s = *state_;
  const Dataset& row = dataset("tokens/ids");
  auto ids = s.read_all<int32_t>(row);
  ids.push_back(s.read<int32_t>(dataset("steps/top_ids"), {s.n_step(), 0, 0, 0}, {1, 1, 1, 1}).front());
  s.check_ids(row, ids);
  return ids;
}

const std::string& TraceReader::token_text(int32_t id) {
  hdf5::quiet();
  auto& s = *state_;
  s.fill_vocab();
  if (id < 0 || id >= s.info.n_vocab) {
    fail({.where = s.info.path.string() + ": token",
          .expected = "ids below " + std::to_string(s.info.n_vocab),
          .got = std::to_string(id)});
  }
  return s.vocab[static_cast<size_t>(id)];
}

std::vector<std::string> TraceReader::token_texts() {
  std::vector<std::string> texts;
  for (const int32_t id : tokens()) texts.push_back(token_text(id));
  return texts;
}

StepData TraceReader::steps() {
  hdf5::quiet();
  const auto& s = *state_;
  StepData d;
  schema::for_each_column([&](const Dataset& row, auto column) {
    if (row.is_bulk() || !s.has(row)) return;
    d.*column = s.read_steps<schema::ElementOf<decltype(column)>>(row);
    s.check_ids(row, d.*column);
  });
  d.logprob.push_back(d.top_logprobs[s.n_step() * schema::kTop]);
  return d;
}

LayerData TraceReader::layer(int32_t layer, bool with_values) {
  hdf5::quiet();
  const auto& s = *state_;
  const uint64_t index = s.stored_index(layer);
  LayerData d{.kv_type = schema::stored_type(s.info.kv_type),
              .n_kv_head = s.info.n_kv_head,
              .n_head = s.info.n_head,
              .d_head = s.info.d_head,
              .n_position = s.info.n_prompt + s.info.n_step,
              .n_step = s.info.n_step};
  s.append_rows(d.keys, dataset("prompt/keys"), dataset("steps/keys"), index);
  if (with_values && s.info.has_values) {
    s.append_rows(d.values, dataset("prompt/values"), dataset("steps/values"), index);
  }
  const uint64_t last = s.sizes.of(schema::Dim::n_query) - 1;
  d.queries = s.read<float>(dataset("prompt/queries"), {index, last, 0, 0},
                            {1, 1, static_cast<uint64_t>(d.n_head), static_cast<uint64_t>(d.d_head)});
  const auto decoded = s.read_layer_steps<float>(dataset("steps/queries"), index);
  d.queries.insert(d.queries.end(), decoded.begin(), decoded.end());
  return d;
}

MapData TraceReader::map(int32_t layer, int32_t kv_head, int32_t first_step, int32_t count) {
  hdf5::quiet();
  const auto& s = *state_;
  const uint64_t index = s.stored_index(layer);
  s.check_kv_head(kv_head);
  if (count < 0) count = std::max(0, s.info.n_step - first_step + 1);
  if (count > 0) s.check_step(first_step, 1), s.check_step(first_step - 1 + count, first_step);
  const auto n_row = static_cast<uint64_t>(count), width = static_cast<uint64_t>(s.info.n_column);
  const Extents start = {static_cast<uint64_t>(std::max(0, first_step - 1)), index, static_cast<uint64_t>(kv_head), 0};
  MapData d{.maps = s.info.maps, .first_step = first_step, .n_row = count};
  switch (d.maps) {
    case Maps::none:
      break;
    case Maps::dense:
      d.n_kept = s.info.n_column;
      d.weights = to_floats(s.read<Half>(dataset("steps/map_dense"), start, {n_row, 1, 1, width}));
      break;
    case Maps::binned:
      d.n_kept = s.info.n_column;
      d.bin = s.info.map_bin;
      d.weights = s.read<float>(dataset("steps/map_binned"), start, {n_row, 1, 1, width});
      break;
    case Maps::top: {
      const Extents rows = {n_row, 1, 1, static_cast<uint64_t>(s.info.n_map)};
      d.n_kept = s.info.n_map;
      d.positions = s.read<int32_t>(dataset("steps/map_positions"), start, rows);
      d.weights = s.read<float>(dataset("steps/map_weights"), start, rows);
      d.rest = s.read<float>(dataset("steps/map_rest"), start, {n_row, 1, 1, 1});
      break;
    }
  }
  for (size_t i = 0; i < d.positions.size(); ++i) {
    const auto p = s.info.n_prompt - 1 + first_step + static_cast<int64_t>(i) / d.n_kept;
    if (d.positions[i] >= -1 && d.positions[i] <= p) continue;
    fail({.where = s.at(dataset("steps/map_positions")).where,
          .expected = "positions up to " + std::to_string(p),
          .got = std::to_string(d.positions[i])});
  }
  return d;
}

std::vector<float> TraceReader::prompt_queries(int32_t layer) {
  hdf5::quiet();
  return state_->read_row<float>(dataset("prompt/queries"), state_->stored_index(layer));
}

std::vector<float> TraceReader::prompt_row_sums(int32_t layer) {
  hdf5::quiet();
  return state_->read_row<float>(dataset("prompt/row_sums"), state_->stored_index(layer));
}

StepData TraceReader::record(int32_t t) {
  hdf5::quiet();
  const auto& s = *state_;
  s.check_step(t, 0);
  StepData d;
  schema::for_each_column([&](const Dataset& row, auto column) {
    if (!s.has(row) || (t == 0 && row.shape[0] != schema::steps_and_0)) return;
    d.*column = s.read_row<schema::ElementOf<decltype(column)>>(row, s.sizes.row_of(row, t));
    s.check_ids(row, d.*column);
  });
  return d;
}

bool TraceReader::refresh() {
  hdf5::quiet();
  return state_->refresh();
}

}  // namespace reattend
