// Models and caches made of nothing: values that behave like those of a real run, bytes that each have a place of their
// own.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bench/policy_cost.h"
#include "bench/synthetic.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/random_rows.h"

namespace reattend {
namespace {

TEST(Synthetic, RowsAreNormalInEveryCacheType) {
  constexpr int32_t kWidth = 64, kRows = 4096;
  for (const KvType type : kKvTypes) {
    std::vector<std::byte> rows(static_cast<size_t>(kRows * row_bytes(type, kWidth))), again(rows.size());
    random_rows(type, kWidth, kRows, 5, rows);
    random_rows(type, kWidth, kRows, 5, again);
    EXPECT_EQ(rows, again) << name_of(type);
    random_rows(type, kWidth, kRows, 6, again);
    EXPECT_NE(rows, again) << name_of(type);
    double mean = 0, square = 0;
    std::vector<float> row(kWidth);
    for (int32_t i = 0; i < kRows; ++i) {
      Cpu::load_kv(rows.data() + i * row_bytes(type, kWidth), kWidth, type, row.data());
      for (const float x : row) mean += x / (1.0 * kRows * kWidth), square += x * x / (1.0 * kRows * kWidth);
    }
    EXPECT_NEAR(mean, 0, 0.02) << name_of(type);
    EXPECT_NEAR(square, 1, 0.03) << name_of(type);
  }
}

ModelShape small_shape() {
  ModelShape shape;
  shape.architecture = "llama", shape.name = "small";
  shape.n_layer = 3, shape.n_head = 8, shape.n_kv_head = 2, shape.d_head = 32, shape.d_model = 256, shape.d_ffn = 512;
  shape.n_vocab = 1000, shape.n_ctx_train = 4096;
  shape.set_layers({.layout = RopeLayout::pairs, .base = 10000, .d_head = 32, .factors = {}});
  return shape;
}

TEST(Synthetic, MatricesOfAModelDiffer) {
  for (const TensorType type : {TensorType::q4_0, TensorType::q4_1, TensorType::q8_0}) {
    const Model model = Model::random(small_shape(), type, false);
    ASSERT_EQ(model.layers().size(), 3);
    const TensorView &a = model.layers()[0].attn_q, &b = model.layers()[1].attn_q;
    EXPECT_FALSE(std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin()));
    EXPECT_NE(model.output().bytes.data(), model.token_embd().bytes.data());
    std::vector<float> row(256);
    double mean = 0, square = 0;
    for (int64_t i = 0; i < a.n_row; ++i) {
      const auto at = static_cast<size_t>(i * matrix_bytes(type, 1, a.n_col));
      format_of(type).dequantize(a.bytes.data() + at, a.n_col, row.data());
      for (const float x : row) mean += x / (256.0 * 256), square += x * x / (256.0 * 256);
    }
    EXPECT_NEAR(std::sqrt(square), 1.0 / 16, 0.01) << format_of(type).name;
    EXPECT_NEAR(mean, 0, 0.01) << format_of(type).name;
  }
}

/// Looks at the rows of every step: their largest weight, and how far they are from uniform.
class Rows final : public Observer {
 public:
  void attended(const LayerView& view) override {
    const size_t n = view.n_position();
    const std::span<const float> row = view.full_row(0).first(n);  // of the group's first head
    const float most = *std::max_element(row.begin(), row.end());
    highest = std::max(highest, most);
    lowest_ratio = std::min(lowest_ratio, most * static_cast<float>(n));
  }
  float highest = 0, lowest_ratio = INFINITY;
};

TEST(Synthetic, StepsGiveFiniteLogitsAndRowsNeitherFlatNorLedByOne) {
  const Model model = Model::random(small_shape(), TensorType::q4_0, true);
  ThreadPool pool(2);
  Backend backend = make_backend({}, model, pool);
  SyntheticContext context(backend, model, pool, 2100);
  context.grow_to(700, {}, {});
  context.grow_to(2000, {}, {});
  const Prefilled& prefilled = context.prefilled();
  ASSERT_EQ(prefilled.sequence->size(), 2000);
  ASSERT_EQ(prefilled.prompt.size(), 2000);
  Rows rows;
  Observer* observers[] = {&rows};
  const auto sequence = backend.model->fork(*prefilled.sequence);
  const Generated run = generate(backend, model, *sequence, prefilled,
                                 {.settings = Settings("full"),
                                  .n_step = 8,
                                  .next_token = [](int32_t t, StepLogits&) { return t; },
                                  .observers = observers});
  EXPECT_TRUE(std::all_of(run.logits.begin(), run.logits.end(), [](float x) { return std::isfinite(x); }));
  EXPECT_LT(rows.highest, 0.5F);
  EXPECT_GT(rows.lowest_ratio, 2.0F);
}

TEST(PolicyCost, KindsOfStepsAreToldApartAndTheirBytesCounted) {
  const Model model = Model::random(small_shape(), TensorType::q8_0, true);
  ThreadPool pool(1);
  Backend backend = make_backend({}, model, pool);
  SyntheticContext context(backend, model, pool, 600);
  context.grow_to(512, {}, {});
  Settings recycled("recycled");
  recycled.set("K", int64_t{64}), recycled.set("S", int64_t{4});
  const std::vector<PolicyCost> costs =
      measure_costs(backend, model, context.prefilled(), {Settings("full"), recycled}, {.n_step = 8, .repeats = 2});
  ASSERT_EQ(costs.size(), 2);
  EXPECT_EQ(costs[0].full.n_step, 16);
  EXPECT_EQ(costs[0].partial.n_step, 0);
  EXPECT_EQ(costs[1].full.n_step, 4);
  EXPECT_EQ(costs[1].partial.n_step, 8) << "the four that follow a refresh pack and are a kind of their own";
  EXPECT_GT(costs[1].full.choosing_ms, costs[1].partial.choosing_ms);
  EXPECT_LT(costs[1].bytes.attend, costs[0].bytes.attend);
  // The embedding is looked up in one row and is the output matrix as well.
  const NamedShape named = {small_shape(), true};
  const int64_t padding = 8 * matrix_bytes(TensorType::q8_0, 1, 256);  // 1000 rows are packed as 1008
  EXPECT_EQ(costs[0].bytes.weights,
            weight_bytes(named, TensorType::q8_0) + padding + matrix_bytes(TensorType::q8_0, 1, 256));
}

}  // namespace
}  // namespace reattend
