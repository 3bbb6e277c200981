// Sums of the prompt's attention rows, which a replay of h2o will stand on: against plain loops in double.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "engine/record/recorder.h"
#include "tests/support/arrays.h"
#include "traces/read/reader.h"

namespace reattend::testing {
namespace {

constexpr int32_t kPrompt = 261;

/// Post-RoPE queries of the whole prompt, [n_layer] of [L][n_head][d_head].
struct QueryObserver final : Observer {
  explicit QueryObserver(const ModelShape& s) : shape(s), queries(s.n_layer) {}
  void prompt_layer(const LayerView& view) override {
    const std::span<const float> chunk = view.queries(QueryStage::post_rope);
    queries[view.layer()].insert(queries[view.layer()].end(), chunk.begin(), chunk.end());
  }
  const ModelShape& shape;
  std::vector<std::vector<float>> queries;
};

TEST(PromptRowSums, AreTheSumsOfEveryPromptQuerysRowHoweverThePromptIsCut) {
  const Model model = Model::open("tests/golden/models/tiny_llama.gguf");
  const ModelShape& shape = model.shape();
  ThreadPool pool(2);
  Backend backend = make_backend({}, model, pool);
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < kPrompt; ++i) prompt.push_back((i * 31 + i / 5) % shape.n_vocab);
  for (const int32_t chunk : {512, 7}) {
    const ScratchFolder folder;
    TraceWriter writer(folder / "trace.h5", false);
    TraceHeader header = header_for(shape, prompt);
    header.model = "tiny";
    header.has_prompt_row_sums = true;
    header.vocab.resize(shape.n_vocab, "x");
    Recorder recorder(writer, header, shape, pool);
    QueryObserver observer(shape);
    Observer* observers[] = {&recorder, &observer};
    Prefilled prefilled = prefill(
        backend, model, prompt,
        {.n_ctx = kPrompt + 1, .chunk = chunk, .needs = {.prompt = {.row_sums = true}}, .observers = observers});
    generate(backend, model, *prefilled.sequence, prefilled,
             {.settings = Settings("full"),
              .n_step = 1,
              .next_token = [](int32_t, StepLogits&) { return 5; },
              .observers = observers});
    const auto trace = TraceReader::open(folder / "trace.h5");
    ASSERT_TRUE(trace->info().has_prompt_row_sums);
    for (int32_t layer = 0; layer < shape.n_layer; ++layer) {
      const std::vector<float> sums = trace->prompt_row_sums(layer);
      ASSERT_EQ(sums.size(), static_cast<size_t>(shape.n_head) * kPrompt);
      for (int32_t h = 0; h < shape.n_head; ++h) {
        std::vector<double> want(kPrompt);
        const size_t column = static_cast<size_t>(kPrompt) * shape.d_head;
        std::vector<uint16_t> all(column * shape.n_kv_head);
        backend.model->read(*prefilled.sequence, Item::keys, layer, 0, kPrompt, std::as_writable_bytes(std::span(all)));
        backend.model->wait();
        const auto keys = std::span(all).subspan(h / shape.group() * column, column);
        for (int32_t p = 0; p < kPrompt; ++p) {
          std::vector<double> weight(p + 1);
          double total = 0;
          for (int32_t j = 0; j <= p; ++j) {
            double dot = 0;
            for (int32_t c = 0; c < shape.d_head; ++c) {
              dot += static_cast<double>(
                         observer.queries[layer][(static_cast<size_t>(p) * shape.n_head + h) * shape.d_head + c]) *
                     to_float(static_cast<Half>(keys[static_cast<size_t>(j) * shape.d_head + c]));
            }
            total += weight[j] = std::exp(dot / std::sqrt(static_cast<double>(shape.d_head)));
          }
          for (int32_t j = 0; j <= p; ++j) want[j] += weight[j] / total;
        }
        for (int32_t j = 0; j < kPrompt; ++j)
          ASSERT_NEAR(sums[static_cast<size_t>(h) * kPrompt + j], want[j], 1e-4 * (1 + want[j]))
              << "layer " << layer << " head " << h << " position " << j;
      }
    }
  }
}

// A replay rotates all layers by the one rotation that a trace holds; those with a window it does not replay.
TEST(Header, AModelThatATraceHasNoRoomForIsNotRecorded) {
  ModelShape shape;
  shape.n_layer = 2, shape.d_head = 8;
  shape.set_layers({.d_head = 8, .factors = {}});
  EXPECT_NO_THROW(header_for(shape, {}));
  shape.ropes.push_back({.base = 500, .d_head = 8, .factors = {}});
  shape.layers[1].rope = 1;
  EXPECT_THROW(header_for(shape, {}), Error);
  shape.layers[0].window = 5;
  const TraceHeader header = header_for(shape, {});
  EXPECT_EQ(header.rope.base, 500);
  EXPECT_EQ(header.layers, std::vector<int32_t>{1});
  shape.layers[1].window = 5;
  EXPECT_THROW(header_for(shape, {}), Error) << "no policy acts anywhere";
}

}  // namespace
}  // namespace reattend::testing
