// Tensors of a model file by name and shape, and a memory of which were taken.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "kernels/quant.h"

namespace reattend {

class Gguf;

/// Every function that takes a tensor throws Error, naming it, where it is missing or of another shape or type.
class TensorTaker {
 public:
  explicit TensorTaker(const Gguf& file) : file_(file) {}

  bool has(const std::string& name) const;
  TensorView matrix(const std::string& name, int64_t n_row, int64_t n_col);
  /// Norm weights and factors: f32 in every file.
  TensorView vector(const std::string& name, int64_t n);
  /// A tensor that nobody asked for (a bias, an adapter) would change the model's results: it can't be left out in
  /// silence.
  void refuse_rest(std::string_view architecture) const;

 private:
  const Gguf& file_;
  std::set<std::string_view> taken_;
};

}  // namespace reattend
