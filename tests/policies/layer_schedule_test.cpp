// What a setting gives each layer, read and joined.
#include "policies/layer_schedule.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "policies/policy.h"

namespace reattend {
namespace {

Settings made(std::string_view policy, std::initializer_list<std::pair<const char*, Value>> values) {
  Settings settings(policy);
  for (const auto& [key, value] : values) settings.set(key, value);
  return settings;
}

TEST(LayerSchedule, AGateIsAThresholdThatDecides) {
  EXPECT_EQ(LayerSchedule(Settings("recycled")).gate(0), std::nullopt) << "a fixed schedule has none";
  const Settings query = made("recycled", {{"schedule", std::string("query")}, {"threshold", 0.8}});
  EXPECT_EQ(LayerSchedule(query).gate(0), 0.8);
  const Settings off = made("recycled", {{"schedule", std::string("query")}, {"threshold", 1.5}});
  EXPECT_EQ(LayerSchedule(off).gate(0), std::nullopt) << "no cosine is above 1";
  EXPECT_EQ(LayerSchedule(Settings("tokenselect")).gate(3), 0.9);
  const Settings anew = made("tokenselect", {{"selection_cache", std::string("off")}});
  EXPECT_EQ(LayerSchedule(anew).gate(3), std::nullopt);
  EXPECT_EQ(LayerSchedule(Settings("h2o")).gate(0), std::nullopt);
}

TEST(LayerSchedule, HasWhatThePolicyHas) {
  const Settings h2o = made("h2o", {{"K", std::vector<int64_t>{4, 5}}}), full;
  EXPECT_TRUE(LayerSchedule(h2o).by_layer());
  EXPECT_EQ(LayerSchedule(h2o).n_layer(), 2U);
  EXPECT_EQ(LayerSchedule(h2o).budget(1), Value(int64_t{5}));
  EXPECT_EQ(LayerSchedule(h2o).stride(0), std::nullopt);
  EXPECT_FALSE(LayerSchedule(full).by_layer());
  EXPECT_EQ(LayerSchedule(full).budget(0), std::nullopt);
  const Settings never = made("streaming_refresh", {{"S", Value{}}});
  EXPECT_EQ(LayerSchedule(never).stride(0), Value{}) << "`never` is a stride";
}

TEST(LayerSchedule, JoinedLayersDoAsTheyDidAlone) {
  for (const PolicyInfo& info : policy_registry()) {
    if (!info.takes("K")) continue;
    std::vector<Settings> layers(3, Settings(info.name));
    for (size_t i = 0; i < layers.size(); ++i) layers[i].set("K", static_cast<int64_t>(40 + 10 * i));
    const Settings joined = join_layers(layers);
    EXPECT_TRUE(LayerSchedule(joined).by_layer()) << info.name;
    const RunShape shape = {.n_layer = 3, .n_head = 4, .n_kv_head = 2, .n_prompt = 200};
    const auto together = make_policy(joined, shape);
    for (int32_t l = 0; l < 3; ++l) {
      const auto alone = make_policy(layers[static_cast<size_t>(l)], shape);
      EXPECT_EQ(together->plan(l, 1).branch.attend.keep, alone->plan(l, 1).branch.attend.keep) << info.name;
      EXPECT_EQ(together->plan(l, 1).threshold, alone->plan(l, 1).threshold) << info.name;
      EXPECT_EQ(together->prompt(l).keep, alone->prompt(l).keep) << info.name;
    }
  }
}

TEST(LayerSchedule, LayersThatDifferInAnythingElseAreRefused) {
  const std::vector<Settings> layers = {made("recycled", {{"pool", int64_t{3}}}), Settings("recycled")};
  EXPECT_THROW(join_layers(layers), Error);
  const PolicyInfo& recycled = *find_policy("recycled");
  EXPECT_TRUE(may_differ_by_layer(recycled, *find_parameter("schedule")))
      << "a threshold that is off is a fixed schedule";
  EXPECT_FALSE(may_differ_by_layer(recycled, *find_parameter("pool")));
}

}  // namespace
}  // namespace reattend
