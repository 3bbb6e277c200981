// Attention of a prompt: right against plain double loops, with windows and caps, and the same bits however it is cut.
#include "tests/kernels/support.h"

namespace reattend {
namespace {

using namespace test;

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
/// the weight. Where many have some, their errors average, and those of scores and weights stay below a quarter of
/// that.
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

REATTEND_ON_EVERY_TARGET(AttendPrompt);

}  // namespace
}  // namespace reattend
