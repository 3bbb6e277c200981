// The kernels of a step timed one by one, at the sizes of a model, with the bytes and multiply-adds each of them takes.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/progress.h"
#include "engine/model/model.h"
#include "kernels/cpu/ops.h"

namespace reattend {

/// One kernel over all layers of a model, or over as much as is larger than the caches.
struct KernelTime {
  std::string name;
  double seconds = 0;  ///< median
  double bytes = 0;    ///< read from memory; 0 where that says nothing about it
  double macs = 0;     ///< multiply-adds; 0 where there are none to speak of
};

struct KernelOptions {
  int32_t depth = 0;     ///< positions in the cache, at least 1
  int32_t budget = 0;    ///< K of kept sets, taken down to the depth
  int32_t n_prompt = 0;  ///< tokens of a prompt's chunk
  KvType kv = KvType::f16;
  Activations activations = Activations::q8;
  double seconds = 0.25;  ///< of each kernel, its repeats at least three
  ProgressFn progress;
  Cancel cancel;
};

/// Weights and cache are random: what a kernel takes does not depend on what they say. Throws Cancelled.
std::vector<KernelTime> time_kernels(ThreadPool& pool, const Model& model, const KernelOptions& options);

}  // namespace reattend
