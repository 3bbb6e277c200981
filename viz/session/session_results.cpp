// What the session has to show: answers of the replay, rows, and matrices made of them.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "viz/session/session.h"
#include "viz/session/token_text.h"

namespace reattend::viz {

void Session::take_answer(std::shared_ptr<const AsyncAnswer> answer) {
  answer_ = std::move(answer);
  if (answer_->has_masses) whole_ = answer_;
  if (answer_->layers[static_cast<size_t>(selection_.layer)]) layer_from_ = answer_;
  map_layers(*answer_);
}

/// Layers and means over them of the setting before: who drags a slider sees them follow. What is known of the newest
/// stays.
void Session::take_passing(std::shared_ptr<const AsyncAnswer> passing) {
  if (passing->has_masses && !(answer_ && answer_->has_masses)) whole_ = passing;
  map_layers(*passing);
}

void Session::map_layers(const AsyncAnswer& answer) {
  for (const auto& layer : answer.layers) {
    if (!layer || mapped_[static_cast<size_t>(layer->layer)] == layer) continue;
    if (answer.ticket != answer_->ticket && answer_->layers[static_cast<size_t>(layer->layer)]) continue;
    map_layer(layer->layer, *answer.means[static_cast<size_t>(layer->layer)]);
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

const RowTiles* Session::rows() const {
  return row_tiles_ && row_tiles_->any() ? row_tiles_.get() : nullptr;
}

std::shared_ptr<const PositionMasks> Session::attended_masks() const {
  const auto& found = layer_from_;
  if (!found || !found->masks) return nullptr;
  const bool fits = found->sets_of.layer == selection_.layer && found->sets_of.kv_head == selection_.kv_head;
  return fits ? found->masks : nullptr;
}

HeatMatrix Session::layer_map(LayerMeasure measure) const {
  const std::vector<float>& map = layer_maps_[static_cast<size_t>(measure)];
  const bool any = std::any_of(mapped_.begin(), mapped_.end(), [](const auto& layer) { return layer != nullptr; });
  if (!trace_ || !any) return {};
  return {map.data(), trace_->info.n_layer, trace_->info.n_step, {}, matrix_version_};
}

std::string Session::why_unknown(LayerMeasure measure, int32_t layer) const {
  const TraceInfo& info = trace_->info;
  if (!info.acts(layer)) {
    return fmt::format("the layer looks back {} positions whatever the policy, which loses nothing there",
                       info.windows[static_cast<size_t>(layer)]);
  }
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
  const RowTiles* const tiles = rows();
  const float* const row = tiles != nullptr ? tiles->row_of_step(step) : nullptr;
  if (row == nullptr || position < 0 || position >= tiles->n_weight(step)) return std::nullopt;
  return row[position];
}

std::optional<bool> Session::attended(int32_t step, int32_t position) const {
  const auto masks = attended_masks();
  if (!masks || !masks->holds_step(step) || position < 0 || position >= trace_->info.n_prompt + step) {
    return std::nullopt;
  }
  return masks->holds(step, position);
}

std::string Session::token_text(int32_t position) const {
  if (!trace_ || position < 0 || position >= static_cast<int32_t>(trace_->token_texts.size())) return {};
  return drawable(trace_->token_texts[static_cast<size_t>(position)]);
}

void Session::map_layer(int32_t layer, const HeadMeans& means) {
  ++matrix_version_;
  const auto n_step = static_cast<int64_t>(means.decision.size());
  const std::vector<float>* const rows[kLayerMeasures] = {&means.decision, &means.lost_mass, &means.lost_overlap,
                                                          &means.output_error};
  for (size_t i = 0; i < kLayerMeasures; ++i) std::ranges::copy(*rows[i], layer_maps_[i].begin() + layer * n_step);
}

}  // namespace reattend::viz
