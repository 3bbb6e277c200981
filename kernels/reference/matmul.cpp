// Products with dequantised weights, row by row.
#include <string>

#include "base/error.h"
#include "kernels/reference/reference.h"

namespace reattend {

Reference::Matrix Reference::pack(const TensorView& tensor, std::pmr::memory_resource*) {
  const int64_t bytes = matrix_bytes(tensor.type, tensor.n_row, tensor.n_col);
  if (static_cast<int64_t>(tensor.bytes.size()) != bytes) {
    fail({.where = std::string(tensor.name),
          .expected = std::to_string(bytes) + " bytes",
          .got = std::to_string(tensor.bytes.size()),
          .remedy = ""});
  }
  Matrix m{tensor.n_row, tensor.n_col, std::vector<float>(static_cast<size_t>(tensor.n_row * tensor.n_col))};
  const int64_t row_bytes = tensor.n_row > 0 ? bytes / tensor.n_row : 0;
  for (int64_t r = 0; r < m.n_row; ++r) {
    format_of(tensor.type).dequantize(tensor.bytes.data() + r * row_bytes, m.n_col, m.w.data() + r * m.n_col);
  }
  return m;
}

void Reference::Matrix::row(int64_t row, double* out) const {
  for (int64_t c = 0; c < n_col; ++c) out[c] = double{w[static_cast<size_t>(row * n_col + c)]};
}

void Reference::matmul(ThreadPool& pool, const Scratch&, Activations, const double* x, int64_t n_token,
                       std::span<const Product> products) {
  for (const Product& product : products) {
    const Matrix& w = *product.w;
    pool.run(w.n_row, [&](int64_t r, int) {
      const float* weights = w.w.data() + r * w.n_col;
      for (int64_t t = 0; t < n_token; ++t) {
        double sum = 0;
        for (int64_t c = 0; c < w.n_col; ++c) sum += x[t * w.n_col + c] * double{weights[c]};
        product.y[t * product.y_stride + r] = sum;
      }
    });
  }
}

}  // namespace reattend
