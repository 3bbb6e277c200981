// What is looked up instead of computed: masses in whole numbers, sums of rankings, overlaps, for any budget.
#include <gtest/gtest.h>

#include <set>

#include "tests/replay/compare.h"

namespace reattend {
namespace {

std::vector<float> random_row(int32_t n, unsigned seed, double peak) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, peak);
  std::vector<double> weights;
  for (int32_t i = 0; i < n; ++i) weights.push_back(std::exp(normal(random)));
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<float> row;
  for (const double w : weights) row.push_back(static_cast<float>(w / sum));
  return row;
}

std::vector<int32_t> ranking_of(const std::vector<float>& row) {
  std::vector<int32_t> order = BruteRows::range(0, static_cast<int32_t>(row.size()));
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
  return order;
}

TEST(MassRows, KeepEntriesAndRunsOfRowsOfAnyLength) {
  const std::vector<float> certain = {1.0F};
  MassRows one;
  one.resize(1, 1, 1);
  one.set(0, 0, certain.data());
  EXPECT_EQ(mass_of(one.row(0, 0)[0]), 1.0);
  for (const int32_t n : {1, 2, 63, 64, 65, 127, 128, 700, 8191, 8192}) {
    MassRows rows;
    rows.resize(2, 3, n);
    std::vector<std::vector<float>> all;
    for (int32_t i = 0; i < 6; ++i) {
      all.push_back(random_row(n + i % 3, static_cast<unsigned>(n + i), i < 3 ? 4.0 : 0.01));
      rows.set(i / 3, i % 3, all.back().data());
    }
    for (int32_t i = 0; i < 6; ++i) {
      const MassRow row = rows.row(i / 3, i % 3);
      const auto size = static_cast<int32_t>(all[i].size());
      std::vector<double> before = {0};
      for (int32_t j = 0; j < size; ++j) {
        ASSERT_NEAR(mass_of(row[j]), all[i][j], 1.2e-7) << n << " " << j;
        before.push_back(before.back() + all[i][j]);
      }
      for (int32_t begin = 0; begin < size; begin += 1 + size / 9) {
        for (int32_t end = begin; end <= size; end += 1 + size / 11) {
          ASSERT_NEAR(mass_of(row.run(begin, end)), before[end] - before[begin], 1.3e-7) << begin << " " << end;
        }
      }
      EXPECT_EQ(row.run(0, size), row.gather(BruteRows::range(0, size).data(), size)) << "sums are exact in any order";
    }
  }
}

TEST(BestMasses, AreSumsOfTheHighestForAnyNumberOfThem) {
  for (const int32_t depth : {1, 5, 255, 256, 257, 285, 286, 287, 1000}) {
    BestMasses best;
    best.resize(2, depth);
    for (int64_t list = 0; list < 2; ++list) {
      const std::vector<float> weights = random_row(1000, static_cast<unsigned>(list), list == 0 ? 5.0 : 0.0);
      MassRows rows;
      rows.resize(1, 1, 1000);
      rows.set(0, 0, weights.data());
      const MassRow row = rows.row(0, 0);
      const std::vector<int32_t> order = ranking_of(weights);
      best.set(list, row, order.data(), depth);
      for (int32_t n = 0; n <= depth; ++n)
        ASSERT_EQ(best.sum(list, n), row.gather(order.data(), n)) << depth << " " << n;
    }
  }
}

template <class Index>
void expect_lookups(int32_t n_own, int32_t n_other, int32_t depth) {
  const std::vector<float> own_row = random_row(n_own, 3, 2), other_row = random_row(n_other, 4, 2);
  MassRows rows;
  rows.resize(1, 1, n_own);
  rows.set(0, 0, own_row.data());
  const auto cut = [&](const std::vector<float>& row) {
    const std::vector<int32_t> all = ranking_of(row);
    return std::vector<Index>(all.begin(), all.begin() + std::min<int64_t>(depth, static_cast<int64_t>(all.size())));
  };
  const std::vector<Index> own = cut(own_row), other = cut(other_row);
  const auto own_size = static_cast<int32_t>(own.size()), size = static_cast<int32_t>(other.size());
  RanksByPosition<Index> own_ranks, ranks;
  own_ranks.resize(n_own), ranks.resize(n_own);
  ranks.take(own.data(), own_size);  // of another list before: nothing of it may stay
  RankedMasses masses;
  masses.resize(3, depth, true);
  EXPECT_EQ(masses.n_known(1, 7), 0);
  for (int32_t k = 0, known = 0; k <= depth; ++k) {
    // Found as a budget that grows asks for it: no more is looked at, and nothing twice.
    if (masses.n_known(1, 7) < k) {
      ASSERT_EQ(k, known + 1);
      known = std::min(RankedMasses::n_to_find(k, known), depth);
      const auto first = [&](const std::vector<Index>& list, RanksByPosition<Index>& of) {
        const RankedEntries<Index> entries = {list.data(), std::min(known, static_cast<int32_t>(list.size())), &of};
        of.take(entries.entries, entries.n);
        return entries;
      };
      masses.find(1, 7, known, rows.row(0, 0), first(other, ranks), first(own, own_ranks));
      EXPECT_EQ(masses.n_known(1, 7), known);
      EXPECT_EQ(masses.n_known(1, 8), 0) << "another list";
      EXPECT_EQ(masses.n_known(2, 7), 0) << "another unit";
    }
    if (k <= size) {
      ASSERT_EQ(masses.sum(1, rows.row(0, 0), other.data(), k), rows.row(0, 0).gather(other.data(), k)) << k;
    }
    const std::set<Index> first(other.begin(), other.begin() + std::min(k, size));
    const auto both = std::count_if(own.begin(), own.begin() + std::min(k, own_size),
                                    [&](Index position) { return first.contains(position); });
    ASSERT_EQ(masses.overlap(1, k), both) << k;
  }
}

TEST(RankedMasses, AreLookedUpForAnyNumberOfEntries) {
  for (const int32_t depth : {1, 7, 8, 9, 63, 64, 65, 130, 300}) {
    expect_lookups<uint16_t>(300, 290, depth);
    expect_lookups<uint32_t>(300, 290, depth);
  }
  expect_lookups<uint16_t>(20, 3, 40);
  expect_lookups<uint16_t>(700, 200, 600);
}

/// A user drags the budget, then the stride, then another parameter: nothing that was looked up for one setting may
/// slip into another's numbers.
TEST(Lookups, OneReplayerAnswersAnyOrderOfSettings) {
  ThreadPool pool(2);
  std::mt19937 random(8);
  const auto run = std::make_shared<HandMade>(HandMadeShape{.n_layer = 2, .n_prompt = 90, .n_step = 20}, 31);
  Replayer replayer(run, pool);
  const auto pick = [&](std::initializer_list<const char*> names) {
    return std::string(names.begin()[random() % names.size()]);
  };
  for (int round = 0; round < 60; ++round) {
    const std::string policy = pick({"recycled", "recycled", "recycled", "oracle", "snapkv", "streaming_refresh"});
    Settings settings = settings_of(policy, {{"K", static_cast<int64_t>(1 + random() % 120)}});
    if (policy == "recycled" || policy == "streaming_refresh") {
      settings.set("S", static_cast<int64_t>(1 + random() % 9));
    }
    if (policy == "recycled") {
      settings.set("schedule", pick({"fixed", "query"})), settings.set("threshold", 0.4);
      settings.set("granularity", pick({"layer", "kv_head"}));
    }
    if (policy == "snapkv") settings.set("window", int64_t{1});
    if (policy != "streaming_refresh" && random() % 4 == 0) settings.set("pool", int64_t{3});
    compare(run, settings, replay(replayer, settings, random() % 3 == 0));
  }
  EXPECT_EQ(run->n_read, 2);
}

/// Positions that do not fit two bytes.
TEST(Lookups, LongContextsAreReplayedToo) {
  ThreadPool pool(2);
  const auto run = std::make_shared<HandMade>(
      HandMadeShape{.n_layer = 1, .n_head = 2, .n_kv_head = 1, .d_head = 4, .n_prompt = 66000, .n_step = 3}, 12);
  Replayer replayer(run, pool);
  for (const Settings& settings :
       {settings_of("recycled", {{"K", int64_t{3000}}, {"S", int64_t{2}}}), settings_of("oracle", {{"K", int64_t{9}}}),
        settings_of("snapkv", {{"K", int64_t{40}}})}) {
    compare(run, settings, replay(replayer, settings, false));
  }
}

}  // namespace
}  // namespace reattend
