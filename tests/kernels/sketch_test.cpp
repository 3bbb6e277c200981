// Sketches of keys: ranges and codes exactly as the definition says however they grew; estimates, channels and sets.
#include "kernels/sketch.h"
#include "tests/kernels/support.h"

namespace reattend {
namespace {

using namespace test;

class Sketches : public OnTarget {};

/// Bytes of a sketch of n positions that grew in the steps given.
std::vector<std::byte> grown(const Cache& cache, const SketchLayout& layout, std::span<const int32_t> steps) {
  std::vector<std::byte> blocks;
  int32_t known = 0;
  for (const int32_t n : steps) {
    blocks.resize(static_cast<size_t>(layout.bytes(n)));
    Cpu::extend_sketch(cache.blocks(), layout, known, n, blocks.data());
    known = n;
  }
  return blocks;
}
std::vector<std::byte> defined(const Cache& cache, const SketchLayout& layout, int32_t n) {
  std::vector<std::byte> blocks(static_cast<size_t>(layout.bytes(n)));
  Reference::extend_sketch(cache.blocks(), layout, 0, n, blocks.data());
  return blocks;
}

struct Case {
  Sketch shape;
  int32_t d_head, n;
  KvType type;
};
const Case kCases[] = {
    {{256, 2, 16, 4}, 64, 700, KvType::f16},    {{256, 2, 16, 4}, 64, 513, KvType::f32},
    {{256, 2, 5, 0}, 20, 300, KvType::bf16},    {{256, 2, 64, 4}, 256, 260, KvType::q8},
    {{32, 1, 9, 3}, 33, 100, KvType::f16},      {{100, 3, 8, 4}, 64, 350, KvType::f16},
    {{64, 4, 20, 70}, 80, 200, KvType::q8},     {{16, 5, 3, 1}, 8, 50, KvType::f32},
    {{7, 6, 2, 4}, 8, 40, KvType::bf16},        {{1, 7, 2, 0}, 8, 20, KvType::f16},
    {{256, 2, 16, 256}, 64, 1024, KvType::f16}, {{256, 2, 16, 0}, 64, 769, KvType::f16},
    {{300, 8, 16, 299}, 64, 900, KvType::f16},  {{4096, 2, 16, 4}, 64, 600, KvType::f16},
};

std::string name_of_case(const Case& c) {
  return "block " + std::to_string(c.shape.block) + " bits " + std::to_string(c.shape.bits) + " first " +
         std::to_string(c.shape.first) + " d_head " + std::to_string(c.d_head) + " n " + std::to_string(c.n);
}

// A code that depended on how a run was cut would make a continued prompt choose otherwise than one that was whole.
TEST_P(Sketches, HoldTheSameBytesHoweverTheyGrew) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(name_of_case(c));
    const Cache cache(c.n, c.d_head, c.type, 7);
    const SketchLayout layout = SketchLayout::of(c.shape, c.type, c.d_head, c.n);
    const std::vector<std::byte> want = defined(cache, layout, c.n);
    const int32_t at_once[] = {c.n};
    EXPECT_EQ(grown(cache, layout, at_once), want);
    std::vector<int32_t> each;
    for (int32_t n = std::max(1, c.n / 3); n <= c.n; n += n % 5 == 0 ? 3 : 1) each.push_back(n);
    each.back() = c.n;
    EXPECT_EQ(grown(cache, layout, each), want);
  }
}

// Keys that do not vary, and one that stands out: neither may divide by zero nor move another key's code.
TEST_P(Sketches, TakeRangesThatArePointsAndKeysOnEdges) {
  const int32_t n = 40, d_head = 4;
  const Cache cache(n, d_head, KvType::f32, 1);
  for (int32_t p = 0; p < n; ++p) {
    // Channel 0: constant; 1: multiples of a quarter of the range, on every edge; 2: an outlier; 3: two values.
    const double row[] = {3.5, static_cast<double>(p % 5), p == 17 ? 1e30 : 0.0, p % 2 == 0 ? -1.0 : 1.0};
    Reference::store_kv(row, d_head, KvType::f32, cache.row(p, false));
  }
  const SketchLayout layout = SketchLayout::of({32, 2, 4, 0}, KvType::f32, d_head, n);
  const int32_t at_once[] = {n};
  const std::vector<std::byte> blocks = grown(cache, layout, at_once);
  EXPECT_EQ(blocks, defined(cache, layout, n));
  const auto code = [&](int32_t p, int32_t channel) {
    const auto [byte, shift] = layout.place_of(p);
    const auto line = static_cast<size_t>(layout.codes_at() + int64_t{channel} * layout.line_bytes() + byte);
    return std::to_integer<int>(blocks[line]) >> shift & 3;
  };
  for (int32_t p = 0; p < 32; ++p) {
    EXPECT_EQ(code(p, 0), 0);
    EXPECT_EQ(code(p, 1), std::min(p % 5, 3)) << "a key on an edge takes the upper bin";
    EXPECT_EQ(code(p, 2), p == 17 ? 3 : 0);
    EXPECT_EQ(code(p, 3), p % 2 == 0 ? 0 : 3);
  }
}

TEST_P(Sketches, EstimateRowsAsTheReferenceDoes) {
  // Scores of up to 5 from 256 channels in float: each addition is rounded by 2^-24 of the sum, 2e-6 as they add up at
  // random, and ten times that is allowed.
  for (const Case& c : kCases) {
    for (const int32_t group : {1, 3, 7, 16}) {
      SCOPED_TRACE(name_of_case(c) + " group " + std::to_string(group));
      const Cache cache(c.n, c.d_head, c.type, 7);
      const SketchLayout layout = SketchLayout::of(c.shape, c.type, c.d_head, c.n);
      const std::vector<std::byte> blocks = defined(cache, layout, c.n - 1);
      const std::vector<float> q = Random(3).normals(int64_t{group} * c.d_head);
      const int32_t n_block = layout.n_block(c.n - 1);
      std::vector<int32_t> channels(static_cast<size_t>(c.shape.channels)), want_channels = channels;
      Cpu::sketch_channels(q.data(), group, layout, blocks.data(), n_block, channels.data());
      Reference::sketch_channels(widen(q).data(), group, layout, blocks.data(), n_block, want_channels.data());
      ASSERT_EQ(channels, want_channels);
      const float cap = group == 7 ? 5.0F : 0.0F;
      const int64_t stride = (c.n + 63) / 64 * 64;
      std::vector<float> got(static_cast<size_t>(group * stride), -77.0F);
      std::vector<double> want(got.size());
      const ScoreScale<float> scale(scale_of(c.d_head), cap);
      const int64_t n_state = n_piece(c.n);
      std::vector<float> m(static_cast<size_t>(group * n_state)), d(m.size());
      std::vector<double> wide_m(m.size()), wide_d(m.size());
      estimate_row<Cpu>(q.data(), group, cache.blocks(), layout, blocks.data(), channels, c.n, scale, got.data(),
                        stride, m.data(), d.data(), n_state);
      estimate_row<Reference>(widen(q).data(), group, cache.blocks(), layout, blocks.data(), channels, c.n,
                              scale.as<double>(), want.data(), stride, wide_m.data(), wide_d.data(), n_state);
      for (size_t i = 0; i < m.size(); ++i) {
        ASSERT_NEAR(double{m[i]}, wide_m[i], 2e-5) << "piece " << i;
        ASSERT_NEAR(double{d[i]}, wide_d[i], 1e-4 * wide_d[i]) << "piece " << i;
      }
      for (int32_t h = 0; h < group; ++h) {
        for (int32_t p = 0; p < c.n; ++p) {
          const auto at = static_cast<size_t>(h * stride + p);
          ASSERT_NEAR(double{got[at]}, want[at], 3e-5) << "head " << h << " position " << p;
        }
        if (c.n == stride) continue;
        EXPECT_EQ(got[static_cast<size_t>(h * stride + c.n)], -77.0F) << "written past the row";
      }
    }
  }
}

// With 8 bits and all channels little is left of the difference to the scores themselves.
TEST_P(Sketches, OfAllChannelsAndManyBitsAreTheScores) {
  const int32_t n = 500, d_head = 64;
  const Cache cache(n, d_head, KvType::f32, 5);
  const SketchLayout layout = SketchLayout::of({256, 8, d_head, 4}, KvType::f32, d_head, n);
  const int32_t at_once[] = {n - 1};
  const std::vector<std::byte> blocks = grown(cache, layout, at_once);
  const std::vector<float> q = Random(9).normals(d_head);
  std::vector<int32_t> channels(d_head);
  Cpu::sketch_channels(q.data(), 1, layout, blocks.data(), layout.n_block(n - 1), channels.data());
  std::vector<float> got(512), want(512);
  std::vector<float> m(2), d(2);
  estimate_row<Cpu>(q.data(), 1, cache.blocks(), layout, blocks.data(), channels, n, scale_of(d_head), got.data(), 512,
                    m.data(), d.data(), 2);
  Cpu::score_run(q.data(), 1, cache.blocks(), n, scale_of(d_head), want.data(), 512);
  Cpu::softmax(want.data(), n);
  Cpu::finish_row(got.data(), n, m.data(), d.data(), 1);
  for (int32_t p = 0; p < n; ++p) {
    // Of a score's error half a bin of a range of some 6 in 64 channels: 6 / 512 * sqrt(64) / 8 on average.
    const float weight = want[static_cast<size_t>(p)];
    const bool exact = p < 4 || p == n - 1;  // but for the sum that they are divided by
    EXPECT_NEAR(got[static_cast<size_t>(p)], weight, weight * (exact ? 0.002F : 0.05F)) << p;
  }
}

TEST_P(Sketches, ChooseTheBestSetAscending) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  Random random(4);
  for (const int32_t n : {1, 2, 15, 16, 17, 100, 2047, 2048, 5000}) {
    std::vector<float> score = random.normals(n);
    if (n == 100) {
      for (float& x : score) x = std::round(x);  // many are equal
    }
    for (const int32_t k : {0, 1, 2, 7, n / 8, n / 2, n - 1, n, n + 3}) {
      for (const float least : {kNone, -10.0F, 0.0F, 0.5F, 1.5F, 100.0F}) {
        for (const int32_t n_least : {0, 3, n}) {
          SCOPED_TRACE(std::to_string(n) + " " + std::to_string(k) + " " + std::to_string(least));
          std::vector<int32_t> got(static_cast<size_t>(std::clamp(k, 0, n))), want = got;
          got.resize(static_cast<size_t>(Cpu::top_set(score.data(), n, k, least, n_least, got.data())));
          want.resize(static_cast<size_t>(
              Reference::top_set(widen(score).data(), n, k, static_cast<double>(least), n_least, want.data())));
          ASSERT_EQ(got, want);
        }
      }
    }
  }
}

REATTEND_ON_EVERY_TARGET(Sketches);

}  // namespace
}  // namespace reattend
