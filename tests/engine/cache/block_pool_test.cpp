// Blocks of the cache: shared, handed out again, and found in time that does not grow with their number.
#include "engine/cache/block_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

namespace reattend {
namespace {

TEST(BlockPool, ABlockIsHandedOutAgainWhenItsLastHolderDropsIt) {
  BlockPool pool(64, 2, std::pmr::new_delete_resource());
  const int32_t a = pool.take(), b = pool.take(), c = pool.take();
  EXPECT_EQ((std::set<std::byte*>{pool.data(a), pool.data(b), pool.data(c)}).size(), 3U);
  pool.share(b);
  pool.drop(b);
  EXPECT_EQ(pool.n_held(), 3);
  pool.drop(b);
  EXPECT_EQ(pool.n_held(), 2);
  EXPECT_EQ(pool.take(), b);
}

TEST(BlockPool, BytesStayWhileThePoolGrows) {
  BlockPool pool(64, 3, std::pmr::new_delete_resource());
  for (int i = 0; i < 100; ++i) std::memset(pool.data(pool.take()), i, 64);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(static_cast<int>(pool.data(i)[63]), i);
}

TEST(BlockPool, ALongRunIsNotQuadratic) {
  // Moving all that is known of the blocks for each slab would copy 4 TB, and run into the time limit of the test.
  BlockPool pool(64, 1, std::pmr::new_delete_resource());
  for (int i = 0; i < 1'000'000; ++i) pool.take();
  EXPECT_EQ(pool.n_held(), 1'000'000);
}

}  // namespace
}  // namespace reattend
