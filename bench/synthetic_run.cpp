// Makes layers whose numbers depend on layer and place alone, so that one that is asked for twice is the same.
#include "bench/synthetic_run.h"

#include <cstring>

#include "bench/synthetic.h"

namespace reattend {
namespace {

class SyntheticRun final : public ReplaySource {
 public:
  explicit SyntheticRun(const SyntheticRunShape& shape) {
    info_.path = "synthetic";
    info_.n_layer = shape.n_layer, info_.n_head = shape.n_head, info_.n_kv_head = shape.n_kv_head;
    info_.d_head = shape.d_head, info_.n_prompt = shape.n_prompt, info_.n_step = shape.n_step;
    info_.has_prompt_row_sums = true;
    info_.rope = {.layout = RopeLayout::pairs, .base = 10000, .d_head = shape.d_head, .factors = {}};
  }
  const TraceInfo& info() const override { return info_; }

  LayerData layer(int32_t layer) override {
    LayerData out{.kv_type = info_.kv_type,
                  .n_kv_head = info_.n_kv_head,
                  .n_head = info_.n_head,
                  .d_head = info_.d_head,
                  .n_position = info_.n_prompt + info_.n_step,
                  .n_step = info_.n_step,
                  .keys = {},
                  .values = {},
                  .queries = {}};
    const int64_t n_row = int64_t{out.n_kv_head} * out.n_position;
    for (auto* rows : {&out.keys, &out.values}) {
      rows->resize(static_cast<size_t>(n_row * row_bytes(out.kv_type, out.d_head)));
      random_rows(out.kv_type, out.d_head, n_row, seed(layer, rows == &out.keys ? Part::keys : Part::values), *rows);
    }
    // Drifts: a cosine of 0.8 from step to step, and a variance of 1.
    const auto width = static_cast<size_t>(out.n_head) * static_cast<size_t>(out.d_head);
    out.queries = normals(static_cast<int64_t>(out.n_step) + 1, seed(layer, Part::queries));
    for (size_t i = width; i < out.queries.size(); ++i) {
      out.queries[i] = 0.8F * out.queries[i - width] + 0.6F * out.queries[i];
    }
    return out;
  }
  std::vector<float> prompt_queries(int32_t layer) override {
    return normals(std::min(64, info_.n_prompt), seed(layer, Part::prompt_queries));
  }
  std::vector<float> prompt_row_sums(int32_t layer) override {
    // What every position gets of the queries behind it where all get the same.
    std::vector<float> sums(static_cast<size_t>(info_.n_head) * static_cast<size_t>(info_.n_prompt));
    const std::vector<float> noise = normals(1 + info_.n_prompt / info_.d_head, seed(layer, Part::sums));
    for (int32_t h = 0; h < info_.n_head; ++h) {
      float sum = 0;
      for (int32_t i = info_.n_prompt; i-- > 0;) {
        sum += 1.0F / static_cast<float>(i + 1);
        const float spread = noise[static_cast<size_t>(i)];
        sums[static_cast<size_t>(h) * static_cast<size_t>(info_.n_prompt) + static_cast<size_t>(i)] =
            sum * spread * spread;
      }
    }
    return sums;
  }
  MapData map(int32_t, int32_t) override { return {}; }

 private:
  enum class Part : uint64_t { keys, values, queries, prompt_queries, sums };
  static uint64_t seed(int32_t layer, Part part) {
    return static_cast<uint64_t>(layer) * 8 + static_cast<uint64_t>(part);
  }

  /// [n][n_head][d_head]
  std::vector<float> normals(int64_t n, uint64_t seed) const {
    const int32_t width = info_.n_head * info_.d_head;
    std::vector<float> out(static_cast<size_t>(n * width));
    random_rows(KvType::f32, width, n, seed, std::as_writable_bytes(std::span(out)));
    return out;
  }

  TraceInfo info_;
};

}  // namespace

std::shared_ptr<ReplaySource> make_synthetic_run(const SyntheticRunShape& shape) {
  return std::make_shared<SyntheticRun>(shape);
}

}  // namespace reattend
