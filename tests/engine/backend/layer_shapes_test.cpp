// What a model's layers say of themselves is what the backends do: layers of different rotations in one model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/generate.h"
#include "engine/model/model.h"

namespace reattend {
namespace {

ModelShape small_shape() {
  ModelShape shape;
  shape.architecture = "llama", shape.name = "small";
  shape.n_layer = 3, shape.n_head = 4, shape.n_kv_head = 2, shape.d_head = 32, shape.d_model = 128, shape.d_ffn = 256;
  shape.n_vocab = 500, shape.n_ctx_train = 512;
  shape.set_layers({.layout = RopeLayout::pairs, .base = 10000, .d_head = shape.d_head, .factors = {}});
  return shape;
}

/// Logits after a prompt in two chunks and some steps of a policy that turns queries back to compare them.
std::vector<float> logits_of(const ModelShape& shape, const char* device) {
  ThreadPool pool(2);
  const Model model = Model::random(shape, TensorType::q8_0, true);
  Backend backend = make_backend({.device = device, .kv = KvType::f32, .activations = Activations::f32}, model, pool);
  std::vector<int32_t> prompt(70);
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int32_t>(i * 37 % 500);
  const Prefilled prefilled = prefill(backend, model, prompt, {.n_ctx = 90, .chunk = 40});
  Settings settings("recycled");
  settings.set("S", int64_t{2});
  settings.set("K", int64_t{16});
  settings.set("schedule", std::string("query"));
  settings.set("threshold", 0.2);
  return generate(backend, model, *prefilled.sequence, prefilled,
                  {.settings = settings, .n_step = 8, .next_token = [](int32_t t, StepLogits&) { return t * 13; }})
      .logits;
}

// A layer that turned by another layer's angles would still give fluent text, only worse.
TEST(LayerShapes, LayersTurnByTheirOwnRotation) {
  const ModelShape alike = small_shape();
  ModelShape mixed = small_shape();
  mixed.ropes.push_back({.layout = RopeLayout::halves, .base = 500, .d_head = mixed.d_head, .factors = {}});
  mixed.layers[1].rope = 1;
  const std::vector<float> got = logits_of(mixed, "cpu"), exact = logits_of(mixed, "reference"),
                           other = logits_of(alike, "cpu");
  ASSERT_EQ(got.size(), exact.size());
  float furthest = 0, changed = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    furthest = std::max(furthest, std::fabs(got[i] - exact[i]));
    changed = std::max(changed, std::fabs(got[i] - other[i]));
  }
  EXPECT_LT(furthest, 1e-3F);
  EXPECT_GT(changed, 0.05F) << "the second rotation changes nothing";
}

// Two entries of the same rotation are the same model.
TEST(LayerShapes, EqualRotationsGiveEqualBits) {
  ModelShape twice = small_shape();
  twice.ropes.push_back(twice.ropes.front());
  twice.layers[2].rope = 1;
  EXPECT_EQ(logits_of(twice, "cpu"), logits_of(small_shape(), "cpu"));
}

}  // namespace
}  // namespace reattend
