// What the metadata keys of a model file mean to this program: every key that would change results is applied or
// refused by name.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "kernels/rope.h"

namespace reattend {

class Gguf;
struct ModelShape;

/// Throws Error for one part of a split model, and for a file that holds no language model (an adapter, a projector).
void refuse_parts_of_models(const Gguf& file);

/// Throws Error naming the first key by which the model would compute something else than this program does, and any
/// key of the architecture that this program does not know. `shape`: what was read of the file so far; `applied`: keys
/// that the architecture reads beyond those of every decoder.
void refuse_unapplied_keys(const Gguf& file, const ModelShape& shape, std::span<const std::string_view> applied);

/// How positions are scaled for contexts longer than a model was first trained for.
struct RopeScaling {
  double factor = 1;  ///< what positions are divided by; 1: nothing is scaled
  bool yarn = false;  ///< slow frequencies alone, with a ramp between
  double original_context = 0, beta_fast = 32, beta_slow = 1;

  /// [d_head / 2] what each pair's frequency is divided by; empty where nothing is scaled.
  std::vector<float> factors(const Rope& rope) const;
  /// What queries and keys are multiplied by, each: 1 but for YaRN.
  double magnitude() const;
};

/// Linear scaling (Chen et al. 2023, "Extending Context Window of Large Language Models via Positional Interpolation")
/// or YaRN (Peng et al. 2023, "YaRN: Efficient Context Window Extension of Large Language Models", section 3). As in
/// llama.cpp, a factor without a type is linear, a factor of 0 is none, and the type "none" switches a factor off.
/// Throws Error for other types of scaling.
RopeScaling rope_scaling(const Gguf& file, const ModelShape& shape);

}  // namespace reattend
