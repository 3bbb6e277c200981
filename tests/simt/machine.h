// Runs CUDA kernels on the CPU to find their mistakes: one fiber per CUDA thread, one block at a time.
//
// It is a judge, not a backend. Warps run greedily: one goes as far as it can before another starts, in an order that
// the seed decides, because in a round-robin order a missing barrier does not show (measured: every seed passes).
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "kernels/cuda/fiber.h"

namespace reattend::simt {

/// A place in a kernel's source.
struct Site {
  const char* file;
  int line;
  auto operator<=>(const Site&) const = default;
};

struct MachineOptions {
  uint32_t seed = 0;  ///< order of blocks, warps and lanes, and what shared memory holds at first
  /// A __syncthreads that is left out, to learn whether a test would notice that it is missing.
  std::optional<Site> left_out;
};

/// launch() on a machine runs the grid and throws Error for what is undefined on a device: a barrier that not every
/// thread of the block reaches, warp operations whose lanes do not match, a write past the shared memory.
class Machine : public cuda::StreamHandle {
 public:
  explicit Machine(const MachineOptions& options = {});
  ~Machine() override;
  void run(cuda::dim3 grid, cuda::dim3 block, size_t shared_bytes, const std::function<void()>& body) override;

  /// Every __syncthreads that was reached so far.
  const std::set<Site>& barriers() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace reattend::simt
