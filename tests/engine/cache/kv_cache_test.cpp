// What forks rely on: nobody sees another's tail, shared blocks cost nothing, and the last one to go frees them.
#include "engine/cache/kv_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <new>
#include <optional>

#include "base/error.h"

namespace reattend {
namespace {

constexpr CacheShape kShape = {.n_layer = 2, .n_kv_head = 3, .d_head = 8, .type = KvType::f16, .n_ctx = 2000};
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

// A layer with a window costs its window, however long the text: here of 100 positions, so two blocks at most.
TEST(KvCache, BlocksThatAWindowHasLeftAreGivenUp) {
  CacheShape shape = kShape;
  shape.windows = {0, 100};
  Counting memory;
  BlockPool blocks(shape.block_bytes(), kColumns, &memory);
  KvCache cache(shape, blocks, &memory);
  for (int32_t n = 0; n < 1500; n += 60) {
    cache.grow(60);
    const int32_t first = std::max(0, n - 99);  // what the oldest of the new queries sees
    EXPECT_TRUE(cache.holds(1, first)) << "at " << n;
    EXPECT_TRUE(cache.holds(1, cache.size() - 1)) << "at " << n;
    EXPECT_LE(blocks.n_held(), 3 * (n_piece(cache.size()) + 2)) << "at " << n;
  }
  EXPECT_FALSE(cache.holds(1, 1000));
  EXPECT_TRUE(cache.complete());
  KvCache fork(cache);
  const int64_t before = blocks.n_held();
  fork.grow(400);
  EXPECT_TRUE(fork.holds(1, 1500 - 99));
  EXPECT_TRUE(cache.holds(1, 1500 - 99));
  EXPECT_EQ(blocks.n_held(), before + 2 * kColumns) << "two new blocks a column";
  KvCache restored(shape, blocks, &memory);
  restored.restore(1500);
  EXPECT_TRUE(restored.holds(1, 1500 + 1 - 100)) << "what the next query sees";
  EXPECT_TRUE(restored.holds(0, 0));
  EXPECT_FALSE(restored.holds(1, 1000));
}

TEST(KvCache, ForksKeepTheirTailsToThemselves) {
  Counting memory;
  BlockPool blocks(kShape.block_bytes(), kColumns, &memory);
  for (const int32_t n : {0, 1, 255, 256, 257, 511, 512, 700}) {  // either side of a block's end
    KvCache prompt(kShape, blocks, &memory);
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
  EXPECT_EQ(blocks.n_held(), 0) << "everything is given back";
}

TEST(KvCache, ForkCostsOneBlockAColumnAtMost) {
  Counting memory;
  BlockPool blocks(kShape.block_bytes(), kColumns, &memory);
  KvCache prompt(kShape, blocks, &memory);
  prompt.grow(4 * kPiece);
  EXPECT_EQ(blocks.n_held(), 4 * kColumns);
  {
    const KvCache fork(prompt);
    EXPECT_EQ(blocks.n_held(), 4 * kColumns) << "complete blocks are shared";
  }
  EXPECT_EQ(blocks.n_held(), 4 * kColumns);
  prompt.grow(1);
  const KvCache fork(prompt);
  EXPECT_EQ(blocks.n_held(), (5 + 1) * kColumns) << "only the last block is copied";
}

TEST(KvCache, LastOneToGoFreesTheBlocks) {
  Counting memory;
  BlockPool blocks(kShape.block_bytes(), kColumns, &memory);
  auto prompt = std::make_optional<KvCache>(kShape, blocks, &memory);
  prompt->grow(2 * kPiece);
  fill(*prompt, 0, 1);
  auto a = std::make_optional<KvCache>(*prompt);
  auto b = std::make_optional<KvCache>(*a);
  a->grow(10);
  prompt.reset();
  a.reset();
  EXPECT_TRUE(holds(*b, 0, 2 * kPiece, 1)) << "the prompt lives as long as a fork of it";
  EXPECT_EQ(blocks.n_held(), 2 * kColumns) << "a's tail went with a";
  b.reset();
  EXPECT_EQ(blocks.n_held(), 0);
}

TEST(KvCache, BlocksAreUsedAgain) {
  Counting memory;
  BlockPool blocks(kShape.block_bytes(), kColumns, &memory);
  int64_t most = 0;
  for (int32_t i = 0; i < 3; ++i) {
    KvCache cache(kShape, blocks, &memory);
    cache.grow(1000);
    cache.release(1, 2, 0, 300);
    cache.release(1, 2, 256, 512);
    EXPECT_EQ(blocks.n_held(), 4 * kColumns - 2);
    EXPECT_FALSE(cache.complete());
    EXPECT_EQ(cache.blocks(1, 2).keys[1], nullptr);
    KvCache fork(cache);
    EXPECT_EQ(fork.blocks(1, 2).values[0], nullptr) << "what was released stays so in forks";
    fork.grow(1);
    if (i == 0) most = memory.bytes;
    EXPECT_EQ(memory.bytes, most) << "the first sequence's blocks serve the next";
  }
}

/// Gives out so many bytes, then throws.
class Limited final : public std::pmr::memory_resource {
 public:
  explicit Limited(size_t most) : left_(most) {}

 private:
  void* do_allocate(size_t n, size_t align) override {
    if (n > left_) throw std::bad_alloc();
    left_ -= n;
    return std::pmr::new_delete_resource()->allocate(n, align);
  }
  void do_deallocate(void* p, size_t n, size_t align) override {
    left_ += n;
    std::pmr::new_delete_resource()->deallocate(p, n, align);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  size_t left_;
};

TEST(KvCache, MemoryThatRunsOutLeavesNothingHeld) {
  Counting tables;
  Limited slabs(7 * kShape.block_bytes());  // slabs of one block: a row of six fits, a second or a fork doesn't
  BlockPool blocks(kShape.block_bytes(), 1, &slabs);
  {
    KvCache cache(kShape, blocks, &tables);
    cache.grow(3);
    fill(cache, 0, 9);
    EXPECT_THROW(cache.grow(kPiece), std::bad_alloc);
    EXPECT_EQ(cache.size(), 3);
    EXPECT_TRUE(holds(cache, 0, 3, 9));
    EXPECT_THROW(KvCache{cache}, std::bad_alloc);
  }
  EXPECT_EQ(blocks.n_held(), 0);
  EXPECT_EQ(tables.bytes, 0);
  KvCache again(kShape, blocks, &tables);
  again.grow(kPiece);
  fill(again, 0, 4);
  EXPECT_TRUE(holds(again, 0, kPiece, 4)) << "the pool goes on";
}

TEST(KvCache, TablesStayWhereTheyAre) {
  Counting memory;
  BlockPool blocks(kShape.block_bytes(), kColumns, &memory);
  KvCache cache(kShape, blocks, &memory);
  cache.grow(1);
  const KvBlocks early = cache.blocks(1, 1);
  cache.grow(1800);
  fill(cache, 0, 3);
  EXPECT_EQ(early.keys, cache.blocks(1, 1).keys) << "a device is told their address once";
  EXPECT_EQ(early.keys[1801 / kPiece], cache.blocks(1, 1).keys[1801 / kPiece]);
}

TEST(KvCache, GrowsToItsContextAndNoFurther) {
  Counting memory;
  BlockPool blocks(kShape.block_bytes(), kColumns, &memory);
  KvCache cache(kShape, blocks, &memory);
  cache.grow(1999);
  KvCache fork(cache);
  fork.grow(1);
  EXPECT_THROW(fork.grow(1), Error);
  EXPECT_EQ(fork.size(), 2000) << "a refusal leaves the cache as it was";
}

}  // namespace
}  // namespace reattend
