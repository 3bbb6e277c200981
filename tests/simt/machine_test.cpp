// The fiber machine must notice what it is there for: each test is a mistake that a kernel author could make.
#include "tests/simt/machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/cuda/veneer.h"

namespace reattend::cuda {
namespace {

/// Sum over a block of 128 threads, by way of shared memory and shuffles; x, out [128].
void block_sum(const float* x, float* out) {
  auto* const partial = dynamic_shared<float>();
  const unsigned thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  float sum = x[thread];
  for (int mask = 16; mask > 0; mask /= 2) sum += __shfl_xor_sync(~0u, sum, mask);
  if (lane == 0) partial[warp] = sum;
  __syncthreads();
  out[thread] = partial[0] + partial[1] + partial[2] + partial[3];
}

class Seeds : public testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Machine, Seeds, testing::Range(0u, 4u));

std::vector<float> run_block_sum(simt::Machine& machine) {
  std::vector<float> x(128), out(128);
  std::iota(x.begin(), x.end(), 1.0F);
  launch(&machine, block_sum, dim3(1), dim3(128), 4 * sizeof(float), x.data(), out.data());
  return out;
}

TEST_P(Seeds, KernelWithItsBarrierIsRight) {
  simt::Machine machine({.seed = GetParam()});
  EXPECT_EQ(run_block_sum(machine), std::vector<float>(128, 8256.0F));
}

// In a round-robin order this mistake passes every test and breaks on the device.
TEST_P(Seeds, MissingBarrierGivesAWrongResult) {
  simt::Machine whole({.seed = GetParam()});
  run_block_sum(whole);
  ASSERT_EQ(whole.barriers().size(), 1u);
  simt::Machine broken({.seed = GetParam(), .left_out = *whole.barriers().begin()});
  EXPECT_NE(run_block_sum(broken), std::vector<float>(128, 8256.0F));
}

/// Runs the kernel on 64 threads and returns the complaint.
template <class... P, class... A>
std::string complaint_of(void (*kernel)(P...), const A&... args) {
  for (uint32_t seed = 0; seed < 4; ++seed) {
    simt::Machine machine({.seed = seed});
    try {
      launch(&machine, kernel, dim3(1), dim3(64), 64, args...);
    } catch (const Error& error) {
      if (seed == 3) return error.what();
      continue;
    }
    return "none with seed " + std::to_string(seed);
  }
  return "";
}

void expect_says(const std::string& line, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) EXPECT_NE(line.find(part), std::string::npos) << part << " is not in: " << line;
}

void return_before_barrier(int n) {
  if (static_cast<int>(threadIdx.x) >= n) return;
  __syncthreads();
}
constexpr int kReturnLine = __LINE__ - 2;

TEST(Machine, EarlyReturnBeforeABarrierNamesTheBarrierAndTheThread) {
  const std::string at = "machine_test.cpp:" + std::to_string(kReturnLine);
  expect_says(complaint_of(return_before_barrier, 63), {at, "__syncthreads", "thread 63, which has returned"});
}

void two_barriers(int n) {
  if (static_cast<int>(threadIdx.x) < n) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
constexpr int kFirstBarrierLine = __LINE__ - 5;

TEST(Machine, BranchesWithABarrierEachNameBothLines) {
  const std::string file = "machine_test.cpp:";
  expect_says(complaint_of(two_barriers, 32),
              {file + std::to_string(kFirstBarrierLine), file + std::to_string(kFirstBarrierLine + 2)});
}

void shuffle_of_returned_lanes(int* out) {
  if (threadIdx.x >= 48) return;
  out[threadIdx.x] = __shfl_xor_sync(~0u, static_cast<int>(threadIdx.x), 1);
}

TEST(Machine, ShuffleWithLanesThatReturnedIsRefused) {
  std::vector<int> out(64);
  expect_says(complaint_of(shuffle_of_returned_lanes, out.data()), {"__shfl_xor_sync", "which has returned"});
}

void shuffle_across_the_mask(int* out) {
  if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_xor_sync(0xffffu, static_cast<int>(threadIdx.x), 16);
}

TEST(Machine, ShuffleFromOutsideTheMaskIsRefused) {
  std::vector<int> out(64);
  expect_says(complaint_of(shuffle_across_the_mask, out.data()), {"a shuffle from a lane of its mask"});
}

void ballot_by_half_a_warp(unsigned* out) {
  if (threadIdx.x % 32 < 16) out[threadIdx.x] = __ballot_sync(~0u, true);
}

TEST(Machine, BallotThatHalfAWarpSkipsIsRefused) {
  std::vector<unsigned> out(64);
  expect_says(complaint_of(ballot_by_half_a_warp, out.data()), {"__ballot_sync", "which has returned"});
}

void write_past_shared(int index) {
  if (threadIdx.x == 0) dynamic_shared<float>()[index] = 0;
}

TEST(Machine, WriteBehindSharedMemoryIsRefused) {
  simt::Machine machine;
  EXPECT_NO_THROW(launch(&machine, write_past_shared, dim3(1), dim3(64), 64, 15));
  expect_says(complaint_of(write_past_shared, 16), {"64 bytes of shared memory"});
}

void read_shared(float* out) {
  out[blockIdx.x * blockDim.x + threadIdx.x] = dynamic_shared<float>()[threadIdx.x];
}

// A kernel that forgets to clear its shared memory works by luck on zeros.
TEST(Machine, SharedMemoryStartsAsGarbageInEveryBlock) {
  for (uint32_t seed = 0; seed < 4; ++seed) {
    simt::Machine machine({.seed = seed});
    std::vector<float> out(4 * 16);
    launch(&machine, read_shared, dim3(4), dim3(16), 64, out.data());
    EXPECT_TRUE(std::none_of(out.begin(), out.end(), [](float x) { return x < 1e30F; }));
  }
}

/// Indices of the scores that reach the threshold, in any order; s, out [n], count [1].
void compact(const float* s, int n, float threshold, int* out, int* count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x), lane = i % 32;
  const bool keep = i < n && s[i] >= threshold;
  const uint32_t votes = __ballot_sync(~0u, keep);
  int base = lane == 0 ? atomicAdd(count, __popc(votes)) : 0;
  base = __shfl_sync(~0u, base, 0);
  if (keep) out[base + __popc(votes & ((1u << lane) - 1))] = i;
}

TEST_P(Seeds, BallotShuffleAndAtomicCompactAList) {
  constexpr int n = 1000;
  std::vector<float> s(n);
  for (int i = 0; i < n; ++i) s[static_cast<size_t>(i)] = static_cast<float>(i * 37 % 101);
  std::vector<int> out(n), expected;
  int count = 0;
  simt::Machine machine({.seed = GetParam()});
  launch(&machine, compact, dim3(8), dim3(128), 0, s.data(), n, 60.0F, out.data(), &count);
  for (int i = 0; i < n; ++i) {
    if (s[static_cast<size_t>(i)] >= 60.0F) expected.push_back(i);
  }
  ASSERT_EQ(static_cast<size_t>(count), expected.size());
  out.resize(expected.size());
  std::sort(out.begin(), out.end());
  EXPECT_EQ(out, expected);
}

void suffix_sum(int* x) {
  int sum = x[threadIdx.x];
  for (unsigned delta = 1; delta < 8; delta *= 2) {
    const int other = __shfl_down_sync(~0u, sum, delta, 8);
    if (threadIdx.x % 8 + delta < 8) sum += other;
  }
  __syncwarp();
  x[threadIdx.x] = sum;
}

TEST_P(Seeds, ShuffleDownStaysInsideItsSegment) {
  std::vector<int> x(32, 1);
  simt::Machine machine({.seed = GetParam()});
  launch(&machine, suffix_sum, dim3(1), dim3(32), 0, x.data());
  for (int i = 0; i < 32; ++i) EXPECT_EQ(x[static_cast<size_t>(i)], 8 - i % 8);
}

void number_threads(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1;
}

TEST_P(Seeds, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> out(2 * 3 * 2 * 5 * 3 * 2);
  simt::Machine machine({.seed = GetParam()});
  launch(&machine, number_threads, dim3(2, 3, 2), dim3(5, 3, 2), 0, out.data());
  EXPECT_EQ(out, std::vector<int>(out.size(), 1));
}

}  // namespace
}  // namespace reattend::cuda
