// A backend: model operations and selection operations over memory that nobody else can look into.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/cpu/ops.h"
#include "kernels/layout.h"
#include "policies/plan.h"

namespace reattend {

class Model;

/// One sequence: its KV cache, kept sets and reference queries. Only the backend that made it can use it.
class Sequence {
 public:
  virtual ~Sequence() = default;
};

/// What read() copies to the host. Shapes are of one layer and the last token(s) passed through it.
enum class Item : uint8_t {
  queries_pre,   ///< f32 [count][n_head][d_head]: count = 1 of the newest token; more while the layer's chunk is under
                 ///< way
  queries_post,  ///< the same after RoPE
  keys,
  values,      ///< cache bits [count][d_head] of one KV head from position `first`
  row,         ///< f32 [group][p + 1]: full softmax rows of one KV head at the last decoded position p
  kept,        ///< i32 [size]: one KV head's kept set in rank order (before this step's `after` ran, if read between)
  set,         ///< i32 [size]: the positions one KV head attended to at this step, in the set's order
  heads,       ///< f32 [n_head][d_head]: attention output of the last decoded position
  full_heads,  ///< f32 [n_head][d_head]: what full attention would have given there
};

/// What a layer decided at a step.
struct HeadLog {
  bool full = false;
  float cosine = 0;       ///< nan where not measured
  int32_t positions = 0;  ///< how many were attended to, p included
};

/// Bytes read: counted, not assumed. `select` are rows read only to choose, and kept rows read to be packed.
struct BytesRead {
  int64_t weights = 0, attend = 0, select = 0;
};

/// Operations of the model. x (the hidden states of the current chunk) stays inside the backend.
class ModelOps {
 public:
  virtual ~ModelOps() = default;
  virtual std::unique_ptr<Sequence> new_sequence(int32_t n_ctx) = 0;
  /// Shares complete blocks of the cache, copies the last; kept sets and references are copied.
  virtual std::unique_ptr<Sequence> fork(const Sequence& sequence) = 0;
  /// x := embeddings of `ids`, which stand at positions first, first + 1, ...
  virtual void embed(Sequence& sequence, std::span<const int32_t> ids, int32_t first) = 0;
  /// Norm, projections, RoPE; keys and values join the cache.
  virtual void project(Sequence& sequence, int32_t layer) = 0;
  /// Full causal attention of the chunk.
  virtual void attend_prompt(Sequence& sequence, int32_t layer) = 0;
  /// Output projection and feed-forward, with their residuals.
  virtual void finish_layer(Sequence& sequence, int32_t layer) = 0;
  /// out [n_vocab]: logits of the chunk's token `index` (negative: from the end).
  virtual void logits(Sequence& sequence, int32_t index, std::span<float> out) = 0;
  /// Copies an item to the host; returns the number of elements, out holds at least as many bytes as they need.
  virtual int64_t read(Sequence& sequence, Item item, int32_t layer, int32_t kv_head, int32_t first, int32_t count,
                       std::span<std::byte> out) = 0;
  /// Bytes read since the last call.
  virtual BytesRead take_bytes_read() = 0;
};

/// Operations of the policies: they carry out a plan for all KV heads of a layer, in the order gate, attend, after.
class SelectionOps {
 public:
  virtual ~SelectionOps() = default;
  /// Compares queries where the plan is gated or `measure`, and sets each KV head's branch.
  virtual void gate(Sequence& sequence, int32_t layer, const Plan& plan, bool measure) = 0;
  /// Attention of the decoded token over what each KV head's branch says. `shadow`: over everything, whatever it says.
  virtual void attend(Sequence& sequence, int32_t layer, const Plan& plan, bool shadow) = 0;
  /// Rows, scores, kept sets, reference queries of the branches that ask for them.
  virtual void after(Sequence& sequence, int32_t layer, const Plan& plan) = 0;
  /// Step 0: the same for the last prompt token.
  virtual void after_prompt(Sequence& sequence, int32_t layer, const After& after, const Comparison& compare) = 0;
  /// out [n_kv_head]: what the layer did at this step.
  virtual void log(const Sequence& sequence, int32_t layer, std::span<HeadLog> out) = 0;
};

struct BackendOptions {
  std::string device = "cpu";  ///< cpu, reference, and sealed (cpu whose buffers are unreadable between operations)
  KvType kv = KvType::f16;
  cpu::Activations activations = cpu::Activations::q8;
};

/// A model on a device.
struct Backend {
  std::string name;
  KvType kv = KvType::f16;  ///< of its caches
  std::unique_ptr<ModelOps> model;
  SelectionOps* selection = nullptr;  ///< part of the same object
};

/// Throws Error (usage) for an unknown device. The model and the pool must outlive the backend.
Backend make_backend(const BackendOptions& options, const Model& model, ThreadPool& pool);
std::span<const std::string_view> backend_names();

}  // namespace reattend
