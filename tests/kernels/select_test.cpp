// Selection: rows, reduction, pooling, the highest k and similarity, against their definitions.
#include "tests/kernels/support.h"

namespace reattend {
namespace {

using namespace test;

class Select : public OnTarget {};

TEST_P(Select, SoftmaxAgreesWithReference) {
  for (const int64_t n : {1, 2, 15, 16, 17, 255, 1000}) {
    for (const float sigma : {0.1F, 3.0F, 60.0F}) {
      std::vector<float> row = Random(static_cast<uint32_t>(n)).normals(n, sigma);
      std::vector<double> want = widen(row);
      Reference::softmax(want.data(), n);
      const float top = *std::max_element(row.begin(), row.end());
      const std::vector<float> raw = row;
      Cpu::softmax(row.data(), n);
      double total = 0;
      for (size_t i = 0; i < row.size(); ++i) {
        // The difference to the maximum is rounded once: relative 2^-24 of it; exp adds 2 units, the sum's mean few.
        const double relative = (std::fabs(double{raw[i]} - double{top}) + 8 + static_cast<double>(n) / 16) * 0x1p-24;
        EXPECT_NEAR(double{row[i]}, want[i], want[i] * relative + 2e-38) << "n " << n << " sigma " << sigma;
        total += double{row[i]};
      }
      EXPECT_NEAR(total, 1, 1e-5);
    }
  }
}

TEST_P(Select, ReduceAgreesWithReference) {
  for (const int32_t group : {1, 2, 3, 8}) {
    const int64_t n = 37, stride = 40;
    const std::vector<float> rows = Random(1).normals(group * stride);
    for (const Reduce how : {Reduce::max, Reduce::mean, Reduce::first}) {
      std::vector<float> got(n);
      std::vector<double> want(n);
      Cpu::reduce_heads(rows.data(), group, stride, n, how, got.data());
      Reference::reduce_heads(widen(rows).data(), group, stride, n, how, want.data());
      for (size_t i = 0; i < n; ++i) EXPECT_NEAR(double{got[i]}, want[i], 8 * 0x1p-24 * 4);
    }
  }
}

// A choice that reduced other bits than those of the rows would not be the one that a replay makes of them.
TEST_P(Select, ReducesWeightsToTheBitsOfTheirRows) {
  for (const int64_t n : {1, 15, 16, 255, 256, 257, 700, 1024}) {
    for (const int32_t group : {1, 3, 7}) {
      const int64_t stride = (n + 63) / 64 * 64, n_state = (n + kPiece - 1) / kPiece;
      const std::vector<float> scores = Random(static_cast<uint32_t>(n)).normals(group * stride, 5);
      for (const Reduce how : {Reduce::max, Reduce::mean, Reduce::first}) {
        std::vector<float> rows = scores, weights = scores, m(static_cast<size_t>(group * n_state)), d(m.size());
        std::vector<double> wide = widen(scores), wide_m(m.size()), wide_d(m.size());
        for (int32_t h = 0; h < group; ++h) {
          Cpu::softmax(rows.data() + h * stride, n);
          Cpu::weigh(weights.data() + h * stride, n, m.data() + h * n_state, d.data() + h * n_state);
          Reference::weigh(wide.data() + h * stride, n, wide_m.data() + h * n_state, wide_d.data() + h * n_state);
        }
        std::vector<float> want(static_cast<size_t>(n)), got(want.size());
        std::vector<double> exact(want.size());
        Cpu::reduce_heads(rows.data(), group, stride, n, how, want.data());
        Cpu::reduce_weights(weights.data(), group, stride, n, m.data(), d.data(), n_state, how, got.data());
        Reference::reduce_weights(wide.data(), group, stride, n, wide_m.data(), wide_d.data(), n_state, how,
                                  exact.data());
        ASSERT_TRUE(same_bits(got, want)) << "n " << n << " group " << group;
        for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(double{got[i]}, exact[i], 1e-5 * exact[i] + 1e-30);
      }
    }
  }
}

// Pooling copies values: exactly the reference's, for windows wider than the row too.
TEST_P(Select, PoolAgreesWithReference) {
  for (const int64_t n : {1, 2, 7, 16, 100, 2047, 2048, 2049, 4096, 4097}) {
    const std::vector<float> x = Random(2).normals(n);
    for (const int32_t width : {1, 3, 5, 7, 9, 15, 31, 33, 255, 4101}) {
      std::vector<float> got(x.size());
      std::vector<double> want(x.size());
      Cpu::max_pool(x.data(), n, width, got.data());
      Reference::max_pool(widen(x).data(), n, width, want.data());
      EXPECT_EQ(widen(got), want) << "n " << n << " width " << width;
    }
  }
}

// A row that attention leaves behind and one made from scores must have the same bits, or replays choose otherwise.
TEST_P(Select, SoftmaxIsWhatPiecesMakeOfARow) {
  for (const int64_t n : {1, 255, 256, 257, 512, 1000}) {
    std::vector<float> row = Random(4).normals(n, 5), whole = row, m, d;
    Cpu::softmax(whole.data(), n);
    for (int64_t at = 0; at < n; at += kPiece) {  // states of three heads, this one the second
      m.insert(m.end(), 3, 1e9F), d.insert(d.end(), 3, 1e9F);
      cpu::table().weigh(row.data() + at, static_cast<int>(std::min<int64_t>(kPiece, n - at)), &m[m.size() - 2],
                         &d[d.size() - 2]);
    }
    Cpu::finish_row(row.data(), n, m.data() + 1, d.data() + 1, 3);
    EXPECT_TRUE(same_bits(row, whole)) << n;
  }
}

// exp at the ends of its range: a weight of a far lower score is 0, never negative, infinite or not a number.
TEST_P(Select, SoftmaxOfDistantScores) {
  std::vector<float> row = {0, -87, -88, -1e4F, -1e38F, -std::numeric_limits<float>::infinity()};
  Cpu::softmax(row.data(), 6);
  EXPECT_EQ(row[0], 1.0F);
  EXPECT_NEAR(double{row[1]}, std::exp(-87.0), 1e-44);
  for (size_t i = 2; i < 6; ++i) EXPECT_EQ(row[i], 0.0F);
}

// A bound that is off by one rounding may leave out the page with the best key.
TEST_P(Select, PageBoundsAreExact) {
  for (const KvType type : kKvTypes) {
    for (const int32_t d_head : {1, 8, 15, 16, 17, 33, 64, 128}) {
      const Cache cache(600, d_head, type, 3);
      for (const auto& [first, n] : {std::pair{0, 1}, {0, 16}, {16, 15}, {240, 17}, {255, 2}, {3, 597}, {599, 1}}) {
        const auto width = static_cast<size_t>(2 * d_head);
        std::vector<float> got(width);
        std::vector<double> want(width);
        Cpu::page_bounds(cache.blocks(), first, n, got.data());
        Reference::page_bounds(cache.blocks(), first, n, want.data());
        EXPECT_EQ(widen(got), want) << "d_head " << d_head << " from " << first << ", " << n;
      }
    }
  }
}

TEST_P(Select, PageScoresAgreeWithReference) {
  for (const int32_t d_head : {8, 33, 64, 128}) {
    for (const int32_t group : {1, 3, 8}) {
      for (const int32_t n_page : {1, 3, 4, 15, 16, 17, 255, 256, 257, 600}) {
        Random random(static_cast<uint32_t>(n_page));
        const std::vector<float> q = random.normals(group * d_head);
        std::vector<float> bounds = random.normals(int64_t{n_page} * 2 * d_head);
        for (size_t page = 0; page < static_cast<size_t>(n_page); ++page) {
          for (size_t c = 0; c < static_cast<size_t>(d_head); ++c) {
            float* const low = &bounds[2 * page * static_cast<size_t>(d_head) + c];
            if (low[0] > low[d_head]) std::swap(low[0], low[d_head]);
          }
        }
        std::vector<float> got(static_cast<size_t>(n_page));
        std::vector<double> want(got.size());
        Cpu::page_scores(q.data(), group, d_head, bounds.data(), n_page, got.data());
        Reference::page_scores(widen(q).data(), group, d_head, widen(bounds).data(), n_page, want.data());
        for (size_t i = 0; i < got.size(); ++i) {
          EXPECT_NEAR(double{got[i]}, want[i], (16 + d_head) * 0x1p-24 * d_head)
              << "d_head " << d_head << " group " << group << " page " << i << " of " << n_page;
        }
        // A page's score does not depend on how many pages there are.
        std::vector<float> last(1);
        Cpu::page_scores(q.data(), group, d_head, &bounds[static_cast<size_t>((n_page - 1) * 2 * d_head)], 1,
                         last.data());
        EXPECT_EQ(last[0], got.back());
      }
    }
  }
}

// What makes pages a safe choice: no key of a page scores above it.
TEST_P(Select, NoKeyExceedsItsPage) {
  const int32_t d_head = 64, group = 3, n = 400, page = 16;
  const Cache cache(n, d_head, KvType::f16, 5);
  const std::vector<float> q = Random(6).normals(group * d_head);
  std::vector<float> bounds(n / page * 2 * d_head), pages(n / page), scores(group * n);
  for (int32_t i = 0; i < n / page; ++i) {
    Cpu::page_bounds(cache.blocks(), i * page, page, &bounds[static_cast<size_t>(i * 2 * d_head)]);
  }
  Cpu::page_scores(q.data(), group, d_head, bounds.data(), n / page, pages.data());
  Cpu::score_run(q.data(), group, cache.blocks(), n, 1, scores.data(), n);
  for (size_t i = 0; i < scores.size(); ++i) EXPECT_LE(scores[i], pages[i % n / page] + 1e-4F);
}

REATTEND_ON_EVERY_TARGET(Select);

std::vector<int32_t> top_k(const std::vector<float>& score, int32_t k) {
  std::vector<int32_t> out(score.size() + 1, -1);
  const int32_t n = Cpu::top_k(score.data(), static_cast<int32_t>(score.size()), k, out.data());
  EXPECT_EQ(out[static_cast<size_t>(n)], -1) << "wrote past its result";
  out.resize(static_cast<size_t>(n));
  return out;
}

std::vector<int32_t> reference_top_k(const std::vector<float>& score, int32_t k) {
  std::vector<int32_t> out(score.size());
  const std::vector<double> wide = widen(score);
  out.resize(static_cast<size_t>(Reference::top_k(wide.data(), static_cast<int32_t>(wide.size()), k, out.data())));
  return out;
}

// Which positions are kept, and in which order they leave later: rank order, the lower position first on ties.
class TopK : public OnTarget {};

TEST_P(TopK, AgreesWithASortIncludingTies) {
  for (const int32_t n : {1, 2, 16, 300, 5000}) {
    for (const int kind : {0, 1, 2, 3}) {
      Random random(static_cast<uint32_t>(n + kind));
      std::vector<float> score(static_cast<size_t>(n));
      for (float& x : score) {
        x = kind == 0   ? random.normal()                          // mixed signs
            : kind == 1 ? static_cast<float>(random.below(4)) - 2  // many ties, zero among them
            : kind == 2 ? std::exp(random.normal(8)) * 1e-6F       // softmax-like
                        : (random.below(2) != 0 ? 0.0F : -0.0F);   // equal, though bits differ
      }
      for (const int32_t k : {0, 1, 2, n / 3, n - 1, n, n + 5}) {
        EXPECT_EQ(top_k(score, k), reference_top_k(score, k)) << "n " << n << " kind " << kind << " k " << k;
      }
    }
  }
}

// Plateaus are sorted as one: of any length, cut by k, apart from an equal one, and many to a bucket.
TEST_P(TopK, AgreesWithASortOfPooledScores) {
  for (const int32_t n : {15, 17, 2047, 2048, 7680}) {
    for (const int32_t width : {1, 7, 9, 31}) {
      for (const float sigma : {0.001F, 2.0F}) {  // many neighbours among the leading bits, or few
        Random random(static_cast<uint32_t>(n + width));
        std::vector<float> row(static_cast<size_t>(n)), score(row.size());
        for (float& x : row) x = std::exp(random.normal(sigma));
        for (size_t i = 5; i < row.size(); i += 11) row[i] = row[5];
        Cpu::max_pool(row.data(), n, width, score.data());
        for (const int32_t k : {3, n / 8, n / 2, n - 1}) {
          EXPECT_EQ(top_k(score, k), reference_top_k(score, k))
              << "n " << n << " width " << width << " sigma " << sigma << " k " << k;
        }
      }
    }
  }
}

TEST_P(TopK, OrdersInfinitiesAndTinyNumbers) {
  const float inf = std::numeric_limits<float>::infinity(), tiny = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(top_k({0, -inf, tiny, inf, -tiny, 1}, 6), (std::vector<int32_t>{3, 5, 2, 0, 4, 1}));
}

REATTEND_ON_EVERY_TARGET(TopK);

TEST(Similarity, AgreesWithReference) {
  const int32_t n_head = 5, d_head = 33;
  const std::vector<float> q = Random(1).normals(n_head * d_head), ref = Random(2).normals(n_head * d_head);
  for (const Similarity how :
       {Similarity::mean_query, Similarity::mean_cosine, Similarity::min_cosine, Similarity::concatenated}) {
    const double want = Reference::similarity(widen(q).data(), widen(ref).data(), n_head, d_head, how);
    EXPECT_NEAR(double{Cpu::similarity(q.data(), ref.data(), n_head, d_head, how)}, want, 1e-7);
    EXPECT_NEAR(double{Cpu::similarity(q.data(), q.data(), n_head, d_head, how)}, 1, 1e-7);
    const std::vector<float> none(q.size());
    EXPECT_EQ(Cpu::similarity(q.data(), none.data(), n_head, d_head, how), 0.0F) << "no direction, no similarity";
  }
  // Heads (1,0) and (0,1) against (1,0) twice: means (1,1)/2 and (1,0); cosines 1 and 0.
  const float a[] = {1, 0, 0, 1}, b[] = {1, 0, 1, 0};
  EXPECT_FLOAT_EQ(Cpu::similarity(a, b, 2, 2, Similarity::mean_query), 0.70710678F);
  EXPECT_FLOAT_EQ(Cpu::similarity(a, b, 2, 2, Similarity::mean_cosine), 0.5F);
  EXPECT_FLOAT_EQ(Cpu::similarity(a, b, 2, 2, Similarity::min_cosine), 0.0F);
  EXPECT_FLOAT_EQ(Cpu::similarity(a, b, 2, 2, Similarity::concatenated), 0.5F);
  const float c[] = {3, 0, 0, 1};  // long heads count for more: 3 of sqrt(10) sqrt(2)
  EXPECT_FLOAT_EQ(Cpu::similarity(c, b, 2, 2, Similarity::concatenated), 0.67082039F);
}

}  // namespace
}  // namespace reattend
