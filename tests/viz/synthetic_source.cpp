// Sinks, a local window and a few places that attract attention for a while. Keys are the unit vectors, so that channel
// j of a query alone decides how much position j gets.
#include "synthetic_source.h"

#include <cmath>
#include <cstring>
#include <numeric>

namespace reattend::viz::testing {
namespace {

constexpr double kLeast = 1e-3;

double raw_weight(const SyntheticShape& shape, int32_t layer, int32_t kv_head, int32_t t, int32_t j) {
  const int32_t p = shape.n_prompt - 1 + t;
  double w = kLeast * (1 + 0.5 * std::sin(0.37 * j + layer));
  if (j < 2) w += 4 - j;
  w += 0.6 * std::exp(-0.12 * (p - j));
  const int32_t place = (37 * (t / 12 + 1) * (layer + 2) + 91 * kv_head) % shape.n_prompt;
  if (std::abs(j - place) < 3) w += 0.8;
  if (j % 53 == (layer * 7 + kv_head) % 53) w += 0.03;
  return w;
}

class SyntheticSource final : public ReplaySource {
 public:
  SyntheticSource(const SyntheticShape& shape, std::shared_ptr<Stage> stage) : shape_(shape), stage_(std::move(stage)) {
    info_.path = shape.path, info_.settings = shape.recorded;
    info_.n_layer = shape.n_layer, info_.n_head = shape.n_head, info_.n_kv_head = shape.n_kv_head;
    info_.n_vocab = 1000, info_.n_prompt = shape.n_prompt, info_.n_step = shape.n_step;
    info_.d_head = (shape.n_prompt + shape.n_step + 15) / 16 * 16;  // a channel for every position
    info_.kv_type = KvType::f32, info_.has_values = shape.values, info_.has_prompt_row_sums = true;
    info_.layers = shape.layers;
    info_.windows = shape.windows;
    if (info_.n_acting() < info_.n_layer) info_.layers = info_.acting_layers();
    // So slow that queries are the same before and after RoPE.
    info_.rope = {.base = 10000, .d_head = info_.d_head, .factors = {}};
    info_.rope.factors.assign(static_cast<size_t>(info_.d_head) / 2, 1e12F);
    if (shape.calibrated) {
      info_.calibration = {
          .weights_ms = 3, .stream_gbps = 40, .attend_stream_gbps = 30, .attend_gather_gbps = 20, .score_gbps = 25};
    }
    info_.attributes = {{"model", "synthetic"}, {"version", "1.0"}};
    info_.model_sha256 = shape.sha256;
    if (!shape.sha256.empty()) info_.attributes["model_sha256"] = shape.sha256;
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
  LayerData layer(int32_t layer) override;
  std::vector<float> prompt_queries(int32_t layer) override {
    const int32_t n = std::min(64, shape_.n_prompt);
    std::vector<float> queries(static_cast<size_t>(n) * width(), 0.0F);
    add_query(layer, 0, queries.data() + queries.size() - width());
    return queries;
  }
  std::vector<float> prompt_row_sums(int32_t) override {
    return std::vector<float>(static_cast<size_t>(shape_.n_head) * static_cast<size_t>(shape_.n_prompt), 1.0F);
  }
  MapData map(int32_t, int32_t) override { return {}; }

 private:
  size_t width() const { return static_cast<size_t>(shape_.n_head) * static_cast<size_t>(info_.d_head); }
  void add_query(int32_t layer, int32_t t, float* out /*[n_head][d_head]*/) const;

  const SyntheticShape shape_;
  const std::shared_ptr<Stage> stage_;
  TraceInfo info_;
};

void SyntheticSource::add_query(int32_t layer, int32_t t, float* out) const {
  for (int32_t h = 0; h < shape_.n_head; ++h) {
    float* const query = out + int64_t{h} * info_.d_head;
    for (int32_t j = 0; j < shape_.n_prompt + t; ++j) {
      const double w = raw_weight(shape_, layer, h / info_.group(), t, j);
      query[j] = static_cast<float>(std::log(w / kLeast) * std::sqrt(info_.d_head));
    }
  }
}

LayerData SyntheticSource::layer(int32_t layer) {
  stage_->pass();
  const int32_t n_position = shape_.n_prompt + shape_.n_step;
  LayerData out{.kv_type = KvType::f32,
                .n_kv_head = shape_.n_kv_head,
                .n_head = shape_.n_head,
                .d_head = info_.d_head,
                .n_position = n_position,
                .n_step = shape_.n_step};
  const auto n_row = static_cast<size_t>(shape_.n_kv_head) * static_cast<size_t>(n_position);
  const auto d = static_cast<size_t>(info_.d_head);
  std::vector<float> keys(n_row * d, 0.0F), values(n_row * d);
  for (size_t row = 0; row < n_row; ++row) keys[row * d + row % static_cast<size_t>(n_position)] = 1;
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(0.7F * static_cast<float>(i % 1009));
  const auto bytes_of = [](const std::vector<float>& from) {
    std::vector<std::byte> to(from.size() * sizeof(float));
    std::memcpy(to.data(), from.data(), to.size());
    return to;
  };
  out.keys = bytes_of(keys);
  if (shape_.values) out.values = bytes_of(values);
  out.queries.resize((static_cast<size_t>(shape_.n_step) + 1) * width());
  for (int32_t t = 0; t <= shape_.n_step; ++t)
    add_query(layer, t, out.queries.data() + static_cast<size_t>(t) * width());
  return out;
}

}  // namespace

void Stage::let_through(int n) {
  const std::lock_guard lock(mutex_);
  n_left_ = n;
  changed_.notify_all();
}

void Stage::let_all_through() {
  let_through(-1);
}

void Stage::await_waiting() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_; });
}

void Stage::pass() {
  std::unique_lock lock(mutex_);
  waiting_ = n_left_ == 0;
  changed_.notify_all();
  changed_.wait(lock, [this] { return n_left_ != 0; });
  waiting_ = false;
  if (n_left_ > 0) --n_left_;
}

float synthetic_weight(const SyntheticShape& shape, int32_t layer, int32_t kv_head, int32_t t, int32_t position) {
  double sum = 0;
  for (int32_t j = 0; j < shape.n_prompt + t; ++j) sum += raw_weight(shape, layer, kv_head, t, j);
  return static_cast<float>(raw_weight(shape, layer, kv_head, t, position) / sum);
}

std::string synthetic_token(int32_t position) {
  static const char* const kWords[] = {" the", " lamp",    " was", " lit", ",",      " and",
                                       " sea", " h\u00e9", "llo",  ".\n",  " \u5149"};
  return position % 11 == 0 ? " w" + std::to_string(position) : kWords[position % 11];
}

std::shared_ptr<ReplaySource> make_synthetic_source(const SyntheticShape& shape, std::shared_ptr<Stage> stage) {
  return std::make_shared<SyntheticSource>(shape, std::move(stage));
}

OpenSource synthetic_source(const SyntheticShape& shape, std::shared_ptr<Stage> stage) {
  return [shape, stage](const std::filesystem::path&) { return make_synthetic_source(shape, stage); };
}

}  // namespace reattend::viz::testing
