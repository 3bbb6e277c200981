// Rows of a prompt summed without a matrix of them: right, and the same bits however the prompt was cut or shared out.
#include "tests/kernels/support.h"

namespace reattend {
namespace {

using namespace test;

constexpr size_t kKvHeads = 2;

/// Caches of two KV heads, queries of n_token tokens, and room for sums with some columns to spare.
struct Prompt {
  int32_t first, n_token, group;
  std::vector<Cache> caches;
  std::vector<KvBlocks> kv;
  std::vector<float> q;
  float cap = 0;

  Prompt(int32_t first_, int32_t n_token_, int32_t group_, int32_t d_head, KvType type, uint32_t seed)
      : first(first_), n_token(n_token_), group(group_) {
    for (uint32_t g = 0; g < kKvHeads; ++g) caches.emplace_back(first + n_token, d_head, type, seed + g);
    for (const Cache& cache : caches) kv.push_back(cache.blocks());
    q = Random(seed + 9).normals(n_token * width());
  }
  int64_t width() const { return static_cast<int64_t>(kKvHeads) * group * kv[0].d_head; }
  int64_t stride() const { return first + n_token + 3; }
  size_t n_sum() const { return kKvHeads * static_cast<size_t>(group * stride()); }

  std::vector<float> sums(ThreadPool& pool, int32_t chunk, float start = 0) const {
    std::vector<float> out(n_sum(), start);
    Cpu::Scratch scratch;
    for (int32_t t = 0; t < n_token; t += chunk) {
      Cpu::sum_prompt_rows(pool, scratch, q.data() + t * width(), std::min(chunk, n_token - t), first + t, group, kv,
                           {scale_of(kv[0].d_head), cap}, out.data(), stride());
    }
    return out;
  }
  std::vector<double> reference_sums(ThreadPool& pool, double start = 0) const {
    std::vector<double> out(n_sum(), start);
    Reference::sum_prompt_rows(pool, {}, widen(q).data(), n_token, first, group, kv, {scale_of(kv[0].d_head), cap},
                               out.data(), stride());
    return out;
  }
};

class PromptRows : public OnTarget {};

// On both sides of a vector's, a panel's, a strip's and a piece's end.
TEST_P(PromptRows, AgreeWithReference) {
  ThreadPool pool(2);
  for (const KvType type : kKvTypes) {
    for (const int32_t d_head : {8, 33, 64, 128}) {
      for (const int32_t group : {1, 3, 8}) {
        if (group != 3 && d_head != 64) continue;
        for (const auto& [first, n_token] : {std::pair{0, 1},
                                             {0, 15},
                                             {0, 16},
                                             {0, 17},
                                             {0, 65},
                                             {7, 9},
                                             {250, 12},
                                             {255, 1},
                                             {256, 1},
                                             {257, 2},
                                             {500, 33}}) {
          Prompt prompt(first, n_token, group, d_head, type, 1);
          if (d_head == 33) prompt.cap = 0.7F;
          const std::vector<float> got = prompt.sums(pool, n_token, 0.25F);
          const std::vector<double> want = prompt.reference_sums(pool, 0.25);
          // A weight's relative error is that of its score (as bounded in attend_test.cpp) and of the row's sum; each
          // addition rounds once more.
          const double relative = (2 * 8 * (16 + d_head) + n_token + 16) * 0x1p-24;
          for (size_t i = 0; i < got.size(); ++i) {
            ASSERT_NEAR(double{got[i]}, want[i], relative * want[i])
                << "d_head " << d_head << " group " << group << " first " << first << " tokens " << n_token << " at "
                << i;
          }
        }
      }
    }
  }
}

// A row sums to one, so nothing is lost or counted twice where pieces and strips meet, nor where rows are so long that
// fewer tokens are held at once.
TEST_P(PromptRows, SumToTheNumberOfTokens) {
  ThreadPool pool(2);
  for (const auto& [first, n_token, group, d_head] :
       {std::tuple{0, 255, 3, 64}, {0, 256, 3, 64}, {0, 257, 3, 64}, {0, 700, 3, 64}, {20000, 40, 8, 8}}) {
    const Prompt prompt(first, n_token, group, d_head, KvType::f16, 20);
    const std::vector<float> got = prompt.sums(pool, n_token);
    const auto stride = static_cast<size_t>(prompt.stride());
    for (size_t head = 0; head < kKvHeads * static_cast<size_t>(group); ++head) {
      double total = 0;
      for (size_t i = 0; i < stride; ++i) total += double{got[head * stride + i]};
      EXPECT_NEAR(total, n_token, n_token * 1e-5) << "first " << first << " tokens " << n_token;
    }
    EXPECT_TRUE(same_bits(prompt.sums(pool, 37), got)) << "first " << first << " tokens " << n_token;
  }
}

// Selections made from the sums must not depend on the chunks or the machine, whatever else lies in the cache's blocks.
TEST_P(PromptRows, BitsDependNeitherOnTheCutNorOnThreads) {
  for (const auto& [d_head, group, type] : {std::tuple{64, 3, KvType::f16},
                                            {64, 1, KvType::f32},
                                            {8, 8, KvType::f32},
                                            {33, 3, KvType::f16},
                                            {64, 3, KvType::q8},
                                            {33, 3, KvType::bf16}}) {
    const Prompt prompt(230, 530, group, d_head, type, 30), dirty(230, 530, group, d_head, type, 30);
    for (const Cache& cache : dirty.caches) {
      for (int32_t p = 760; p < 768; ++p) {
        std::memset(cache.row(p, false), 0xff, static_cast<size_t>(row_bytes(type, d_head)));
      }
    }
    ThreadPool alone(1);
    const std::vector<float> want = prompt.sums(alone, 530);
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      for (const int32_t chunk : {1, 7, 64, 512, 530}) {
        EXPECT_TRUE(same_bits(dirty.sums(pool, chunk), want)) << "threads " << threads << " chunk " << chunk;
      }
    }
  }
}

// Scores far apart: all of a row's weight falls on its best position, and nothing becomes infinite or not a number.
TEST_P(PromptRows, LargeScoresNeitherOverflowNorVanish) {
  ThreadPool pool(2);
  Prompt prompt(0, 300, 3, 64, KvType::f16, 40);
  for (float& x : prompt.q) x *= 1e4F;
  const std::vector<float> got = prompt.sums(pool, 300);
  const std::vector<double> want = prompt.reference_sums(pool);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(double{got[i]}, want[i], 0.05) << i;
}

REATTEND_ON_EVERY_TARGET(PromptRows);

}  // namespace
}  // namespace reattend
