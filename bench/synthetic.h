// A context without a prompt: a cache of random keys and values, as long as memory allows.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/generate.h"

namespace reattend {

/// Continues as a prompt of that many tokens would. With queries of variance 1 the scores are normal with a standard
/// deviation of 1: rows neither flat nor led by a single position.
class SyntheticContext {
 public:
  SyntheticContext(Backend& backend, const Model& model, ThreadPool& pool, int32_t n_ctx);
  /// Fills the cache up to n positions, where it is not that long yet. Throws Cancelled.
  void grow_to(int32_t n, const ProgressFn& progress, const Cancel& cancel);
  /// To be continued from forks.
  const Prefilled& prefilled() const { return prefilled_; }

 private:
  Backend& backend_;
  const Model& model_;
  ThreadPool& pool_;
  Prefilled prefilled_;
};

/// The shapes of published models of the llama architecture, for measurements without their weights.
struct NamedShape {
  ModelShape shape;
  bool tied = false;  ///< the embedding is the output matrix as well
};
/// nullptr for an unknown name.
const NamedShape* find_shape(std::string_view name);
/// Their names, parted by commas.
std::string shape_names();
/// Bytes of the weights as blocks of `type`, the embedding once.
int64_t weight_bytes(const NamedShape& shape, TensorType type);

}  // namespace reattend
