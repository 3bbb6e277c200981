// What the session has to show: answers of the replay, rows, and matrices made of them.
#include <algorithm>
#include <cmath>
#include <functional>

#include "base/statistics.h"
#include "viz/session/session.h"
#include "viz/session/token_text.h"

namespace reattend::viz {

void Session::take_answer(std::shared_ptr<const AsyncAnswer> answer) {
  answer_ = std::move(answer);
  if (answer_->has_masses) whole_ = answer_;
  if (answer_->layers[static_cast<size_t>(selection_.layer)]) layer_from_ = answer_;
  for (const auto& layer : answer_->layers) {
    if (!layer || mapped_[static_cast<size_t>(layer->layer)] == layer) continue;
    map_layer(*layer);
    mapped_[static_cast<size_t>(layer->layer)] = layer;
  }
}

void Session::show_instead(const std::shared_ptr<const AsyncAnswer>& other) {
  if (!trial_) trial_ = std::make_unique<Trial>(Trial{settings_, setting_error_, answer_, whole_});
  settings_ = other->settings;
  setting_error_.clear();
  take_answer(other);
}

void Session::show_trial() {
  if (!trial_) return;
  const std::unique_ptr<Trial> trial = std::move(trial_);
  settings_ = trial->settings, setting_error_ = trial->setting_error;
  whole_ = trial->whole;
  if (trial->answer) take_answer(trial->answer);
}

const LayerReplay* Session::layer() const {
  return layer_from_ ? layer_from_->layers[static_cast<size_t>(selection_.layer)].get() : nullptr;
}

const ReplaySummary* Session::layer_summary() const {
  return layer() != nullptr ? &layer_from_->per_layer[static_cast<size_t>(selection_.layer)] : nullptr;
}

bool Session::layer_is_current() const {
  return layer() != nullptr && setting_error_.empty() && layer_from_->settings == settings_;
}

const ReplaySummary* Session::total() const {
  return whole_ ? &whole_->total : nullptr;
}

bool Session::total_is_current() const {
  return whole_ && setting_error_.empty() && whole_->settings == settings_;
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
  const bool any = std::any_of(mapped_.begin(), mapped_.end(), [](const auto& layer) { return layer != nullptr; });
  if (!trace_ || !any) return {};
  return {map.data(), trace_->info.n_layer, trace_->info.n_step, {}, matrix_version_};
}

std::string Session::why_unknown(LayerMeasure measure, int32_t layer) const {
  const TraceInfo& info = trace_->info;
  if (!info.layers.empty() && !std::binary_search(info.layers.begin(), info.layers.end(), layer)) {
    return "the trace does not store this layer";
  }
  const auto& replay = mapped_[static_cast<size_t>(layer)];
  if (!replay) return "not replayed yet";
  if (measure == LayerMeasure::lost_overlap)
    return "the policy keeps no set that could be held against the step's best";
  if (measure != LayerMeasure::output_error) return "no value";
  return info.has_values ? "not computed yet" : "the trace has no values";
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
  if (!layer_from_) return std::nullopt;
  const std::vector<int32_t>* set = layer_from_->set_of(selection_.layer, selection_.kv_head, step);
  if (set == nullptr) return std::nullopt;
  return std::binary_search(set->begin(), set->end(), position);
}

std::string Session::token_text(int32_t position) const {
  if (!trace_ || position < 0 || position >= static_cast<int32_t>(trace_->token_texts.size())) return {};
  return drawable(trace_->token_texts[static_cast<size_t>(position)]);
}

void Session::mark_attention(const RowMatrix& matrix) {
  const std::pair<const void*, const void*> of = {&matrix, layer_from_ ? layer_from_->sets.get() : nullptr};
  if (marked_of_ == of) return;
  marked_of_ = of;
  ++matrix_version_;
  row_end_.clear();
  for (int32_t i = 0; i < matrix.n_row; ++i) row_end_.push_back(matrix.n_weight(i));
  const auto set_of = [&](int32_t t) {
    return layer_from_ ? layer_from_->set_of(matrix.layer, matrix.kv_head, t) : nullptr;
  };
  marked_.clear();
  if (set_of(matrix.first_step) == nullptr || set_of(matrix.steps().last) == nullptr) return;
  marked_.resize(matrix.weights.size());
  std::transform(matrix.weights.begin(), matrix.weights.end(), marked_.begin(), std::negate<float>());
  for (int32_t i = 0; i < matrix.n_row; ++i) {
    float* const row = marked_.data() + int64_t{i} * matrix.n_position;
    for (const int32_t j : *set_of(matrix.first_step + i)) {
      if (j >= 0 && j < row_end_[static_cast<size_t>(i)]) row[j] = std::abs(row[j]);
    }
  }
}

void Session::map_layer(const LayerReplay& replay) {
  const TraceInfo& info = trace_->info;
  ++matrix_version_;
  const auto n_kv = static_cast<size_t>(info.n_kv_head), n_head = static_cast<size_t>(info.n_head);
  for (int32_t s = 0; s < info.n_step; ++s) {
    const size_t cell = static_cast<size_t>(replay.layer) * static_cast<size_t>(info.n_step) + static_cast<size_t>(s);
    const size_t kv = static_cast<size_t>(s) * n_kv, head = static_cast<size_t>(s) * n_head;
    const auto set = [&](LayerMeasure measure, int32_t n, const auto& value) {
      Mean mean;  // over the heads of a step
      for (int32_t h = 0; h < n; ++h) mean.add(value(h));
      layer_maps_[static_cast<size_t>(measure)][cell] = static_cast<float>(mean.value());
    };
    set(LayerMeasure::decision, info.n_kv_head, [&](int32_t g) { return static_cast<float>(replay.full[kv + g]); });
    set(LayerMeasure::lost_mass, info.n_kv_head, [&](int32_t g) { return 1 - replay.recovered[kv + g]; });
    set(LayerMeasure::lost_overlap, info.n_kv_head, [&](int32_t g) { return 1 - replay.overlap[kv + g]; });
    set(LayerMeasure::output_error, replay.output_error.empty() ? 0 : info.n_head,
        [&](int32_t h) { return replay.output_error[head + h]; });
  }
}

}  // namespace reattend::viz
