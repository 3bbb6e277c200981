// qwen2: Qwen 1.5, 2 and 2.5, and what was made from them: biases of queries, keys and values.
#include "engine/model/architectures/registry.h"
#include "engine/model/decoder.h"

namespace reattend {

const Architecture kQwen2 = {.name = "qwen2",
                             .rope_layout = RopeLayout::halves,
                             .layer = {.qkv_bias = true},
                             .applies = {},
                             .read_shape = read_decoder_shape,
                             .take_layer = take_decoder_layer};

}  // namespace reattend
