// The reference backend: double activations, plain loops, f32 weights and cache. Slow on purpose; it judges the others.
#include "kernels/reference/reference.h"
#include "engine/backend/factories.h"
#include "engine/backend/host_backend.h"

namespace reattend {

Backend make_reference_backend(const BackendOptions& options, const Model& model, ThreadPool& pool) {
  // Cache, activations and products are taken as they are, whatever was asked for.
  const BackendOptions exact = {
      .device = options.device, .kv = KvType::f32, .activations = Activations::f32, .prefill = PromptProducts::f32};
  auto made = std::make_unique<HostBackend<Reference>>(model, pool, exact, BackendMemory::Kind::plain);
  SelectionOps* selection = &made->selection();
  return {.name = options.device,
          .kv = exact.kv,
          .activations = exact.activations,
          .prefill = exact.prefill,
          .model = std::move(made),
          .selection = selection};
}

}  // namespace reattend
