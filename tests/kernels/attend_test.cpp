// Attention: right against plain double loops, and scores and results whose bits depend on nothing but the data.
#include "tests/kernels/support.h"

namespace reattend {
namespace {

using namespace test;

struct Shape {
  int32_t d_head, group;
  KvType type;
};

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (const KvType type : kKvTypes) {
    for (const int32_t d_head : {8, 20, 24, 32, 33, 64, 80, 96, 100, 128, 160, 192, 256}) {
      for (const int32_t group : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16}) {
        const bool compact = type == KvType::bf16 || type == KvType::q8;  // they differ from the others in one load
        const bool usual = d_head == 64 || d_head == 128;
        if (compact ? (d_head == 64 && group < 10) || group == 3 : usual || group == 4 || group == 3) {
          all.push_back({d_head, group, type});
        }
      }
    }
  }
  return all;
}

struct Attended {
  std::vector<float> out, rows;
};

Attended attend(ThreadPool& pool, const std::vector<float>& q, int32_t group, std::span<const KvBlocks> kv,
                std::span<const PositionSet> sets) {
  int32_t stride = 0;
  for (const PositionSet& set : sets) stride = std::max(stride, set.size());
  Attended result{std::vector<float>(q.size()),
                  std::vector<float>(kv.size() * static_cast<size_t>(group) * static_cast<size_t>(stride))};
  std::vector<float*> rows;
  for (size_t g = 0; g < kv.size(); ++g) rows.push_back(&result.rows[g * static_cast<size_t>(group * stride)]);
  Cpu::Scratch scratch;
  Cpu::attend(pool, scratch, q.data(), group, kv, sets, scale_of(kv[0].d_head), result.out.data(), rows.data(), stride);
  return result;
}

/// Scores carry d_head roundings of at most 2^-24 of |q||k|; a weight is then off by that plus exp's few units, and the
/// mean of values by twice a weight's relative error times the values' size (4.5 sigma of the normals used here).
double output_bound(int32_t d_head) {
  return 4.5 * 2 * (16 + d_head) * 0x1p-24 * 4;
}

class Attend : public OnTarget {};

// Every kind of set, on both sides of a piece's and an unroll's end.
TEST_P(Attend, AgreesWithReference) {
  ThreadPool pool(2);
  for (const Shape& shape : shapes()) {
    const Cache cache(1100, shape.d_head, shape.type, 1);
    const KvBlocks kv = cache.blocks();
    const std::vector<float> q = Random(2).normals(int64_t{shape.group} * shape.d_head);
    const std::vector<int32_t> kept = shuffled(700, 300, 3);
    std::vector<PositionSet> sets;
    for (const int32_t n : {1, 2, 3, 4, 5, 17, 255, 256, 257, 1100}) sets.push_back(everything_up_to(n));
    sets.push_back({.kept = kept.data(), .n_kept = 300, .tail = 700, .end = 1100});
    sets.push_back({.lead = 0, .kept = kept.data(), .n_kept = 1, .tail = 1099, .end = 1100});
    sets.push_back({.lead = 5, .tail = 255, .end = 258});
    for (const PositionSet& set : sets) {
      const Attended got = attend(pool, q, shape.group, {&kv, 1}, {&set, 1});
      const std::vector<double> wide = widen(q);
      std::vector<double> alone(got.rows.size());
      Reference::score_set(wide.data(), shape.group, kv, set, double{scale_of(shape.d_head)}, alone.data(), set.size());
      for (int32_t h = 0; h < shape.group; ++h) {
        std::vector<double> scores(static_cast<size_t>(set.size()));
        const auto want = Reference::attend_entries(&wide[static_cast<size_t>(h * shape.d_head)], kv, set, 0,
                                                    set.size(), double{scale_of(shape.d_head)}, scores.data());
        ASSERT_TRUE(std::equal(scores.begin(), scores.end(), alone.begin() + h * set.size()));
        for (int32_t c = 0; c < shape.d_head; ++c) {
          ASSERT_NEAR(double{got.out[static_cast<size_t>(h * shape.d_head + c)]},
                      want.o[static_cast<size_t>(c)] / want.d, output_bound(shape.d_head))
              << "d_head " << shape.d_head << " group " << shape.group << " set " << set.size();
        }
        Reference::softmax(scores.data(), set.size());
        for (int32_t i = 0; i < set.size(); ++i) {  // a weight errs by what its score errs by
          const double weight = scores[static_cast<size_t>(i)];
          ASSERT_NEAR(double{got.rows[static_cast<size_t>(h * set.size() + i)]}, weight,
                      weight * (16 + shape.d_head) * 0x1p-24 * 8)
              << "entry " << i;
        }
      }
    }
  }
}

// A selection made from scores must not depend on which path computed them.
TEST_P(Attend, ScoresOfAPositionAreTheSameBitsOnEveryPath) {
  ThreadPool pool(2);
  for (const Shape& shape : shapes()) {
    const int32_t n = 700;
    const Cache cache(n, shape.d_head, shape.type, 4);
    const KvBlocks kv = cache.blocks();
    const std::vector<float> q = Random(5).normals(int64_t{shape.group} * shape.d_head);
    std::vector<float> want(static_cast<size_t>(shape.group * n));
    Cpu::score_run(q.data(), shape.group, kv, n, scale_of(shape.d_head), want.data(), n);
    const std::vector<int32_t> kept = shuffled(400, 263, 6);
    const auto keys = cache.packed(kept, false, shape.type), values = cache.packed(kept, true, shape.type);
    const auto keys32 = cache.packed(kept, false, KvType::f32), values32 = cache.packed(kept, true, KvType::f32);
    const PositionSet plain{.lead = 0, .kept = kept.data(), .n_kept = 263, .tail = 401, .end = n};
    PositionSet packed = plain, packed32 = plain;
    packed.packed_keys = keys.data(), packed.packed_values = values.data(), packed.packed_type = shape.type;
    packed32.packed_keys = keys32.data(), packed32.packed_values = values32.data(), packed32.packed_type = KvType::f32;
    const PositionSet all = everything_up_to(n), few{.lead = 3, .tail = 398, .end = 399};
    Attended first;
    for (const PositionSet& set : {all, few, plain, packed, packed32}) {
      const Attended got = attend(pool, q, shape.group, {&kv, 1}, {&set, 1});
      std::vector<float> alone(got.rows.size());
      Cpu::score_set(q.data(), shape.group, kv, set, scale_of(shape.d_head), alone.data(), set.size());
      for (int32_t h = 0; h < shape.group; ++h) {
        float* const row = &alone[static_cast<size_t>(h * set.size())];
        for (int32_t i = 0; i < set.size(); ++i) {
          ASSERT_EQ(row[i], want[static_cast<size_t>(h * n + set[i])])
              << "d_head " << shape.d_head << " group " << shape.group << " entry " << i;
        }
        Cpu::softmax(row, set.size());
      }
      ASSERT_TRUE(same_bits(alone, got.rows)) << "d_head " << shape.d_head << " group " << shape.group;
      if (set.n_kept > 0 && set.packed_keys == nullptr) first = got;
      if (set.packed_keys != nullptr) {
        EXPECT_TRUE(same_bits(got.out, first.out)) << "packed copies must change nothing";
      }
    }
  }
}

// A trace stores what rows of bf16 and q8 stand for as floats: attention over those must give the engine's bits, or a
// replay would decide otherwise than the run.
TEST_P(Attend, CompactRowsGiveTheBitsOfTheFloatsTheyStandFor) {
  ThreadPool pool(2);
  const int32_t n = 700;
  const std::vector<int32_t> kept = shuffled(400, 263, 6);
  for (const Shape& shape : shapes()) {
    const Cache cache(n, shape.d_head, shape.type, 60), wide = cache.in(KvType::f32);
    const std::vector<float> q = Random(61).normals(int64_t{shape.group} * shape.d_head);
    for (const PositionSet& set :
         {everything_up_to(n), PositionSet{.kept = kept.data(), .n_kept = 263, .tail = 401, .end = n}}) {
      const KvBlocks own = cache.blocks(), floats = wide.blocks();
      const Attended got = attend(pool, q, shape.group, {&own, 1}, {&set, 1}),
                     want = attend(pool, q, shape.group, {&floats, 1}, {&set, 1});
      ASSERT_TRUE(same_bits(got.rows, want.rows)) << name_of(shape.type) << " d_head " << shape.d_head;
      ASSERT_TRUE(same_bits(got.out, want.out)) << name_of(shape.type) << " d_head " << shape.d_head;
    }
  }
}

// Results of one machine do not depend on its number of cores, and KV heads may attend to sets of their own.
TEST_P(Attend, BitsDoNotDependOnThreads) {
  const int32_t d_head = 64, group = 3, n = 3000;
  std::vector<Cache> caches;
  std::vector<KvBlocks> kv;
  const std::vector<int32_t> kept = shuffled(2000, 900, 8);
  for (uint32_t g = 0; g < 3; ++g) caches.emplace_back(n, d_head, g == 1 ? KvType::q8 : KvType::f16, 10 + g);
  for (const Cache& cache : caches) kv.push_back(cache.blocks());
  const PositionSet sets[] = {everything_up_to(n),
                              {.kept = kept.data(), .n_kept = 900, .tail = 2000, .end = n},
                              {.lead = 4, .tail = n - 1, .end = n}};
  const std::vector<float> q = Random(9).normals(3 * group * d_head);
  ThreadPool alone(1);
  const Attended want = attend(alone, q, group, kv, sets);
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 20; ++round) {
      const Attended got = attend(pool, q, group, kv, sets);
      ASSERT_TRUE(same_bits(got.out, want.out));
      ASSERT_TRUE(same_bits(got.rows, want.rows));
    }
  }
}

// A piece is a state of the attention algebra: merged by hand, pieces give what attend() gives.
TEST_P(Attend, PiecesMergeToTheWhole) {
  const int32_t d_head = 64, group = 3, n = 900;
  const Cache cache(n, d_head, KvType::f16, 20);
  const KvBlocks kv = cache.blocks();
  const std::vector<float> q = Random(21).normals(group * d_head);
  const PositionSet set = everything_up_to(n);
  std::vector<AttnState<float>> merged(group, AttnState<float>(d_head));
  for (int32_t piece = 0; piece < n_piece(n); ++piece) {
    std::vector<float> m(group), d(group), o(group * d_head);
    Cpu::attend_piece(q.data(), group, kv, set, piece, scale_of(d_head), m.data(), d.data(), o.data(), nullptr, 0);
    for (size_t h = 0; h < group; ++h) {
      AttnState<float> state(d_head);
      state.m = m[h], state.d = d[h];
      std::copy_n(o.begin() + static_cast<int64_t>(h) * d_head, d_head, state.o.begin());
      merge(merged[h], state);
    }
  }
  ThreadPool pool(1);
  const Attended got = attend(pool, q, group, {&kv, 1}, {&set, 1});
  for (size_t h = 0; h < group; ++h) {
    for (size_t c = 0; c < d_head; ++c) {
      EXPECT_NEAR(got.out[h * d_head + c], merged[h].o[c] / merged[h].d, output_bound(d_head));
    }
  }
}

// Strong scores: one position takes nearly all of the weight, and none overflows.
TEST_P(Attend, LargeScoresNeitherOverflowNorVanish) {
  const int32_t d_head = 64, n = 600;
  const Cache cache(n, d_head, KvType::f16, 30);
  const KvBlocks kv = cache.blocks();
  std::vector<double> key(d_head);
  Reference::load_kv(cache.row(300, false), d_head, KvType::f16, key.data());
  std::vector<float> q(key.begin(), key.end());
  for (float& x : q) x *= 1000;
  ThreadPool pool(1);
  const PositionSet set = everything_up_to(n);
  const Attended got = attend(pool, q, 1, {&kv, 1}, {&set, 1});
  std::vector<double> value(d_head);
  Reference::load_kv(cache.row(300, true), d_head, KvType::f16, value.data());
  for (size_t c = 0; c < d_head; ++c) EXPECT_NEAR(double{got.out[c]}, value[c], 1e-5);
}

class AttendPrompt : public OnTarget {};

/// What the instruction set in use has.
std::vector<PromptProducts> all_products() {
  if (Cpu::has_bf16_prompt()) return {PromptProducts::f32, PromptProducts::bf16};
  return {PromptProducts::f32};
}

std::vector<float> attend_prompt(ThreadPool& pool, PromptProducts products, const std::vector<float>& q, int32_t first,
                                 int32_t n_token, int32_t chunk, int32_t group, std::span<const KvBlocks> kv,
                                 int32_t window = 0, float cap = 0) {
  std::vector<float> out(q.size());
  const int32_t width = static_cast<int32_t>(kv.size()) * group * kv[0].d_head;
  Cpu::Scratch scratch;
  for (int32_t t = 0; t < n_token; t += chunk) {
    Cpu::attend_prompt(pool, scratch, q.data() + int64_t{t} * width, std::min(chunk, n_token - t), first + t, group, kv,
                       {scale_of(kv[0].d_head), cap}, window, products, out.data() + int64_t{t} * width);
  }
  return out;
}

/// bf16 rounds a value, 4.5 sigma at most, by up to 2^-8 of it: an output errs by as much where one position has all of
/// the weight. Where many have some, their errors average, and those of scores and weights stay below a quarter of that.
double prompt_bound(PromptProducts products, int32_t d_head) {
  return products == PromptProducts::f32 ? output_bound(d_head) : 1.25 * 4.5 * 0x1p-8;
}

TEST_P(AttendPrompt, AgreesWithReference) {
  ThreadPool pool(2);
  for (const Shape& shape :
       {Shape{8, 4, KvType::f32}, {64, 1, KvType::f16},  {64, 3, KvType::f16},  {64, 9, KvType::f32},
        {100, 3, KvType::f16},    {128, 4, KvType::f16}, {192, 2, KvType::f32}, {64, 3, KvType::bf16},
        {33, 2, KvType::bf16},    {8, 4, KvType::q8},    {64, 3, KvType::q8},   {100, 3, KvType::q8},
        {128, 4, KvType::q8},     {20, 5, KvType::f16},  {24, 2, KvType::f16},  {80, 7, KvType::f16},
        {96, 1, KvType::bf16},    {160, 2, KvType::f16}, {256, 4, KvType::f16}, {256, 1, KvType::q8}}) {
    for (const auto& [first, n_token] : {std::pair{0, 1}, {0, 5}, {0, 70}, {250, 12}, {500, 33}}) {
      std::vector<Cache> caches;
      std::vector<KvBlocks> kv;
      for (uint32_t g = 0; g < 2; ++g) caches.emplace_back(first + n_token, shape.d_head, shape.type, 40 + g);
      for (const Cache& cache : caches) kv.push_back(cache.blocks());
      const std::vector<float> q = Random(41).normals(int64_t{n_token} * 2 * shape.group * shape.d_head);
      std::vector<double> want(q.size());
      Reference::attend_prompt(pool, {}, widen(q).data(), n_token, first, shape.group, kv,
                               double{scale_of(shape.d_head)}, 0, PromptProducts::f32, want.data());
      for (const PromptProducts products : all_products()) {
        const std::vector<float> got = attend_prompt(pool, products, q, first, n_token, n_token, shape.group, kv);
        for (size_t i = 0; i < q.size(); ++i) {
          ASSERT_NEAR(double{got[i]}, want[i], prompt_bound(products, shape.d_head))
              << name_of(products) << " d_head " << shape.d_head << " group " << shape.group << " first " << first
              << " at " << i;
        }
      }
    }
  }
}

// A layer's own window, on both sides of a piece's end: neither a position more nor one less. A cache has given up the
// blocks that no window reaches any more.
TEST_P(AttendPrompt, AttendsToItsWindow) {
  ThreadPool pool(2);
  for (const int32_t window : {1, 2, 63, 256, 257, 300}) {
    for (const auto& [first, n_token] : {std::pair{0, 1}, {0, 70}, {250, 12}, {700, 130}}) {
      const Cache cache(first + n_token, 64, KvType::f16, 45);
      const KvBlocks kv = cache.blocks();
      const std::vector<float> q = Random(46).normals(int64_t{n_token} * 3 * 64);
      std::vector<double> want(q.size());
      Reference::attend_prompt(pool, {}, widen(q).data(), n_token, first, 3, {&kv, 1}, double{scale_of(64)}, window,
                               PromptProducts::f32, want.data());
      std::vector<const void*> keys(kv.keys, kv.keys + n_piece(first + n_token)),
          values(kv.values, kv.values + keys.size());
      for (int32_t b = 0; (b + 1) * kPiece <= first + 1 - window; ++b) {
        keys[static_cast<size_t>(b)] = values[static_cast<size_t>(b)] = nullptr;
      }
      const KvBlocks held = {keys.data(), values.data(), kv.type, kv.d_head};
      for (const PromptProducts products : all_products()) {
        for (const int32_t chunk : {n_token, 7}) {
          const std::vector<float> got = attend_prompt(pool, products, q, first, n_token, chunk, 3, {&held, 1}, window);
          for (size_t i = 0; i < q.size(); ++i) {
            ASSERT_NEAR(double{got[i]}, want[i], prompt_bound(products, 64))
                << name_of(products) << " window " << window << " first " << first << " " << i;
          }
        }
      }
    }
  }
}

// Scores of a size at which the cap bends them: without it the same queries give something else.
TEST_P(AttendPrompt, CapsScores) {
  ThreadPool pool(2);
  for (const int32_t d_head : {64, 20}) {
    const Cache cache(90, d_head, KvType::f32, 47);
    const KvBlocks kv = cache.blocks();
    const std::vector<float> q = Random(48).normals(int64_t{90} * 2 * d_head);
    std::vector<double> want(q.size());
    const ScoreScale<double> scale = {scale_of(d_head), 0.7F};
    Reference::attend_prompt(pool, {}, widen(q).data(), 90, 0, 2, {&kv, 1}, scale, 0, PromptProducts::f32, want.data());
    for (const PromptProducts products : all_products()) {
      const std::vector<float> got = attend_prompt(pool, products, q, 0, 90, 90, 2, {&kv, 1}, 0, 0.7F);
      const std::vector<float> uncapped = attend_prompt(pool, products, q, 0, 90, 90, 2, {&kv, 1});
      double difference = 0;
      for (size_t i = 0; i < q.size(); ++i) {
        ASSERT_NEAR(double{got[i]}, want[i], prompt_bound(products, d_head)) << "d_head " << d_head << " at " << i;
        difference = std::max(difference, std::abs(double{got[i]} - uncapped[i]));
      }
      EXPECT_GT(difference, 0.05);
    }
  }
}

// Of one decoded token, and of rows alone: a policy's scores are those that attention weighs by.
TEST_P(Attend, CapsScores) {
  ThreadPool pool(2);
  Cpu::Scratch scratch;
  for (const auto& [d_head, n] : {std::pair{64, 300}, {20, 17}}) {
    const Cache cache(n, d_head, KvType::f16, 49);
    const KvBlocks kv = cache.blocks();
    const PositionSet set = everything_up_to(n);
    const std::vector<float> q = Random(50).normals(int64_t{3} * d_head);
    std::vector<double> want_out(q.size()), want_rows(static_cast<size_t>(3 * n));
    double* want_row = want_rows.data();
    Reference::attend(pool, {}, widen(q).data(), 3, {&kv, 1}, {&set, 1}, {scale_of(d_head), 0.7F}, want_out.data(),
                      &want_row, n);
    std::vector<float> out(q.size()), rows(static_cast<size_t>(3 * n)), scores(rows.size());
    float* row = rows.data();
    Cpu::attend(pool, scratch, q.data(), 3, {&kv, 1}, {&set, 1}, {scale_of(d_head), 0.7F}, out.data(), &row, n);
    Cpu::score_set(q.data(), 3, kv, set, {scale_of(d_head), 0.7F}, scores.data(), n);
    for (size_t i = 0; i < q.size(); ++i) ASSERT_NEAR(double{out[i]}, want_out[i], output_bound(d_head)) << i;
    for (size_t h = 0; h < 3; ++h) Cpu::softmax(scores.data() + h * static_cast<size_t>(n), n);
    EXPECT_TRUE(same_bits(rows, scores));
    for (size_t i = 0; i < rows.size(); ++i) ASSERT_NEAR(double{rows[i]}, want_rows[i], 1e-6) << i;
  }
}

// A prompt gives the same keys, values and logits however it was cut, whatever else lies in the cache's blocks.
TEST_P(AttendPrompt, BitsDependNeitherOnTheCutNorOnThreads) {
  for (const Shape& shape : {Shape{64, 3, KvType::f16},
                             {64, 1, KvType::f32},
                             {8, 4, KvType::f32},
                             {64, 3, KvType::q8},
                             {33, 3, KvType::q8},
                             {80, 2, KvType::bf16}}) {
    const int32_t first = 230, n_token = 150;
    const Cache cache(first + n_token, shape.d_head, shape.type, 50),
        other(first + n_token, shape.d_head, shape.type, 50);
    for (int32_t p = first + n_token; p < 512; ++p) {  // what lies behind the prompt must not be looked at
      std::memset(other.row(p, false), 0xff, static_cast<size_t>(row_bytes(shape.type, shape.d_head)));
      std::memset(other.row(p, true), 0xff, static_cast<size_t>(row_bytes(shape.type, shape.d_head)));
    }
    const KvBlocks kv = cache.blocks(), kv_other = other.blocks();
    const std::vector<float> q = Random(51).normals(int64_t{n_token} * shape.group * shape.d_head);
    ThreadPool alone(1);
    for (const PromptProducts products : all_products()) {
      const auto want = attend_prompt(alone, products, q, first, n_token, n_token, shape.group, {&kv, 1});
      for (const int threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        for (const int32_t chunk : {1, 7, 64, 150}) {
          const auto got = attend_prompt(pool, products, q, first, n_token, chunk, shape.group, {&kv_other, 1});
          EXPECT_TRUE(same_bits(got, want)) << name_of(products) << " threads " << threads << " chunk " << chunk;
        }
      }
    }
  }
}

REATTEND_ON_EVERY_TARGET(Attend);
REATTEND_ON_EVERY_TARGET(AttendPrompt);

AttnState<double> random_state(uint32_t seed) {
  Random random(seed);
  AttnState<double> state(8);
  state.m = double{random.normal(5)}, state.d = 1 + std::fabs(double{random.normal()});
  for (double& x : state.o) x = double{random.normal()};
  return state;
}

AttnState<double> merged(AttnState<double> a, const AttnState<double>& b) {
  merge(a, b);
  return a;
}

void expect_equal(const AttnState<double>& a, const AttnState<double>& b) {
  EXPECT_NEAR(a.m, b.m, 1e-15);
  EXPECT_NEAR(a.d, b.d, 1e-14 * b.d);
  for (size_t i = 0; i < a.o.size(); ++i) EXPECT_NEAR(a.o[i], b.o[i], 1e-14 * b.d);
}

// Splitting a set over threads, pieces or kept and recent parts rests on these laws.
TEST(Merge, IsAssociativeAndCommutativeWithTheEmptySetAsIdentity) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const auto a = random_state(3 * seed), b = random_state(3 * seed + 1), c = random_state(3 * seed + 2);
    expect_equal(merged(merged(a, b), c), merged(a, merged(b, c)));
    expect_equal(merged(a, b), merged(b, a));
    const AttnState<double> empty(8);
    const auto left = merged(empty, a), right = merged(a, empty);
    for (const auto& each : {left, right}) {
      EXPECT_EQ(each.m, a.m);
      EXPECT_EQ(each.d, a.d);
      EXPECT_EQ(each.o, a.o);
    }
  }
  EXPECT_EQ(merged(AttnState<double>(2), AttnState<double>(2)).d, 0);
}

}  // namespace
}  // namespace reattend
