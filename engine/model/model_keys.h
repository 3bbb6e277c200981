// What the metadata keys of a model file mean to this program: every key that would change results is applied or
// refused by name.
#pragma once

namespace reattend {

class Gguf;
struct ModelShape;

/// Throws Error for one part of a split model, and for a file that holds no language model (an adapter, a projector).
void refuse_parts_of_models(const Gguf& file);

/// Throws Error naming the first key by which the model would compute something else than this program does, and any
/// key of the architecture that this program does not know. `shape`: what was read of the file so far.
void refuse_unapplied_keys(const Gguf& file, const ModelShape& shape);

/// Linear scaling of positions (Chen et al. 2023, "Extending Context Window of Large Language Models via Positional
/// Interpolation"): what every position is divided by; 1 where there is none. As in llama.cpp, a factor without a type
/// is linear, a factor of 0 is none, and the type "none" switches a factor off.
/// Throws Error for other types of scaling.
double position_scale(const Gguf& file, const ModelShape& shape);

}  // namespace reattend
