// llama: SmolLM, Llama 2 and 3, Mistral and others that were converted under this name.
#include "engine/model/architectures/registry.h"
#include "engine/model/decoder.h"

namespace reattend {

const Architecture kLlama = {.name = "llama",
                             .rope_layout = RopeLayout::pairs,
                             .layer = {},
                             .applies = {},
                             .read_shape = read_decoder_shape,
                             .take_layer = take_decoder_layer};

}  // namespace reattend
