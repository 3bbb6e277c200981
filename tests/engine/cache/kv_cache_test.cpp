// What forks rely on: nobody sees another's tail, shared blocks cost nothing, and the last one to go frees them.
#include "engine/cache/kv_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>

#include "base/error.h"

namespace reattend {
namespace {

constexpr CacheShape kShape = {.n_layer = 2, .n_kv_head = 3, .d_head = 8, .type = KvType::f16, .n_ctx = 2000};
constexpr int64_t kBlockBytes = int64_t{2} * kPiece * 8 * 2;  // keys and values of one column
constexpr int64_t kColumns = int64_t{2} * 3;

/// Counts what is out on loan.
class Counting final : public std::pmr::memory_resource {
 public:
  int64_t bytes = 0;

 private:
  void* do_allocate(size_t n, size_t align) override {
    bytes += static_cast<int64_t>(n);
    return std::pmr::new_delete_resource()->allocate(n, align);
  }
  void do_deallocate(void* p, size_t n, size_t align) override {
    bytes -= static_cast<int64_t>(n);
    std::pmr::new_delete_resource()->deallocate(p, n, align);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

/// Fills positions [first, size()) with bytes that tell position, place and `mark`.
void fill(KvCache& cache, int32_t first, uint8_t mark) {
  const auto row = static_cast<size_t>(cache.bytes_per_position() / 2);
  for (int32_t layer = 0; layer < kShape.n_layer; ++layer) {
    for (int32_t g = 0; g < kShape.n_kv_head; ++g) {
      for (int32_t p = first; p < cache.size(); ++p) {
        std::memset(cache.key(layer, g, p), (p * 7 + layer * 3 + g + mark) & 255, row);
        std::memset(cache.value(layer, g, p), (p * 5 + layer * 2 + g + mark + 1) & 255, row);
      }
    }
  }
}

/// True if positions [first, last) are as fill() with that mark left them, seen through rows and through blocks.
bool holds(KvCache& cache, int32_t first, int32_t last, uint8_t mark) {
  for (int32_t layer = 0; layer < kShape.n_layer; ++layer) {
    for (int32_t g = 0; g < kShape.n_kv_head; ++g) {
      const KvBlocks blocks = cache.blocks(layer, g);
      for (int32_t p = first; p < last; ++p) {
        const auto* key = static_cast<const uint8_t*>(cache.key(layer, g, p));
        const auto* value = static_cast<const uint8_t*>(cache.value(layer, g, p));
        const int64_t at = p % kPiece * cache.bytes_per_position() / 2;
        if (static_cast<const uint8_t*>(blocks.keys[p / kPiece]) + at != key) return false;
        if (static_cast<const uint8_t*>(blocks.values[p / kPiece]) + at != value) return false;
        if (key[3] != ((p * 7 + layer * 3 + g + mark) & 255)) return false;
        if (value[15] != ((p * 5 + layer * 2 + g + mark + 1) & 255)) return false;
      }
    }
  }
  return true;
}

TEST(KvCache, ForksKeepTheirTailsToThemselves) {
  Counting memory;
  for (const int32_t n : {0, 1, 255, 256, 257, 511, 512, 700}) {  // either side of a block's end
    KvCache prompt(kShape, &memory);
    prompt.grow(n);
    fill(prompt, 0, 10);
    KvCache a(prompt), b(prompt);
    KvCache of_a(a);
    a.grow(300), b.grow(5), of_a.grow(260);
    fill(a, n, 20), fill(b, n, 30), fill(of_a, n, 40);
    prompt.grow(3);
    fill(prompt, n, 50);
    EXPECT_TRUE(holds(prompt, 0, n, 10) && holds(prompt, n, n + 3, 50)) << n;
    EXPECT_TRUE(holds(a, 0, n, 10) && holds(a, n, n + 300, 20)) << n;
    EXPECT_TRUE(holds(b, 0, n, 10) && holds(b, n, n + 5, 30)) << n;
    EXPECT_TRUE(holds(of_a, 0, n, 10) && holds(of_a, n, n + 260, 40)) << n;
    KvCache late(a);  // of a fork that went on
    late.grow(1);
    fill(late, n + 300, 60);
    EXPECT_TRUE(holds(late, 0, n, 10) && holds(late, n, n + 300, 20)) << n;
    EXPECT_EQ(a.size(), n + 300);
  }
  EXPECT_EQ(memory.bytes, 0) << "everything is given back";
}

TEST(KvCache, ForkCostsOneBlockAColumnAtMost) {
  Counting memory;
  KvCache prompt(kShape, &memory);
  prompt.grow(4 * kPiece);
  const int64_t books = 2000 * kColumns;  // pointers and counters, far below a block
  int64_t before = memory.bytes;
  EXPECT_GE(before, 4 * kColumns * kBlockBytes);
  {
    const KvCache fork(prompt);
    EXPECT_LT(memory.bytes - before, books) << "complete blocks are shared";
  }
  EXPECT_EQ(memory.bytes, before);
  prompt.grow(1);
  before = memory.bytes;
  const KvCache fork(prompt);
  EXPECT_LT(memory.bytes - before, kColumns * kBlockBytes + books) << "only the last block is copied";
}

TEST(KvCache, LastOneToGoFreesTheBlocks) {
  Counting memory;
  auto prompt = std::make_optional<KvCache>(kShape, &memory);
  prompt->grow(2 * kPiece);
  fill(*prompt, 0, 1);
  auto a = std::make_optional<KvCache>(*prompt);
  auto b = std::make_optional<KvCache>(*a);
  a->grow(10);
  prompt.reset();
  a.reset();
  EXPECT_TRUE(holds(*b, 0, 2 * kPiece, 1)) << "the prompt lives as long as a fork of it";
  EXPECT_GE(memory.bytes, 2 * kColumns * kBlockBytes);
  EXPECT_LT(memory.bytes, 3 * kColumns * kBlockBytes) << "a's tail went with a";
  b.reset();
  EXPECT_EQ(memory.bytes, 0);
}

TEST(KvCache, GrowsToItsContextAndNoFurther) {
  Counting memory;
  KvCache cache(kShape, &memory);
  cache.grow(1999);
  KvCache fork(cache);
  fork.grow(1);
  EXPECT_THROW(fork.grow(1), Error);
  EXPECT_EQ(fork.size(), 2000) << "a refusal leaves the cache as it was";
}

}  // namespace
}  // namespace reattend
