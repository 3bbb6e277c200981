// CUDA C++ that two compilers understand: nvcc for devices, and any C++20 compiler for fibers (tests).
//
// Kernels keep to what both have: launch() instead of <<<>>>, dynamic_shared() as the only shared memory, warp
// intrinsics with a mask, float accumulation; no cooperative groups, no PTX, no grid-wide waiting.
#pragma once
#include "base/half.h"
#include "kernels/cuda/stream.h"

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <string>

#include "base/error.h"

namespace reattend::cuda {

/// The block's shared memory, as many bytes as launch() was given; garbage when the block starts. 16-byte aligned.
template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  return reinterpret_cast<T*>(shared_bytes);
}

__device__ inline float value_of(Half x) {
  return __half2float(__ushort_as_half(static_cast<uint16_t>(x)));
}

/// Queues kernel(args...) on a grid of blocks. Throws Error if the launch is refused.
template <class... P, class... A>
void launch(Stream stream, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, const A&... args) {
  kernel<<<grid, block, shared_bytes, reinterpret_cast<cudaStream_t>(stream)>>>(P(args)...);
  if (const cudaError_t status = cudaGetLastError(); status != cudaSuccess) {
    fail({"CUDA", "a kernel to start", cudaGetErrorString(status), "use --device cpu, or check the driver"});
  }
}

}  // namespace reattend::cuda
#else
#include "kernels/cuda/fiber.h"
#endif
