// What the files of all decoders have in common: hyper-parameters by their keys, weights by their names.
#pragma once
#include <cstdint>

#include "engine/model/model.h"
#include "engine/model/tensor_taker.h"

namespace reattend {

struct Architecture;

/// Sizes and rotation of a model, every key in range, every other key applied or refused; n_vocab is the embedding's
/// number of rows. Throws Error naming the key.
ModelShape read_decoder_shape(const Gguf& file, const Architecture& architecture);

/// Factors of the rotation (rope_freqs.weight, scaling of positions), into the first of shape.ropes; what scaling does
/// to scores, into shape.attention_scale.
void read_rope_factors(const Gguf& file, TensorTaker& take, ModelShape& shape);

/// The weights of layer i of a decoder with two norms, four matrices of attention and three of a gated feed-forward,
/// and what shape.layers[i] asks for beyond them.
LayerWeights take_decoder_layer(TensorTaker& take, const ModelShape& shape, int32_t i);

}  // namespace reattend
