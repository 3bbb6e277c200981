// The reference backend: double activations, plain loops, f32 weights and cache. Slow on purpose; it judges the others.
#include "kernels/reference/reference.h"
#include "engine/backend/factories.h"
#include "engine/backend/host_backend.h"

namespace reattend {

Backend make_reference_backend(const BackendOptions& options, const Model& model, ThreadPool& pool) {
  // Cache and activations are taken as they are, whatever was asked for.
  auto made =
      std::make_unique<HostBackend<Reference>>(model, pool, KvType::f32, Activations::f32, BackendMemory::Kind::plain);
  SelectionOps* selection = &made->selection();
  return {.name = options.device,
          .kv = KvType::f32,
          .activations = Activations::f32,
          .model = std::move(made),
          .selection = selection};
}

}  // namespace reattend
