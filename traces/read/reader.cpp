// What a trace is asked for: tokens, measures, one layer's keys and queries, maps, single steps.
#include "traces/read/reader.h"

#include <limits>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "kernels/cpu/ops.h"
#include "traces/parts.h"
#include "traces/read/reader_state.h"

namespace reattend {

using hdf5::Extents;
using schema::Id;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

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

bool TraceReader::has(const schema::Dataset& dataset) const {
  return state_->datasets[static_cast<size_t>(&dataset - schema::kDatasets.data())].has_value();
}

std::vector<int32_t> TraceReader::tokens() {
  hdf5::quiet();
  const auto& s = *state_;
  auto ids = s.read_all<int32_t>(Id::token_ids);
  ids.push_back(s.read<int32_t>(Id::top_ids, {s.n_step(), 0, 0, 0}, {1, 1, 1, 1}).front());
  s.check_ids(Id::token_ids, ids, 0);
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
  d.full = s.read_steps<uint8_t>(Id::decision, 0);
  d.reason = s.read_steps<uint8_t>(Id::reason, 0);
  d.cos_last_full = s.read_steps<float>(Id::cos_last_full, kNan);
  d.cos_prev_pre = s.read_steps<float>(Id::cos_prev_pre, kNan);
  d.cos_prev_post = s.read_steps<float>(Id::cos_prev_post, kNan);
  d.recovered = s.read_steps<float>(Id::recovered, kNan);
  d.oracle = s.read_steps<float>(Id::oracle, kNan);
  d.positions = s.read_steps<int32_t>(Id::positions, -1);
  d.overlap = s.read_steps<float>(Id::overlap, kNan);
  d.top_ids = s.read_all<int32_t>(Id::top_ids);
  d.top_logprobs = s.read_all<float>(Id::top_logprobs);
  d.top_rest = s.read_all<float>(Id::top_rest);
  d.logprob = s.read_all<float>(Id::logprob);
  d.logprob.push_back(d.top_logprobs[s.n_step() * schema::kTop]);
  d.ms = s.read_all<double>(Id::ms);
  d.bytes_weights = s.read_all<int64_t>(Id::bytes_weights);
  d.bytes_attend = s.read_all<int64_t>(Id::bytes_attend);
  d.bytes_select = s.read_all<int64_t>(Id::bytes_select);
  s.check_ids(Id::top_ids, d.top_ids, -1);
  return d;
}

LayerData TraceReader::layer(int32_t layer, bool with_values) {
  hdf5::quiet();
  const auto& s = *state_;
  const hsize_t index = s.stored_index(layer);
  LayerData d{.kv_type = schema::stored_type(s.info.kv_type),
              .n_kv_head = s.info.n_kv_head,
              .n_head = s.info.n_head,
              .d_head = s.info.d_head,
              .n_position = s.info.n_prompt + s.info.n_step,
              .n_step = s.info.n_step};
  s.append_rows(d.keys, Id::prompt_keys, Id::keys, index);
  if (with_values && s.info.has_values) s.append_rows(d.values, Id::prompt_values, Id::values, index);
  const hsize_t last = s.sizes.of(schema::Dim::n_query) - 1;
  d.queries = s.read<float>(Id::prompt_queries, {index, last, 0, 0},
                            {1, 1, static_cast<hsize_t>(d.n_head), static_cast<hsize_t>(d.d_head)});
  const auto decoded = s.read_layer_steps<float>(Id::queries, index);
  d.queries.insert(d.queries.end(), decoded.begin(), decoded.end());
  return d;
}

MapData TraceReader::map(int32_t layer, int32_t kv_head, int32_t first_step, int32_t count) {
  hdf5::quiet();
  const auto& s = *state_;
  const hsize_t index = s.stored_index(layer);
  s.check_kv_head(kv_head);
  if (count < 0) count = std::max(0, s.info.n_step - first_step + 1);
  if (count > 0) s.check_step(first_step, 1), s.check_step(first_step - 1 + count, first_step);
  const auto n_row = static_cast<hsize_t>(count), width = static_cast<hsize_t>(s.info.n_column);
  const Extents start = {static_cast<hsize_t>(std::max(0, first_step - 1)), index, static_cast<hsize_t>(kv_head), 0};
  MapData d{.maps = s.info.maps, .first_step = first_step, .n_row = count};
  switch (d.maps) {
    case Maps::none:
      break;
    case Maps::dense:
      d.n_kept = s.info.n_column;
      d.weights = to_floats(s.read<Half>(Id::map_dense, start, {n_row, 1, 1, width}));
      break;
    case Maps::binned:
      d.n_kept = s.info.n_column;
      d.bin = s.info.map_bin;
      d.weights = s.read<float>(Id::map_binned, start, {n_row, 1, 1, width});
      break;
    case Maps::top: {
      const Extents rows = {n_row, 1, 1, static_cast<hsize_t>(s.info.n_map)};
      d.n_kept = s.info.n_map;
      d.positions = s.read<int32_t>(Id::map_positions, start, rows);
      d.weights = s.read<float>(Id::map_weights, start, rows);
      d.rest = s.read<float>(Id::map_rest, start, {n_row, 1, 1, 1});
      break;
    }
  }
  for (size_t i = 0; i < d.positions.size(); ++i) {
    const auto p = s.info.n_prompt - 1 + first_step + static_cast<int64_t>(i) / d.n_kept;
    if (d.positions[i] >= -1 && d.positions[i] <= p) continue;
    fail({.where = s.at(Id::map_positions).where,
          .expected = "positions up to " + std::to_string(p),
          .got = std::to_string(d.positions[i])});
  }
  return d;
}

std::vector<float> TraceReader::prompt_queries(int32_t layer) {
  hdf5::quiet();
  Extents count = state_->sizes.shape(schema::dataset(Id::prompt_queries));
  count[0] = 1;
  return state_->read<float>(Id::prompt_queries, {state_->stored_index(layer), 0, 0, 0}, count);
}

std::vector<float> TraceReader::prompt_row_sums(int32_t layer) {
  hdf5::quiet();
  Extents count = state_->sizes.shape(schema::dataset(Id::prompt_row_sums));
  count[0] = 1;
  return state_->read<float>(Id::prompt_row_sums, {state_->stored_index(layer), 0, 0, 0}, count);
}

TopTokens TraceReader::top(int32_t t) {
  hdf5::quiet();
  const auto& s = *state_;
  s.check_step(t, 0);
  const auto row = static_cast<hsize_t>(t);
  return {.ids = s.read_row<int32_t>(Id::top_ids, row),
          .logprobs = s.read_row<float>(Id::top_logprobs, row),
          .rest = s.read_row<float>(Id::top_rest, row).front()};
}

StepRecord TraceReader::record(int32_t t) {
  hdf5::quiet();
  const auto& s = *state_;
  s.check_step(t, 1);
  const auto row = static_cast<hsize_t>(t - 1);
  StepRecord r;
  r.token = s.read<int32_t>(Id::token_ids, {s.n_prompt() + row, 0, 0, 0}, {1, 1, 1, 1}).front();
  r.keys = s.read_row<std::byte>(Id::keys, row);
  if (s.info.has_values) r.values = s.read_row<std::byte>(Id::values, row);
  r.queries = s.read_row<float>(Id::queries, row);
  r.logprob = s.read_row<float>(Id::logprob, row).front();
  r.top = top(t);
  if (s.info.maps == Maps::top) {
    r.map_positions = s.read_row<int32_t>(Id::map_positions, row);
    r.map_weights = s.read_row<float>(Id::map_weights, row);
    r.map_rest = s.read_row<float>(Id::map_rest, row);
  }
  if (s.info.maps == Maps::dense) r.map_dense = s.read_row<Half>(Id::map_dense, row);
  if (s.info.maps == Maps::binned) r.map_binned = s.read_row<float>(Id::map_binned, row);
  r.overlap = s.read_row<float>(Id::overlap, row);
  r.decision = s.read_row<uint8_t>(Id::decision, row);
  r.reason = s.read_row<uint8_t>(Id::reason, row);
  r.cos_last_full = s.read_row<float>(Id::cos_last_full, row);
  r.cos_prev_pre = s.read_row<float>(Id::cos_prev_pre, row);
  r.cos_prev_post = s.read_row<float>(Id::cos_prev_post, row);
  r.recovered = s.read_row<float>(Id::recovered, row);
  r.oracle = s.read_row<float>(Id::oracle, row);
  r.positions = s.read_row<int32_t>(Id::positions, row);
  r.ms = s.read_row<double>(Id::ms, row).front();
  r.bytes_weights = s.read_row<int64_t>(Id::bytes_weights, row).front();
  r.bytes_attend = s.read_row<int64_t>(Id::bytes_attend, row).front();
  r.bytes_select = s.read_row<int64_t>(Id::bytes_select, row).front();
  return r;
}

bool TraceReader::refresh() {
  hdf5::quiet();
  return state_->refresh();
}

}  // namespace reattend
