// The made-up trace as a file, for programs: written whole, or as far as a recorder is.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "synthetic_source.h"
#include "traces/schema.h"
#include "traces/write/writer.h"

namespace reattend::viz::testing {

/// Steps 1 .. n_step of the source that `shape` describes. Nobody measured anything while it was recorded: columns of
/// what a recorder would have are 0. The file is that of a recording until the writer is closed or goes away.
inline std::unique_ptr<TraceWriter> write_synthetic(const std::filesystem::path& path, const SyntheticShape& shape,
                                                    int32_t n_step) {
  const auto source = make_synthetic_source(shape);
  TraceHeader header;
  static_cast<TraceInfo&>(header) = source->info();
  header.attributes.clear(), header.path.clear();
  header.engine_version = "made up", header.model = "synthetic", header.architecture = "llama", header.device = "cpu";
  header.cpu_target = "scalar", header.activations = "q8", header.threads = 1, header.model_sha256 = shape.sha256;
  header.d_model = header.n_head * header.d_head;
  header.maps = Maps::none;
  // A token for each position, so that texts are the source's.
  header.vocab = source->token_texts();
  for (int32_t i = 0; i < shape.n_prompt; ++i) header.prompt.push_back(i);
  header.complete();
  auto writer = std::make_unique<TraceWriter>(path, true);
  writer->begin(header);
  StepData blank;
  const schema::Sizes sizes = schema::sizes_of(header);
  schema::for_each_column([&](const schema::Dataset& row, auto column) {
    if (schema::is_stored(row, header) && row.type != schema::Type::kv) (blank.*column).resize(sizes.per_row(row));
  });
  std::vector<LayerData> layers;
  const size_t row_bytes = static_cast<size_t>(header.d_head) * sizeof(float);
  const auto rows = [&](const std::vector<std::byte>& of, int32_t kv_head, int32_t first, int32_t n) {
    const auto from = static_cast<size_t>(kv_head * (shape.n_prompt + shape.n_step) + first) * row_bytes;
    return std::span(of).subspan(from, static_cast<size_t>(n) * row_bytes);
  };
  for (int32_t l = 0; l < shape.n_layer; ++l) {
    const LayerData& layer = layers.emplace_back(source->layer(l));
    for (int32_t h = 0; h < shape.n_kv_head; ++h) {
      writer->prompt_kv(l, h, rows(layer.keys, h, 0, shape.n_prompt), rows(layer.values, h, 0, shape.n_prompt));
    }
    writer->prompt_queries(l, source->prompt_queries(l));
    writer->prompt_row_sums(l, source->prompt_row_sums(l));
  }
  writer->start(blank);
  const auto width = static_cast<std::ptrdiff_t>(shape.n_head) * header.d_head;
  for (int32_t t = 1; t <= n_step; ++t) {
    StepData step = blank;
    const int32_t position = shape.n_prompt - 1 + t;
    step.token = {position};
    step.queries.clear();
    for (const LayerData& layer : layers) {
      for (int32_t h = 0; h < shape.n_kv_head; ++h) {
        const auto key = rows(layer.keys, h, position, 1), value = rows(layer.values, h, position, 1);
        step.keys.insert(step.keys.end(), key.begin(), key.end());
        step.values.insert(step.values.end(), value.begin(), value.end());
      }
      const auto query = layer.queries.begin() + t * width;
      step.queries.insert(step.queries.end(), query, query + width);
    }
    writer->append(step);
  }
  writer->commit();
  return writer;
}

}  // namespace reattend::viz::testing
