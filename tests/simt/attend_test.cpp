// Decode attention on fibers: what a user's GPU would compute, against double precision, for every way a set can look.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <ostream>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "tests/simt/attend_case.h"
#include "tests/simt/machine.h"

namespace reattend::simt {
namespace {

constexpr uint32_t kSeeds = 4;

/// `count` different positions in [0, below), another order for every KV head.
std::vector<std::vector<int32_t>> ranked(int32_t n_kv_head, int32_t below, int32_t count) {
  std::vector<std::vector<int32_t>> sets;
  for (int32_t h = 0; h < n_kv_head; ++h) {
    std::vector<int32_t> all(static_cast<size_t>(below));
    std::iota(all.begin(), all.end(), 0);
    std::shuffle(all.begin(), all.end(), std::mt19937(static_cast<uint32_t>(h + 1)));
    all.resize(static_cast<size_t>(count));
    sets.push_back(all);
  }
  return sets;
}

/// A set of `size` entries: half of them kept ones among [0, p / 2), the rest the run that ends at p.
AttendCase half_kept(Shape shape, int32_t size) {
  const int32_t n_kept = size / 2, n_tail = size - n_kept;
  shape.p = size * 2 + 5;
  return AttendCase(shape, {.kept = true, .keep = n_kept, .tail = shape.p + 1 - n_tail},
                    ranked(shape.n_kv_head, size + 2, n_kept), 0, static_cast<uint32_t>(size));
}

/// Runs the case under every seed: right each time, and the same bits.
void expect_right(AttendCase& c, const std::string& what) {
  std::vector<float> first;
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    Machine machine({.seed = seed});
    std::fill(c.out.begin(), c.out.end(), std::nanf(""));
    c.launch(&machine);
    ASSERT_EQ(c.difference(), "") << what << ", seed " << seed;
    if (seed == 0) first = c.out;
    ASSERT_EQ(c.out, first) << what << ": the order of threads changed the result, seed " << seed;
  }
}

class Widths : public testing::TestWithParam<std::tuple<int32_t, int32_t>> {};
INSTANTIATE_TEST_SUITE_P(Attend, Widths, testing::Combine(testing::Values(8, 64, 128), testing::Values(1, 3, 4, 8)));

// Both sides of every boundary: a warp's rows, a warp, a piece, several pieces.
TEST_P(Widths, AgreesWithDoublePrecisionForEverySize) {
  const auto [d_head, group] = GetParam();
  for (const int32_t size : {1, 2, 31, 32, 33, 255, 256, 257, 700}) {
    AttendCase c = half_kept({.d_head = d_head, .group = group}, size);
    ASSERT_EQ(c.positions(0).size(), static_cast<size_t>(size));
    expect_right(c, "size " + std::to_string(size));
  }
}

TEST(Attend, EveryGroupSizeHasItsKernel) {
  for (int32_t group = 1; group <= 8; ++group) {
    for (const int32_t d_head : {8, 64, 128}) {
      AttendCase c = half_kept({.d_head = d_head, .group = group}, 70);
      expect_right(c, "group " + std::to_string(group) + ", d_head " + std::to_string(d_head));
    }
  }
}

struct Rule {
  const char* name;
  Attend attend;
  int32_t n_kept, selected_at;
};
constexpr int32_t kP = 599;
const Rule kRules[] = {
    {"Everything", {.everything = true}, 0, 0},
    {"OnlyTheRunAtTheEnd", {.tail = 301}, 0, 0},
    {"OnlyTheTokenItself", {.tail = kP}, 0, 0},
    {"LeadAndTail", {.lead = 4, .tail = 340}, 0, 0},
    {"LeadLongerThanAPiece", {.lead = 300, .tail = 580}, 0, 0},
    {"EmptyKeptSet", {.kept = true, .keep = 64, .tail = 500}, 0, 0},
    {"KeptSetShorterThanItsLimit", {.kept = true, .keep = 400, .tail = 590}, 300, 0},
    {"LimitOfNothing", {.kept = true, .keep = 0, .tail = 590}, 300, 0},
    {"AllKeptAndTheTokenItself", {.kept = true, .keep = 500, .tail = kP}, 500, 0},
    {"FirstAge", {.kept = true, .keep = 256, .ages = true, .tail = 1, .from_selected = true}, 256, kP - 1},
    {"TenthAge", {.kept = true, .keep = 256, .ages = true, .tail = 1, .from_selected = true}, 256, kP - 10},
    {"LastAgeWithAKeptEntry", {.kept = true, .keep = 64, .ages = true, .tail = 1, .from_selected = true}, 64, kP - 64},
    {"OlderThanTheBudget", {.kept = true, .keep = 64, .ages = true, .tail = 1, .from_selected = true}, 64, kP - 90},
    {"WindowThatBeganBeforeTheChoice",
     {.lead = 4, .kept = true, .keep = 64, .tail = -50, .from_selected = true},
     64,
     kP - 9},
    {"WindowThatReachesTheLead", {.lead = 300, .tail = -400, .from_selected = true}, 0, kP - 9},
    {"LeadAndKeptAndTail", {.lead = 0, .kept = true, .keep = 257, .tail = 599 - 255}, 257, 0},
};
class Rules : public testing::TestWithParam<Rule> {};
void PrintTo(const Rule& rule, std::ostream* to) {
  *to << rule.name;
}
INSTANTIATE_TEST_SUITE_P(Attend, Rules, testing::ValuesIn(kRules));

// Every way in which `full`, `recycled` and `streaming` describe a set.
TEST_P(Rules, AgreeWithDoublePrecision) {
  const Rule& rule = GetParam();
  const Shape shape{.d_head = 64, .group = 3, .p = kP};
  AttendCase c(shape, rule.attend, ranked(shape.n_kv_head, 300, std::min(rule.n_kept, 300)), rule.selected_at, 7);
  expect_right(c, rule.name);
}

// Contract: a policy whose set is complete equals full attention bit for bit.
TEST(Attend, CompleteSetEqualsEverythingBitForBit) {
  for (const int32_t p : {40, 255, 256, 600}) {
    const Shape shape{.d_head = 64, .group = 3, .p = p};
    const Attend recycled{.kept = true, .keep = p - 9, .tail = p - 9};
    AttendCase c(shape, recycled, ranked(shape.n_kv_head, p - 9, p - 9), 0, 3);
    Machine machine({.seed = 1});
    c.launch(&machine);
    const std::vector<float> by_set = c.out, scores_by_set = c.scores;
    c.step.attend = {.everything = true};
    c.launch(&machine);
    EXPECT_EQ(c.out, by_set) << p;
    EXPECT_EQ(c.scores, scores_by_set) << p;
    EXPECT_EQ(c.difference(), "") << p;
  }
}

/// Everything a launch may write.
auto outputs(const AttendCase& c) {
  const auto bits = [](const std::vector<float>& x) {
    return std::vector<uint32_t>(reinterpret_cast<const uint32_t*>(x.data()),
                                 reinterpret_cast<const uint32_t*>(x.data()) + x.size());
  };
  return std::tuple(bits(c.out), bits(c.scores), bits(c.piece_m), bits(c.piece_d), bits(c.piece_o));
}

// Both branches of a gated plan are launched without asking the device: the wrong one must leave no trace.
TEST(Attend, BranchThatNoHeadChoseWritesNothing) {
  AttendCase c = half_kept({.d_head = 64, .group = 3}, 300);
  c.chosen = {0, 0};
  c.branch = 1;
  const auto before = outputs(c);
  Machine machine({.seed = 1});
  c.launch(&machine);
  EXPECT_EQ(outputs(c), before);
}

// Each KV head follows its own gate, and the flags are read when the kernel runs, not when it is queued.
TEST(Attend, GateFlagOfEveryKvHeadIsReadAtEachLaunch) {
  AttendCase c = half_kept({.d_head = 64, .group = 3, .n_kv_head = 3}, 300);
  const size_t share = c.out.size() / 3;
  const auto written = [&] {
    std::vector<bool> heads;
    for (size_t h = 0; h < 3; ++h) {
      heads.push_back(std::none_of(c.out.begin() + static_cast<ptrdiff_t>(h * share),
                                   c.out.begin() + static_cast<ptrdiff_t>((h + 1) * share),
                                   [](float x) { return std::isnan(x); }));
    }
    return heads;
  };
  c.chosen = {1, 0, 1};
  c.branch = 0;
  Machine machine({.seed = 2});
  c.launch(&machine);
  EXPECT_EQ(written(), (std::vector<bool>{false, true, false}));
  EXPECT_EQ(c.difference(), "");
  c.branch = 1;
  c.launch(&machine);
  EXPECT_EQ(written(), (std::vector<bool>{true, true, true}));
  EXPECT_EQ(c.difference(), "");

  std::fill(c.out.begin(), c.out.end(), std::nanf(""));
  c.chosen = {1, 0, 0};  // the next step's gate: the flags of this one are stale
  c.launch(&machine);
  EXPECT_EQ(written(), (std::vector<bool>{true, false, false}));
  EXPECT_EQ(c.difference(), "");
}

// A step with a smaller set must not see the pieces that the step before left in the scratch.
TEST(Attend, StatesOfALargerSetBeforeItDoNotLeakIn) {
  const Shape shape{.d_head = 8, .group = 4, .p = 700};
  AttendCase c(shape, {.everything = true}, {}, 0, 5);
  Machine machine({.seed = 1});
  c.launch(&machine);
  c.step.attend = {.lead = 4, .tail = 600};
  c.launch(&machine);
  EXPECT_EQ(c.difference(), "");
}

// Scores so far apart that all but one weight vanish, and so large that exp() of them would overflow.
TEST(Attend, HugeScoresNeitherOverflowNorVanish) {
  AttendCase c = half_kept({.d_head = 64, .group = 4}, 300);
  for (float& x : c.q) x *= 100;
  expect_right(c, "queries times 100");
}

// StreamingLLM in the cache's own ranks: keys of [0, lead) meet the query at its rank.
TEST(Attend, RankRotationEqualsRotatingEveryKey) {
  constexpr int32_t lead = 4, tail = 340, p = 599, d_head = 64, rank = lead + p - tail;
  const Shape shape{.d_head = d_head, .group = 2, .p = p};
  AttendCase c(shape, {.lead = lead, .tail = tail, .rank_rotation = true}, {}, 0, 9);
  const auto rotated = [](const std::vector<double>& x, int32_t by) {
    std::vector<double> y(x.size());
    const size_t half = d_head / 2;
    for (size_t head = 0; head < x.size(); head += d_head) {
      for (size_t e = 0; e < half; ++e) {
        const double angle = by * std::pow(10000.0, -static_cast<double>(e) / half);
        const double a = x[head + e], b = x[head + e + half];
        y[head + e] = a * std::cos(angle) - b * std::sin(angle);
        y[head + e + half] = a * std::sin(angle) + b * std::cos(angle);
      }
    }
    return y;
  };
  const std::vector<double> query(c.q.begin(), c.q.end());
  const std::vector<double> at_p = rotated(query, p), at_rank = rotated(query, rank);
  c.q.assign(at_p.begin(), at_p.end());
  c.q_lead.assign(at_rank.begin(), at_rank.end());
  Machine machine({.seed = 3});
  c.launch(&machine);
  EXPECT_EQ(c.difference(), "");
  const std::vector<int32_t> set = c.positions(0);
  for (size_t i = 0; i < set.size(); ++i) {
    const Half* const key = c.keys[static_cast<size_t>(set[i] / kPiece)].data() + set[i] % kPiece * d_head;
    std::vector<double> cached(d_head);
    std::transform(key, key + d_head, cached.begin(), [](Half x) { return double{to_float(x)}; });
    const std::vector<double> at_its_rank = rotated(cached, static_cast<int32_t>(i) - set[i]);
    double score = 0;
    for (size_t e = 0; e < d_head; ++e) score += at_rank[e] * at_its_rank[e] * double{c.scale};
    EXPECT_NEAR(double{c.scores[i]}, score, 1e-5) << "entry " << i;
  }
}

// The tests above are worth something only if a barrier less is noticed: by a wrong result or a crash, with each seed.
TEST(AttendDeathTest, EveryBarrierIsNeeded) {
  Machine whole;
  AttendCase right = half_kept({.d_head = 64, .group = 5}, 257);
  right.launch(&whole);
  ASSERT_EQ(right.difference(), "");
  EXPECT_EQ(whole.barriers().size(), 4u);
  const auto noticed = [](int status) { return !WIFEXITED(status) || WEXITSTATUS(status) != 0; };
  for (const Site& site : whole.barriers()) {
    for (uint32_t seed = 0; seed < kSeeds; ++seed) {
      const auto run_without = [&] {
        AttendCase c = half_kept({.d_head = 64, .group = 5}, 257);
        Machine machine({.seed = seed, .left_out = site});
        c.launch(&machine);
        std::exit(c.difference().empty() ? 0 : 1);
      };
      EXPECT_EXIT(run_without(), noticed, "") << site.file << ":" << site.line << " with seed " << seed;
    }
  }
}

TEST(Attend, WidthsAndGroupsWithoutAKernelAreRefusedInWords) {
  Machine machine;
  const auto complaint = [&](int32_t group, int32_t d_head) -> std::string {
    try {
      cuda::launch_attend(&machine, {}, 1, group, d_head);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(complaint(9, 64).find("1 to 8 query heads per KV head, got 9"), std::string::npos) << complaint(9, 64);
  EXPECT_NE(complaint(0, 128).find("got 0"), std::string::npos);
  EXPECT_NE(complaint(1, 80).find("8, 64 or 128, got 80"), std::string::npos) << complaint(1, 80);
}

}  // namespace
}  // namespace reattend::simt
