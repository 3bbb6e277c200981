// What CUDA C++ means outside nvcc: types, and declarations that the fiber machine of the tests carries out.
#pragma once
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "base/half.h"
#include "kernels/cuda/stream.h"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define threadIdx (::reattend::cuda::fiber::self().thread)
#define blockIdx (::reattend::cuda::fiber::self().block)
#define blockDim (::reattend::cuda::fiber::self().block_dim)
#define gridDim (::reattend::cuda::fiber::self().grid_dim)

namespace reattend::cuda {

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct alignas(16) uint4 {
  unsigned x = 0, y = 0, z = 0, w = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_size = 1, unsigned y_size = 1, unsigned z_size = 1) : x(x_size), y(y_size), z(z_size) {}
};

/// A stream executes a grid at once, in the calling thread.
struct StreamHandle {
  virtual ~StreamHandle() = default;
  virtual void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) = 0;
};

namespace fiber {

/// What the running CUDA thread knows of itself.
struct Self {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
  std::byte* shared;  ///< [shared_bytes of the launch]
};
const Self& self();

enum class Shuffle : uint8_t { index, exclusive_or, down };
// `file` and `line` are the call's own, for messages.
void sync_block(const char* file, int line);
void sync_warp(uint32_t mask, const char* file, int line);
uint32_t ballot(uint32_t mask, bool vote, const char* file, int line);
uint64_t shuffle(Shuffle kind, uint32_t mask, uint64_t value, uint32_t argument, uint32_t width, const char* file,
                 int line);

template <class T>
T shuffle_as(Shuffle kind, uint32_t mask, T value, uint32_t argument, int width, const char* file, int line) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = shuffle(kind, mask, bits, argument, static_cast<uint32_t>(width), file, line);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace fiber

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  fiber::sync_block(file, line);
}
inline void __syncwarp(uint32_t mask = ~0u, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  fiber::sync_warp(mask, file, line);
}
inline uint32_t __ballot_sync(uint32_t mask, bool vote, const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
  return fiber::ballot(mask, vote, file, line);
}
template <class T>
T __shfl_sync(uint32_t mask, T value, int lane, int width = 32, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  return fiber::shuffle_as(fiber::Shuffle::index, mask, value, static_cast<uint32_t>(lane), width, file, line);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = 32, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  return fiber::shuffle_as(fiber::Shuffle::exclusive_or, mask, value, static_cast<uint32_t>(lane_mask), width, file,
                           line);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  return fiber::shuffle_as(fiber::Shuffle::down, mask, value, delta, width, file, line);
}

/// A load of what the kernel never writes. It may look at memory of another type, so the bytes are copied.
template <class T>
T __ldg(const T* from) {
  T value;
  std::memcpy(static_cast<void*>(&value), static_cast<const void*>(from), sizeof value);
  return value;
}

inline int __popc(uint32_t x) {
  return std::popcount(x);
}
inline int atomicAdd(int* into, int value) {
  return std::atomic_ref<int>(*into).fetch_add(value, std::memory_order_relaxed);
}

template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(fiber::self().shared);
}

inline float value_of(Half x) {
  return to_float(x);
}

template <class... P, class... A>
void launch(Stream stream, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, const A&... args) {
  stream->run(grid, block, shared_bytes, [&] { kernel(P(args)...); });
}

}  // namespace reattend::cuda
