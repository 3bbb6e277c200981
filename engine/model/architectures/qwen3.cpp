// qwen3: dense Qwen 3: norms of every head's query and key, heads of a width of their own.
#include "engine/model/architectures/registry.h"
#include "engine/model/decoder.h"

namespace reattend {

const Architecture kQwen3 = {.name = "qwen3",
                             .rope_layout = RopeLayout::halves,
                             .layer = {.qk_norm = true},
                             .applies = {},
                             .read_shape = read_decoder_shape,
                             .take_layer = take_decoder_layer};

}  // namespace reattend
