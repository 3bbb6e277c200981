// Turns changes of setting and selection into requests, and their results into matrices to draw.
#include "viz/session/session.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "base/error.h"
#include "viz/session/token_text.h"

namespace reattend::viz {

void Session::open(const std::filesystem::path& path) {
  path_ = path;
  open_error_.clear();
  replay_error_.clear();
  trace_.reset(), layer_.reset(), all_.reset(), rows_.reset();
  for (auto& map : layer_maps_) map.clear();
  worker_.open(path);
}

void Session::update() {
  Results results = worker_.take();
  for (const Failure& failure : results.failures) {
    (failure.task == Task::open ? open_error_ : replay_error_) = failure.message;
  }
  if (results.trace) take_trace(std::move(results.trace));
  const bool marks_change = results.layer || results.rows;
  if (results.layer) layer_ = std::move(results.layer), replay_error_.clear();
  if (results.rows) rows_ = std::move(results.rows);
  if (results.all) {
    all_ = std::move(results.all);
    make_layer_maps();
  }
  if (marks_change && rows() != nullptr) mark_attention(*rows());
}

void Session::take_trace(std::shared_ptr<const OpenedTrace> trace) {
  trace_ = std::move(trace);
  ++trace_version_;
  const TraceInfo& info = trace_->info;
  // The first layers attend to nearly everything: the middle shows what the program is about.
  selection_ = {.layer = info.n_layer / 2, .kv_head = 0, .step = std::max(1, info.n_step), .position = -1};
  settings_ = initial_settings_;
  if (info.n_step == 0) return;
  const auto start = [this](const char* name, int32_t value, int32_t low, int32_t high, int32_t& selected) {
    if (value < 0) return;
    if (value < low || value > high) {
      open_error_ = to_line({name, fmt::format("{} to {}", low, high), std::to_string(value), "see the Trace panel"});
      return;
    }
    selected = value;
  };
  start("layer", start_.layer, 0, info.n_layer - 1, selection_.layer);
  start("KV head", start_.kv_head, 0, info.n_kv_head - 1, selection_.kv_head);
  start("step", start_.step, 1, info.n_step, selection_.step);
  start("position", start_.position, 0, info.n_prompt + info.n_step - 1, selection_.position);
  set_settings(settings_);
  ask_for_rows();
}

void Session::set_settings(const Settings& settings) {
  settings_ = settings;
  replay_error_.clear();
  if (!trace_ || trace_->info.n_step == 0) return;
  try {
    settings_.check_against_model(trace_->info.n_layer);
  } catch (const Error& error) {
    replay_error_ = error.what();
    return;
  }
  worker_.replay_layer(settings_, selection_.layer);
  worker_.replay_all(settings_);
}

void Session::ask_for_rows() {
  rows_.reset();
  marked_.clear();
  worker_.rows(selection_.layer, selection_.kv_head, std::max(1, selection_.step - 1));
}

void Session::select_layer(int32_t layer) {
  if (!trace_ || trace_->info.n_step == 0) return;
  layer = std::clamp(layer, 0, trace_->info.n_layer - 1);
  if (layer == selection_.layer) return;
  selection_.layer = layer;
  worker_.replay_layer(settings_, layer);
  ask_for_rows();
}

void Session::select_kv_head(int32_t kv_head) {
  if (!trace_ || trace_->info.n_step == 0) return;
  kv_head = std::clamp(kv_head, 0, trace_->info.n_kv_head - 1);
  if (kv_head == selection_.kv_head) return;
  selection_.kv_head = kv_head;
  ask_for_rows();
}

void Session::select_step(int32_t step) {
  if (!trace_ || trace_->info.n_step == 0) return;
  selection_.step = std::clamp(step, 1, trace_->info.n_step);
  if (rows() != nullptr && !rows()->holds(selection_.step)) ask_for_rows();
}

void Session::select_position(int32_t position) {
  if (!trace_) return;
  selection_.position = std::clamp(position, -1, trace_->info.n_prompt + trace_->info.n_step - 1);
}

void Session::go_to_full_step(int direction) {
  const LayerReplay* replay = layer();
  if (replay == nullptr) return;
  const int32_t n_kv_head = trace_->info.n_kv_head;
  for (int32_t t = selection_.step + direction; t >= 1 && t <= trace_->info.n_step; t += direction) {
    if (replay->full[static_cast<size_t>((t - 1) * n_kv_head + selection_.kv_head)] != 0) return select_step(t);
  }
}

const LayerReplay* Session::layer() const {
  const bool fits = trace_ && layer_ && !layer_->layers.empty() && layer_->layers[0].layer == selection_.layer;
  return fits ? &layer_->layers[0] : nullptr;
}

const ReplaySummary* Session::layer_summary() const {
  return layer() != nullptr && !layer_->per_layer.empty() ? layer_->per_layer.data() : nullptr;
}

const RowMatrix* Session::rows() const {
  const bool fits = trace_ && rows_ && rows_->layer == selection_.layer && rows_->kv_head == selection_.kv_head;
  return fits ? rows_.get() : nullptr;
}

HeatMatrix Session::attention(bool marked) const {
  const RowMatrix* matrix = rows();
  if (matrix == nullptr) return {};
  const float* values = marked && !marked_.empty() ? marked_.data() : matrix->weights.data();
  return {values, matrix->n_row, matrix->n_position, row_end_, matrix_version_};
}

HeatMatrix Session::layer_map(LayerMeasure measure) const {
  const std::vector<float>& map = layer_maps_[static_cast<size_t>(measure)];
  if (!trace_ || map.empty()) return {};
  return {map.data(), trace_->info.n_layer, trace_->info.n_step, {}, matrix_version_};
}

std::optional<float> Session::weight(int32_t step, int32_t position) const {
  const RowMatrix* matrix = rows();
  if (matrix == nullptr || !matrix->holds(step) || position < 0 ||
      position >= matrix->n_weight(step - matrix->first_step)) {
    return std::nullopt;
  }
  return matrix->row_of_step(step)[position];
}

std::optional<bool> Session::attended(int32_t step, int32_t position) const {
  const LayerReplay* replay = layer();
  if (replay == nullptr || replay->sets.empty() || step < 1 || step > trace_->info.n_step) return std::nullopt;
  const auto& set = replay->sets[static_cast<size_t>((step - 1) * trace_->info.n_kv_head + selection_.kv_head)];
  return std::binary_search(set.begin(), set.end(), position);
}

std::string Session::token_text(int32_t position) const {
  if (!trace_ || position < 0 || position >= static_cast<int32_t>(trace_->token_texts.size())) return {};
  return visible(trace_->token_texts[static_cast<size_t>(position)]);
}

void Session::mark_attention(const RowMatrix& matrix) {
  ++matrix_version_;
  row_end_.clear();
  for (int32_t i = 0; i < matrix.n_row; ++i) row_end_.push_back(matrix.n_weight(i));
  marked_.clear();
  const LayerReplay* replay = layer();
  if (replay == nullptr || replay->sets.empty()) return;
  marked_.resize(matrix.weights.size());
  std::transform(matrix.weights.begin(), matrix.weights.end(), marked_.begin(), std::negate<float>());
  for (int32_t i = 0; i < matrix.n_row; ++i) {
    float* const row = marked_.data() + int64_t{i} * matrix.n_position;
    const auto index = (matrix.first_step + i - 1) * trace_->info.n_kv_head + selection_.kv_head;
    for (const int32_t j : replay->sets[static_cast<size_t>(index)]) {
      if (j >= 0 && j < row_end_[static_cast<size_t>(i)]) row[j] = std::abs(row[j]);
    }
  }
}

void Session::make_layer_maps() {
  const TraceInfo& info = trace_->info;
  ++matrix_version_;
  for (auto& map : layer_maps_) map.assign(static_cast<size_t>(info.n_layer) * static_cast<size_t>(info.n_step), 0.0F);
  for (const LayerReplay& replay : all_->layers) {
    if (replay.layer < 0 || replay.layer >= info.n_layer) continue;
    for (int32_t s = 0; s < info.n_step; ++s) {
      const auto mean = [s](const auto& array, int32_t n_head, auto measure) {
        float sum = 0;
        for (int32_t h = 0; h < n_head && !array.empty(); ++h) sum += measure(static_cast<size_t>(s * n_head + h));
        return sum / static_cast<float>(n_head);
      };
      const size_t cell = static_cast<size_t>(replay.layer) * static_cast<size_t>(info.n_step) + static_cast<size_t>(s);
      const auto set = [&](LayerMeasure measure, float value) {
        layer_maps_[static_cast<size_t>(measure)][cell] = std::isnan(value) ? 0 : value;
      };
      set(LayerMeasure::decision,
          mean(replay.full, info.n_kv_head, [&](size_t i) { return static_cast<float>(replay.full[i]); }));
      set(LayerMeasure::lost_mass,
          mean(replay.recovered, info.n_kv_head, [&](size_t i) { return 1 - replay.recovered[i]; }));
      set(LayerMeasure::lost_overlap,
          mean(replay.overlap, info.n_kv_head, [&](size_t i) { return 1 - replay.overlap[i]; }));
      set(LayerMeasure::output_error,
          mean(replay.output_error, info.n_head, [&](size_t i) { return replay.output_error[i]; }));
    }
  }
}

}  // namespace reattend::viz
