// The CPU backend: float activations, the vectorised kernels; also its sealed twin whose memory opens only inside
// operations.
#include "engine/backend/factories.h"
#include "engine/backend/host_backend.h"
#include "kernels/cpu/select_ops.h"

namespace reattend {
namespace {

/// Adapts kernels/cpu to HostBackend. Scratch memory of the products and of attention lives here.
class CpuKernels : public cpu::SelectOps {
 public:
  using Matrix = cpu::Matrix;
  using Product = cpu::Product;

  explicit CpuKernels(cpu::Activations activations)
      : activations_(activations), matmul_(cpu::make_matmul_scratch()), attend_(cpu::make_attend_scratch()) {}

  static Matrix pack(const TensorView& tensor, std::pmr::memory_resource* memory) { return cpu::pack(tensor, memory); }
  static int64_t packed_bytes(const TensorView& tensor) { return cpu::packed_bytes(tensor); }
  static void row(const Matrix& w, int64_t row, float* out) { w.row(row, out); }
  static int64_t bytes(const Matrix& w) { return w.bytes(); }
  void matmul(ThreadPool& pool, const float* x, int64_t n_token, std::span<const Product> products) {
    cpu::matmul(pool, *matmul_, activations_, x, n_token, products);
  }
  static void rms_norm(const float* x, const float* w, int64_t n, float eps, float* y) {
    cpu::rms_norm(x, w, n, eps, y);
  }
  static void swiglu(const float* gate, const float* up, int64_t n, float* y) { cpu::swiglu(gate, up, n, y); }
  static void add(float* x, const float* y, int64_t n) { cpu::add(x, y, n); }
  static void store(const float* x, int32_t n, KvType type, void* row) { cpu::store_kv(x, n, type, row); }
  static void load(const void* row, int32_t n, KvType type, float* out) { cpu::load_kv(row, n, type, out); }
  void attend(ThreadPool& pool, const float* q, int32_t group, std::span<const KvBlocks> kv,
              std::span<const PositionSet> sets, float scale, float* out, std::span<float* const> rows,
              int64_t stride) {
    cpu::attend(pool, *attend_, q, group, kv, sets, scale, out, rows.empty() ? nullptr : rows.data(), stride);
  }
  void attend_prompt(ThreadPool& pool, const float* q, int32_t n_token, int32_t first, int32_t group,
                     std::span<const KvBlocks> kv, float scale, float* out) {
    cpu::attend_prompt(pool, *attend_, q, n_token, first, group, kv, scale, out);
  }
  void sum_prompt_rows(ThreadPool& pool, const float* q, int32_t n_token, int32_t first, int32_t group,
                       std::span<const KvBlocks> kv, float scale, float* sums, int64_t stride) {
    cpu::sum_prompt_rows(pool, *attend_, q, n_token, first, group, kv, scale, sums, stride);
  }

 private:
  cpu::Activations activations_;
  cpu::MatmulScratchPtr matmul_;
  cpu::AttendScratchPtr attend_;
};

Backend make(const BackendOptions& options, const Model& model, ThreadPool& pool, BackendMemory::Kind memory) {
  auto made =
      std::make_unique<HostBackend<CpuKernels>>(model, pool, options.kv, memory, CpuKernels(options.activations));
  SelectionOps* selection = &made->selection();
  return {.name = options.device,
          .kv = options.kv,
          .activations = options.activations,
          .model = std::move(made),
          .selection = selection};
}

}  // namespace

Backend make_cpu_backend(const BackendOptions& options, const Model& model, ThreadPool& pool) {
  return make(options, model, pool, BackendMemory::Kind::plain);
}

Backend make_sealed_backend(const BackendOptions& options, const Model& model, ThreadPool& pool) {
  return make(options, model, pool, BackendMemory::Kind::sealed);
}

}  // namespace reattend
