// The CPU backend, and its guarded twin whose memory opens only inside operations.
#include "engine/backend/factories.h"
#include "engine/backend/host_backend.h"
#include "kernels/cpu/ops.h"

namespace reattend {
namespace {

Backend make(const BackendOptions& options, const Model& model, ThreadPool& pool, BackendMemory::Kind memory) {
  auto made = std::make_unique<HostBackend<Cpu>>(model, pool, options, memory);
  SelectionOps* selection = &made->selection();
  return {.name = options.device,
          .kv = options.kv,
          .activations = options.activations,
          .prefill = options.prefill,
          .model = std::move(made),
          .selection = selection};
}

}  // namespace

Backend make_cpu_backend(const BackendOptions& options, const Model& model, ThreadPool& pool) {
  return make(options, model, pool, BackendMemory::Kind::plain);
}

Backend make_guarded_backend(const BackendOptions& options, const Model& model, ThreadPool& pool) {
  return make(options, model, pool, BackendMemory::Kind::guarded);
}

}  // namespace reattend
