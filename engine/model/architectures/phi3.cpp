// phi3: Phi 3 and 4: rows of queries, keys and values in one matrix, gate and up in another.
#include <string>

#include "engine/model/architectures/registry.h"
#include "engine/model/decoder.h"

namespace reattend {
namespace {

LayerWeights take_layer(TensorTaker& take, const ModelShape& shape, int32_t i) {
  const std::string block = "blk." + std::to_string(i) + ".";
  const int64_t d = shape.d_model, f = shape.d_ffn;
  const int64_t d_q = int64_t{shape.n_head} * shape.d_head, d_kv = int64_t{shape.n_kv_head} * shape.d_head;
  const TensorView qkv = take.matrix(block + "attn_qkv.weight", d_q + 2 * d_kv, d);
  const TensorView gate_up = take.matrix(block + "ffn_up.weight", 2 * f, d);
  return {.attn_norm = take.vector(block + "attn_norm.weight", d),
          .attn_q = rows_of(qkv, 0, d_q),
          .attn_k = rows_of(qkv, d_q, d_kv),
          .attn_v = rows_of(qkv, d_q + d_kv, d_kv),
          .attn_output = take.matrix(block + "attn_output.weight", d, d_q),
          .ffn_norm = take.vector(block + "ffn_norm.weight", d),
          .ffn_gate = rows_of(gate_up, 0, f),
          .ffn_up = rows_of(gate_up, f, f),
          .ffn_down = take.matrix(block + "ffn_down.weight", d, f)};
}

}  // namespace

const Architecture kPhi3 = {.name = "phi3",
                            .rope_layout = RopeLayout::halves,
                            .layer = {},
                            .applies = {},
                            .read_shape = read_decoder_shape,
                            .take_layer = take_layer};

}  // namespace reattend
