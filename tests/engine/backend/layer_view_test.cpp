// What observers rely on: a layer's view is what the backend holds at that moment, of the layer it is of, whoever
// looked before; and looking changes nothing.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "base/half.h"
#include "engine/generate.h"
#include "tests/engine/tiny_engine.h"

namespace reattend {
namespace {

using testing::kPrompt, testing::kSteps, testing::make;

/// Everything that a view shows of one layer of one step.
struct Seen {
  int32_t t, layer, position;
  std::vector<float> rows, pre, post, outputs, full_outputs;
  std::vector<std::vector<int32_t>> attended, kept;
  std::vector<std::byte> keys, floats;  ///< of the newest position, and the same as f32
};

/// Looks at everything, as often as it was told to, and keeps what it saw last.
struct Log final : Observer {
  explicit Log(const ModelShape& s) : shape(s) {}
  bool needs_full_rows() const override { return true; }
  void attended(const LayerView& view) override {
    for (int i = 0; i < n_look; ++i) look(view);
    all.push_back(last);
  }
  void look(const LayerView& view) {
    const auto copy = [](auto span) { return std::vector(span.begin(), span.end()); };
    last = {.t = view.step(),
            .layer = view.layer(),
            .position = view.position(),
            .rows = copy(view.full_rows()),
            .pre = copy(view.queries(QueryStage::pre_rope)),
            .post = copy(view.queries(QueryStage::post_rope)),
            .outputs = copy(view.outputs()),
            .full_outputs = copy(view.full_outputs()),
            .attended = {},
            .kept = {},
            .keys = {},
            .floats = {}};
    for (int32_t g = 0; g < shape.n_kv_head; ++g) {
      last.attended.push_back(copy(view.attended(g)));
      last.kept.push_back(copy(view.kept(g)));
      view.keys(g, view.position(), 1).append_to(last.keys, KvType::f16);
      view.keys(g, view.position(), 1).append_to(last.floats, KvType::f32);
    }
  }
  void step_end(const StepView& step) override { logits.insert(logits.end(), step.logits().begin(), step.logits().end()); }
  const ModelShape& shape;
  int n_look = 1;
  Seen last;
  std::vector<Seen> all;
  std::vector<float> logits;
};

class LayerViews : public testing::TinyEngine<Log> {
 protected:
  Log seen(const Settings& settings, int n_look = 1) {
    Log log(model_.shape());
    log.n_look = n_look;
    Observer* observers[] = {&log};
    const auto sequence = backend_.model->fork(*prefilled_.sequence);
    generate(backend_, model_, *sequence, prefilled_,
             {.settings = settings,
              .n_step = kSteps,
              .next_token = [&](int32_t t, StepLogits&) { return (t * 17) % model_.shape().n_vocab; },
              .observers = n_look > 0 ? std::span<Observer* const>(observers) : std::span<Observer* const>()});
    return log;
  }
};

TEST_F(LayerViews, AreOfTheStepAndLayerTheyAreHandedOutAt) {
  const ModelShape& shape = model_.shape();
  const Log log = seen(make("recycled", {{"K", int64_t{16}}, {"S", int64_t{5}}}));
  ASSERT_EQ(log.all.size(), static_cast<size_t>(kSteps) * shape.n_layer);
  for (size_t i = 0; i < log.all.size(); ++i) {
    const Seen& one = log.all[i];
    ASSERT_EQ(one.layer, static_cast<int32_t>(i) % shape.n_layer);
    ASSERT_EQ(one.t, static_cast<int32_t>(i) / shape.n_layer + 1);
    ASSERT_EQ(one.position, kPrompt - 1 + one.t);
    const size_t n = static_cast<size_t>(one.position) + 1;
    ASSERT_EQ(one.rows.size(), n * shape.n_head);
    for (int32_t h = 0; h < shape.n_head; ++h) {
      const auto row = std::span(one.rows).subspan(h * n, n);
      ASSERT_NEAR(std::accumulate(row.begin(), row.end(), 0.0), 1, 1e-4) << "each head's row is a softmax of its own";
    }
    for (int32_t g = 0; g < shape.n_kv_head; ++g) {
      ASSERT_EQ(one.kept[g].size(), 16U);
      ASSERT_EQ(std::count(one.attended[g].begin(), one.attended[g].end(), one.position), 1) << "itself included";
    }
    ASSERT_EQ(one.post.size(), static_cast<size_t>(shape.n_head) * shape.d_head);
    ASSERT_NE(one.pre, one.post);
    if (i > 0) {
      ASSERT_NE(one.post, log.all[i - 1].post) << "step " << one.t << " layer " << one.layer;
    }
  }
}

TEST_F(LayerViews, ShowFullAttentionsOutputsBesideThePolicys) {
  for (const Seen& one : seen(Settings("full")).all) {
    ASSERT_EQ(one.outputs, one.full_outputs);
    for (const auto& set : one.attended) ASSERT_EQ(set.size(), static_cast<size_t>(one.position) + 1);
  }
  const Log recycled = seen(make("recycled", {{"K", int64_t{8}}, {"S", int64_t{50}}}));
  EXPECT_NE(recycled.all.front().outputs, recycled.all.front().full_outputs);
}

TEST_F(LayerViews, AreTheSameTheSecondTimeAndLookingChangesNothing) {
  const Settings settings = make("recycled", {{"K", int64_t{16}}, {"S", int64_t{5}}});
  const Log once = seen(settings), thrice = seen(settings, 3);
  EXPECT_EQ(once.logits, thrice.logits);
  ASSERT_EQ(once.all.size(), thrice.all.size());
  for (size_t i = 0; i < once.all.size(); ++i) {
    ASSERT_EQ(once.all[i].rows, thrice.all[i].rows);
    ASSERT_EQ(once.all[i].attended, thrice.all[i].attended);
    ASSERT_EQ(once.all[i].kept, thrice.all[i].kept);
    ASSERT_EQ(once.all[i].outputs, thrice.all[i].outputs);
    ASSERT_EQ(once.all[i].keys, thrice.all[i].keys);
  }
}

TEST_F(LayerViews, KeysAreTheCachesOwnBitsOrTheFloatsTheyStandFor) {
  const Seen one = seen(Settings("full")).all.front();
  const size_t n = static_cast<size_t>(model_.shape().n_kv_head) * model_.shape().d_head;
  ASSERT_EQ(one.keys.size(), n * 2);
  ASSERT_EQ(one.floats.size(), n * 4);
  for (size_t i = 0; i < n; ++i) {
    uint16_t half = 0;
    float value = 0;
    std::memcpy(&half, one.keys.data() + 2 * i, sizeof half);
    std::memcpy(&value, one.floats.data() + 4 * i, sizeof value);
    ASSERT_EQ(value, to_float(static_cast<Half>(half))) << i;
  }
}

}  // namespace
}  // namespace reattend
