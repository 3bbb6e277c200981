// Sinks, a local window and a few places that attract attention for a while, normalised to a softmax row's sum.
#include "synthetic_source.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>

namespace reattend::viz::testing {
namespace {

double raw_weight(const SyntheticShape& shape, int32_t layer, int32_t kv_head, int32_t t, int32_t j) {
  const int32_t p = shape.n_prompt - 1 + t;
  double w = 1e-3 * (1 + 0.5 * std::sin(0.37 * j + layer));
  if (j < 2) w += 4 - j;
  w += 0.6 * std::exp(-0.12 * (p - j));
  const int32_t place = (37 * (t / 12 + 1) * (layer + 2) + 91 * kv_head) % shape.n_prompt;
  if (std::abs(j - place) < 3) w += 0.8;
  if (j % 53 == (layer * 7 + kv_head) % 53) w += 0.03;
  return w;
}

std::vector<float> make_row(const SyntheticShape& shape, int32_t layer, int32_t kv_head, int32_t t) {
  std::vector<double> raw;
  for (int32_t j = 0; j < shape.n_prompt + t; ++j) raw.push_back(raw_weight(shape, layer, kv_head, t, j));
  const double sum = std::accumulate(raw.begin(), raw.end(), 0.0);
  std::vector<float> row;
  for (const double w : raw) row.push_back(static_cast<float>(w / sum));
  return row;
}

std::vector<int32_t> strongest(const std::vector<float>& row, size_t k) {
  std::vector<int32_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row[size_t(a)] > row[size_t(b)]; });
  order.resize(std::min(k, order.size()));
  return order;
}

class SyntheticSource : public ViewSource {
 public:
  SyntheticSource(const SyntheticShape& shape, std::shared_ptr<Stage> stage) : shape_(shape), stage_(std::move(stage)) {
    info_.n_layer = shape.n_layer, info_.n_head = shape.n_head, info_.n_kv_head = shape.n_kv_head;
    info_.d_head = 64, info_.n_vocab = 1000, info_.n_prompt = shape.n_prompt, info_.n_step = shape.n_step;
    info_.calibration = {
        .weights_ms = 3, .stream_gbps = 40, .attend_stream_gbps = 30, .attend_gather_gbps = 20, .score_gbps = 25};
    info_.attributes = {{"model", "synthetic"}, {"version", "1.0"}};
  }

  const TraceInfo& info() const override { return info_; }
  std::vector<std::string> token_texts() override {
    std::vector<std::string> texts;
    for (int32_t i = 0; i <= shape_.n_prompt + shape_.n_step; ++i) texts.push_back(synthetic_token(i));
    return texts;
  }
  StepData steps() override {
    StepData steps;
    steps.logprob.assign(static_cast<size_t>(shape_.n_step) + 1, -1.5F);
    steps.ms.assign(static_cast<size_t>(shape_.n_step), 7.0);
    return steps;
  }
  std::vector<float> row(int32_t layer, int32_t kv_head, int32_t t) override {
    return make_row(shape_, layer, kv_head, t);
  }
  ReplayResult replay(const ReplayRequest& request, const ProgressFn&, const Cancel& cancel) override;

 private:
  LayerReplay replay_layer(const ReplayRequest& request, int32_t layer, const Cancel& cancel);

  const SyntheticShape shape_;
  const std::shared_ptr<Stage> stage_;
  TraceInfo info_;
};

LayerReplay SyntheticSource::replay_layer(const ReplayRequest& request, int32_t layer, const Cancel& cancel) {
  LayerReplay out;
  out.layer = layer;
  const Settings& settings = request.settings;
  const bool recycled = settings.policy() == "recycled";
  const auto k = static_cast<size_t>(settings.policy() == "full" ? 1 << 20
                                     : settings.is_auto("K")     ? 64
                                                                 : settings.count("K", layer, shape_.n_prompt));
  for (int32_t h = 0; h < shape_.n_kv_head; ++h) {
    cancel.check();
    std::vector<int32_t> kept = strongest(make_row(shape_, layer, h, 0), k);
    int32_t last_full = 0;
    for (int32_t t = 1; t <= shape_.n_step; ++t) {
      const size_t cell = static_cast<size_t>((t - 1) * shape_.n_kv_head + h);
      const size_t n = static_cast<size_t>(shape_.n_step * shape_.n_kv_head);
      if (h == 0 && t == 1) {
        out.full.resize(n), out.cos.resize(n), out.positions.resize(n), out.recovered.resize(n), out.oracle.resize(n);
        out.overlap.resize(n), out.jaccard.resize(n), out.sets.resize(request.keep_sets ? n : 0);
        out.output_error.resize(static_cast<size_t>(shape_.n_step * shape_.n_head));
      }
      const std::vector<float> row = make_row(shape_, layer, h, t);
      const float similarity = synthetic_similarity(layer, t, t - last_full);
      bool full = settings.policy() == "full";
      if (recycled) {
        const auto stride = settings.count_or_never("S", layer);
        full = stride && t % *stride == 0;
        if (settings.choice("schedule") == "query") full = full && !(similarity > settings.real("threshold", layer));
      }
      std::vector<int32_t> set = kept;
      for (int32_t j = shape_.n_prompt + last_full; j < shape_.n_prompt + t; ++j) set.push_back(j);
      if (full) {
        set.resize(row.size());
        std::iota(set.begin(), set.end(), 0);
      }
      std::sort(set.begin(), set.end());
      set.erase(std::unique(set.begin(), set.end()), set.end());
      const auto mass = [&row](const std::vector<int32_t>& positions) {
        return std::accumulate(positions.begin(), positions.end(), 0.0F,
                               [&](float sum, int32_t j) { return sum + row[size_t(j)]; });
      };
      out.full[cell] = full ? 1 : 0;
      out.cos[cell] = recycled ? similarity : std::numeric_limits<float>::quiet_NaN();
      out.positions[cell] = static_cast<int32_t>(set.size());
      out.recovered[cell] = mass(set);
      out.oracle[cell] = mass(strongest(row, set.size()));
      out.overlap[cell] = out.jaccard[cell] = full ? 1 : 0.9F - 0.01F * static_cast<float>(t - last_full);
      const int32_t group = shape_.n_head / shape_.n_kv_head;
      for (int32_t g = 0; g < group; ++g) {
        out.output_error[static_cast<size_t>((t - 1) * shape_.n_head + h * group + g)] = 1 - out.recovered[cell];
      }
      if (request.keep_sets) out.sets[cell] = set;
      if (full) last_full = t, kept = strongest(row, k);
    }
  }
  return out;
}

ReplayResult SyntheticSource::replay(const ReplayRequest& request, const ProgressFn&, const Cancel& cancel) {
  stage_->begin_replay(request.settings, cancel);
  ReplayResult result;
  result.settings = request.settings;
  std::vector<int32_t> layers = request.layers;
  for (int32_t l = 0; request.layers.empty() && l < shape_.n_layer; ++l) layers.push_back(l);
  for (const int32_t layer : layers) {
    result.layers.push_back(replay_layer(request, layer, cancel));
    const LayerReplay& replay = result.layers.back();
    const auto mean = [](const auto& array) {
      return std::accumulate(array.begin(), array.end(), 0.0) / static_cast<double>(array.size());
    };
    ReplaySummary summary;
    summary.recovered = mean(replay.recovered), summary.oracle = mean(replay.oracle);
    summary.normalised = summary.recovered / summary.oracle, summary.lost = 1 - summary.recovered;
    summary.overlap = mean(replay.overlap);
    summary.output_error_mean = mean(replay.output_error), summary.output_error_p95 = 2 * summary.output_error_mean;
    summary.effective_stride = 1 / mean(replay.full), summary.positions = mean(replay.positions);
    result.per_layer.push_back(summary);
  }
  for (const ReplaySummary& layer : result.per_layer) {
    result.total.recovered += layer.recovered / static_cast<double>(layers.size());
    result.total.positions += layer.positions / static_cast<double>(layers.size());
  }
  result.total.ms_per_token = request.layers.empty() ? 3 + 0.01 * result.total.positions : 0;
  result.total.ms_per_token_full = 3 + 0.01 * (shape_.n_prompt + shape_.n_step / 2.0);
  return result;
}

}  // namespace

void Stage::hold_replays(bool hold) {
  const std::lock_guard lock(mutex_);
  hold_ = hold;
  changed_.notify_all();
}

void Stage::await_held_replay() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return held_; });
}

void Stage::begin_replay(const Settings& settings, const Cancel& cancel) {
  std::unique_lock lock(mutex_);
  begun_.push_back(settings);
  held_ = hold_;
  changed_.notify_all();
  while (hold_ && !cancel.raised()) changed_.wait_for(lock, std::chrono::milliseconds(1));
  held_ = false;
  cancel.check();
}

std::vector<Settings> Stage::begun() const {
  const std::lock_guard lock(mutex_);
  return begun_;
}

float synthetic_weight(const SyntheticShape& shape, int32_t layer, int32_t kv_head, int32_t t, int32_t position) {
  return make_row(shape, layer, kv_head, t)[static_cast<size_t>(position)];
}

float synthetic_similarity(int32_t layer, int32_t t, int32_t age) {
  return static_cast<float>(0.99 - 0.012 * std::min(age, 20) + 0.02 * std::sin(0.9 * t + layer));
}

std::string synthetic_token(int32_t position) {
  static const char* const kWords[] = {" the", " lamp",    " was", " lit", ",",      " and",
                                       " sea", " h\u00e9", "llo",  ".\n",  " \u5149"};
  return position % 11 == 0 ? " w" + std::to_string(position) : kWords[position % 11];
}

OpenSource synthetic_source(const SyntheticShape& shape, std::shared_ptr<Stage> stage) {
  return [shape, stage](const std::filesystem::path&) -> std::unique_ptr<ViewSource> {
    return std::make_unique<SyntheticSource>(shape, stage);
  };
}

}  // namespace reattend::viz::testing
