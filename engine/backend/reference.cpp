// The reference backend: double activations, plain loops, f32 weights and cache. Slow on purpose; it judges the others.
#include "kernels/reference/reference.h"
#include "engine/backend/factories.h"
#include "engine/backend/host_backend.h"

namespace reattend {
namespace {

/// Adapts kernels/reference to HostBackend.
class ReferenceKernels {
 public:
  using Real = double;
  using Matrix = reference::Matrix;
  using Product = reference::Product;

  static Matrix pack(const TensorView& tensor, std::pmr::memory_resource*) { return reference::pack(tensor); }
  static int64_t packed_bytes(const TensorView&) { return 0; }
  static void row(const Matrix& w, int64_t row, double* out) { reference::row(w, row, out); }
  static int64_t bytes(const Matrix& w) { return static_cast<int64_t>(w.w.size() * sizeof(float)); }
  static void matmul(ThreadPool& pool, const double* x, int64_t n_token, std::span<const Product> products) {
    reference::matmul(pool, x, n_token, products);
  }
  static void rms_norm(const double* x, const double* w, int64_t n, float eps, double* y) {
    reference::rms_norm(x, w, n, static_cast<double>(eps), y);
  }
  static void swiglu(const double* gate, const double* up, int64_t n, double* y) { reference::swiglu(gate, up, n, y); }
  static void add(double* x, const double* y, int64_t n) { reference::add(x, y, n); }
  static void store(const double* x, int32_t n, KvType type, void* row) { reference::store_kv(x, n, type, row); }
  static void load(const void* row, int32_t n, KvType type, float* out) {
    std::vector<double> wide(static_cast<size_t>(n));
    reference::load_kv(row, n, type, wide.data());
    std::transform(wide.begin(), wide.end(), out, [](double v) { return static_cast<float>(v); });
  }
  static void attend(ThreadPool& pool, const double* q, int32_t group, std::span<const KvBlocks> kv,
                     std::span<const PositionSet> sets, double scale, double* out, std::span<double* const> rows,
                     int64_t stride) {
    reference::attend(pool, q, group, kv, sets, scale, out, rows.empty() ? nullptr : rows.data(), stride);
    for (size_t g = 0; g < rows.size(); ++g) {
      for (int32_t h = 0; rows[g] != nullptr && h < group; ++h) softmax(rows[g] + h * stride, sets[g].size());
    }
  }
  static void attend_prompt(ThreadPool& pool, const double* q, int32_t n_token, int32_t first, int32_t group,
                            std::span<const KvBlocks> kv, double scale, double* out) {
    reference::attend_prompt(pool, q, n_token, first, group, kv, scale, out);
  }
  static void score_set(const double* q, int32_t group, const KvBlocks& kv, const PositionSet& set, double scale,
                        double* scores, int64_t stride) {
    reference::score_set(q, group, kv, set, scale, scores, stride);
  }
  static void page_bounds(const KvBlocks& kv, int32_t first, int32_t n, double* bounds) {
    reference::page_bounds(kv, first, n, bounds);
  }
  static void page_scores(const double* q, int32_t group, int32_t d_head, const double* bounds, int32_t n_page,
                          double* out) {
    reference::page_scores(q, group, d_head, bounds, n_page, out);
  }
  static void sum_prompt_rows(ThreadPool& pool, const double* q, int32_t n_token, int32_t first, int32_t group,
                              std::span<const KvBlocks> kv, double scale, double* sums, int64_t stride) {
    reference::sum_prompt_rows(pool, q, n_token, first, group, kv, scale, sums, stride);
  }
  static void softmax(double* row, int64_t n) { reference::softmax(row, n); }
  static void reduce_heads(const double* rows, int32_t group, int64_t stride, int64_t n, Reduce how, double* out) {
    reference::reduce_heads(rows, group, stride, n, how, out);
  }
  static void max_pool(const double* x, int64_t n, int32_t width, double* out) {
    reference::max_pool(x, n, width, out);
  }
  static int32_t top_k(const double* score, int32_t n, int32_t k, int32_t* out) {
    return reference::top_k(score, n, k, out);
  }
  static double similarity(const double* q, const double* ref, int32_t n_head, int32_t d_head, Similarity how) {
    return reference::similarity(q, ref, n_head, d_head, how);
  }
};

}  // namespace

Backend make_reference_backend(const BackendOptions& options, const Model& model, ThreadPool& pool) {
  auto made = std::make_unique<HostBackend<ReferenceKernels>>(model, pool, KvType::f32, BackendMemory::Kind::plain,
                                                              ReferenceKernels());
  SelectionOps* selection = &made->selection();
  return {.name = options.device,
          .kv = KvType::f32,
          .activations = cpu::Activations::f32,  // taken as they are, whatever was asked for
          .model = std::move(made),
          .selection = selection};
}

}  // namespace reattend
