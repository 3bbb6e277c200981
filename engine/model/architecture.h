// What is particular to one kind of model: a row of data with two functions, each in a file of architectures/.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/model/model.h"
#include "engine/model/tensor_taker.h"

namespace reattend {

/// Everything behind the model's file reads ModelShape and LayerWeights, and never a name.
struct Architecture {
  std::string_view name;   ///< general.architecture of its files, in front of their keys
  RopeLayout rope_layout;  ///< which channels of a head its files rotate together
  LayerShape layer;        ///< what its layers have that llama's don't
  /// Keys (behind the name) that its read_shape applies beyond those of every decoder.
  std::span<const std::string_view> applies;
  ModelShape (*read_shape)(const Gguf& file, const Architecture& architecture);
  LayerWeights (*take_layer)(TensorTaker& take, const ModelShape& shape, int32_t i);
};

/// Of the file's general.architecture. Throws Error naming those that this program runs.
const Architecture& architecture_of(const Gguf& file);

}  // namespace reattend
