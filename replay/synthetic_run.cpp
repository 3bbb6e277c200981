// Makes layers whose numbers depend on layer and place alone, so that one that is asked for twice is the same.
#include "replay/synthetic_run.h"

#include <algorithm>
#include <span>
#include <utility>

#include "kernels/cpu/random_rows.h"
#include "traces/schema.h"
#include "traces/write/writer.h"

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

/// A step of which nothing was measured; it predicts the first tokens of the vocabulary.
StepData empty_step(const schema::Sizes& sizes, const TraceInfo& info) {
  StepData step;
  schema::for_each_column([&](const schema::Dataset& row, auto column) {
    using Element = schema::ElementOf<decltype(column)>;
    if (!schema::is_stored(row, info)) return;
    if constexpr (!std::is_same_v<Element, std::byte>) {
      (step.*column).assign(static_cast<size_t>(sizes.per_row(row)), schema::missing<Element>());
    }
  });
  step.logprob = {-1}, step.ms = {1}, step.top_rest = {0};
  std::ranges::fill(step.top_logprobs, -3.0F);
  for (size_t i = 0; i < step.top_ids.size() && static_cast<int64_t>(i) < sizes.n_vocab; ++i) {
    step.top_ids[i] = static_cast<int32_t>(i);
  }
  return step;
}

/// Position p of every KV head of a layer's keys or values, behind what is in `to`.
void append_row(const LayerData& layer, const std::vector<std::byte>& rows, int32_t p, std::vector<std::byte>& to) {
  const int64_t bytes = row_bytes(layer.kv_type, layer.d_head);
  for (int32_t g = 0; g < layer.n_kv_head; ++g) {
    const auto from = rows.begin() + (int64_t{g} * layer.n_position + p) * bytes;
    to.insert(to.end(), from, from + bytes);
  }
}

}  // namespace

void write_source(ReplaySource& source, TraceHeader header, int32_t n_step, TraceWriter& writer,
                  const ProgressFn& progress, const Cancel& cancel) {
  static_cast<TraceInfo&>(header) = source.info();
  header.path.clear(), header.model = header.engine_version = "synthetic", header.architecture = "llama";
  header.device = "cpu", header.d_model = header.n_head * header.d_head;
  header.maps = Maps::none, header.measure_every = 0;
  const auto token = [&](int32_t p) { return p % static_cast<int32_t>(header.vocab.size()); };
  for (int32_t p = 0; p < header.n_prompt; ++p) header.prompt.push_back(token(p));
  writer.begin(header);
  std::vector<LayerData> layers;
  for (int32_t l = 0; l < header.n_layer; ++l) {
    cancel.check();
    if (progress) progress("make layers", l, header.n_layer, "layers");
    const LayerData& layer = layers.emplace_back(source.layer(l));
    const int64_t bytes = row_bytes(layer.kv_type, layer.d_head);
    const auto prompt_of = [&](const std::vector<std::byte>& rows, int32_t g) {
      return std::span(rows).subspan(static_cast<size_t>(int64_t{g} * layer.n_position * bytes),
                                     static_cast<size_t>(header.n_prompt * bytes));
    };
    for (int32_t g = 0; g < header.n_kv_head; ++g) {
      writer.prompt_kv(l, g, prompt_of(layer.keys, g), prompt_of(layer.values, g));
    }
    writer.prompt_queries(l, source.prompt_queries(l));
    writer.prompt_row_sums(l, source.prompt_row_sums(l));
  }
  header.complete();
  const schema::Sizes sizes = schema::sizes_of(header);
  writer.start(empty_step(sizes, header));
  for (int32_t t = 1; t <= n_step; ++t) {
    cancel.check();
    if (progress) progress("write steps", t, n_step, "steps");
    const int32_t p = header.n_prompt - 1 + t;
    StepData step = empty_step(sizes, header);
    step.token = {token(p)};
    std::ranges::fill(step.positions, p + 1);
    step.queries.clear();
    for (const LayerData& layer : layers) {
      append_row(layer, layer.keys, p, step.keys), append_row(layer, layer.values, p, step.values);
      const int64_t width = int64_t{layer.n_head} * layer.d_head;
      const auto from = layer.queries.begin() + t * width;
      step.queries.insert(step.queries.end(), from, from + width);
    }
    writer.append(step);
    if (t % 64 == 0 || t == n_step) writer.commit();
  }
}

void write_synthetic_trace(const SyntheticRunShape& shape, const std::filesystem::path& path,
                           const ProgressFn& progress, const Cancel& cancel) {
  TraceHeader header;
  header.expected_steps = shape.n_step;
  header.vocab = {" the", " lamp", " was", " lit", ",", " and", " sea", " ship", ".\n"};
  TraceWriter writer(path, false, Appears::when_whole);
  write_source(*make_synthetic_run(shape), std::move(header), shape.n_step, writer, progress, cancel);
  writer.close();
}

std::shared_ptr<ReplaySource> make_synthetic_run(const SyntheticRunShape& shape) {
  return std::make_shared<SyntheticRun>(shape);
}

}  // namespace reattend
