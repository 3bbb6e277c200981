// Attention: right against plain double loops, and scores and results whose bits depend on nothing but the data.
#include "tests/kernels/support.h"

namespace reattend {
namespace {

using namespace test;

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

REATTEND_ON_EVERY_TARGET(Attend);

}  // namespace
}  // namespace reattend
