// A backend: model operations and selection operations over memory that nobody else can look into.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/layout.h"
#include "kernels/types.h"
#include "policies/plan.h"

namespace reattend {

class Model;

/// One sequence: its KV cache, kept sets and reference queries. Only the backend that made it can use it.
class Sequence {
 public:
  virtual ~Sequence() = default;
  /// Positions in the cache.
  virtual int32_t size() const = 0;
  /// What is known of the prompt beyond its cache.
  virtual PromptNeeds holds() const = 0;
};

/// What read() copies to the host: of one layer and all its KV heads, at the last token(s) passed through it. A
/// position list is its length, then its positions, in room for p + 1 of them; p is the newest position.
enum class Item : uint8_t {
  queries_pre,   ///< f32 [count][n_head][d_head]: count = 1 of the newest token; more while the layer's chunk is under
                 ///< way
  queries_post,  ///< the same after RoPE
  keys,
  values,      ///< the cache's rows [n_kv_head][count] from position `first`, as they are
  rows,        ///< f32 [n_head][p + 1]: full softmax rows at the last decoded position p
  kept,        ///< i32 [n_kv_head][p + 2]: kept sets in rank order (before this step's `after` ran, if read between)
  sets,        ///< i32 [n_kv_head][p + 2]: the positions attended to at this step, in the sets' order
  heads,       ///< f32 [n_head][d_head]: attention output of the last decoded position
  full_heads,  ///< f32 [n_head][d_head]: what full attention would have given there
  prompt_queries,  ///< f32 [count][n_head][d_head] after RoPE of the last `count` prompt tokens; holds().window have
                   ///< them
  row_sums,        ///< f32 [n_head][L]: rows of all prompt queries, summed; where holds().row_sums
};

/// What a layer decided at a step.
struct HeadLog {
  bool full = false;
  float cosine = 0;       ///< nan where not measured
  int32_t positions = 0;  ///< how many were attended to, p included
  /// Where measured: relative distance of the cut of the choices made before and after the attention to the nearest
  /// different score; nan where none was made, infinity where nothing was cut. Step 0's stands in margin_after.
  float margin_before = 0, margin_after = 0;
};

/// Bytes read: counted, not assumed. `select` are rows read only to choose, and kept rows read to be packed.
struct BytesRead {
  int64_t weights = 0, attend = 0, select = 0;

  BytesRead& operator+=(const BytesRead& other) {
    weights += other.weights, attend += other.attend, select += other.select;
    return *this;
  }
};

/// One decode step, as a backend is told of it. Plans are data without pointers and lie side by side: a device takes
/// them over in one copy.
struct StepRequest {
  int32_t token = 0, p = 0;     ///< the token joins the sequence at position p
  std::span<const Plan> plans;  ///< [n_layer]
  /// Somebody looks at whole rows: queries are compared at every step and the cache stays whole.
  bool measure = false;
  bool shadow = false;  ///< attends to everything, whatever the plans say
};
static_assert(std::is_trivially_copyable_v<Plan>);

/// Told by step() between its parts, where somebody wants to look inside: the step then goes layer by layer.
class StepWatch {
 public:
  virtual ~StepWatch() = default;
  virtual void layer_begin(int32_t layer) = 0;
  /// Attention is done: rows, sets, queries and outputs of this layer can be read.
  virtual void attended(int32_t layer) = 0;
  virtual void layer_end(int32_t layer) = 0;
  /// Around what is the policy's own work: gates and choices.
  virtual void choosing_begin() = 0;
  virtual void choosing_end() = 0;
};

/// Operations of the model. x (the hidden states of the current chunk) stays inside the backend. Operations need not be
/// done when they return, only in order: read_logits(), wait() and SelectionOps::log() are what waits for them.
class ModelOps {
 public:
  virtual ~ModelOps() = default;
  /// `keeps`: what remember_prompt() is going to make.
  virtual std::unique_ptr<Sequence> new_sequence(int32_t n_ctx, const PromptNeeds& keeps) = 0;
  /// Shares complete blocks of the cache, copies the last; kept sets and references are copied.
  virtual std::unique_ptr<Sequence> fork(const Sequence& sequence) = 0;

  /// A decode step: the token through all layers under its plans, then its logits. `watch` may be null.
  virtual void step(Sequence& sequence, const StepRequest& request, StepWatch* watch) = 0;

  /// x := embeddings of `ids`, which stand at positions first, first + 1, ...
  virtual void embed(Sequence& sequence, std::span<const int32_t> ids, int32_t first) = 0;
  /// Norm, projections, RoPE; keys and values join the cache.
  virtual void project(Sequence& sequence, int32_t layer) = 0;
  /// Full causal attention of the chunk.
  virtual void attend_prompt(Sequence& sequence, int32_t layer) = 0;
  /// Keeps of the chunk what its sequence was asked to: the latest queries; rows of its queries, added up.
  virtual void remember_prompt(Sequence& sequence, int32_t layer) = 0;
  /// Output projection and feed-forward, with their residuals.
  virtual void finish_layer(Sequence& sequence, int32_t layer) = 0;
  /// Logits of the chunk's token `index` (negative: from the end), to be fetched by read_logits().
  virtual void predict(Sequence& sequence, int32_t index) = 0;

  /// out [n_vocab]: what predict() or step() made last.
  virtual void read_logits(std::span<float> out) = 0;
  /// Copies an item to the host: `out` has exactly its bytes and is filled when wait() has returned. first and count
  /// are of keys and values, count alone of queries; 0 elsewhere.
  virtual void read(Sequence& sequence, Item item, int32_t layer, int32_t first, int32_t count,
                    std::span<std::byte> out) = 0;
  /// The other way, to restore a prompt: keys and values of positions first ... first + count - 1 (the cache grows to
  /// hold them), prompt_queries and row_sums as read() gives them (of holds() as new_sequence() was told). `in` must
  /// stay as it is until wait() has returned.
  virtual void write(Sequence& sequence, Item item, int32_t layer, int32_t first, int32_t count,
                     std::span<const std::byte> in) = 0;
  /// Until every read and write so far is complete.
  virtual void wait() = 0;
  /// Bytes read since the last call.
  virtual BytesRead take_bytes_read() = 0;
};

/// Operations of the policies: they carry out a plan for all KV heads of a layer, in the order gate, before, attend,
/// after.
class SelectionOps {
 public:
  virtual ~SelectionOps() = default;
  /// Compares queries where the plan is gated or `measure`, and sets each KV head's branch.
  virtual void gate(Sequence& sequence, int32_t layer, const Plan& plan, bool measure) = 0;
  /// Kept sets of the branches that choose before they attend.
  virtual void before(Sequence& sequence, int32_t layer, const Plan& plan) = 0;
  /// Attention of the decoded token over what each KV head's branch says. `shadow`: over everything, whatever it says.
  virtual void attend(Sequence& sequence, int32_t layer, const Plan& plan, bool shadow) = 0;
  /// Sums and kept sets of the branches that ask for them.
  virtual void after(Sequence& sequence, int32_t layer, const Plan& plan) = 0;
  /// Step 0: nothing is kept yet; then the choice of the last prompt token, and sums that begin with the prompt's where
  /// the policy needs them. `first` is the plan of step 1: what its choice reads besides is made now.
  virtual void after_prompt(Sequence& sequence, int32_t layer, const Select& select, const Plan& first,
                            const PromptNeeds& needs, bool measure) = 0;
  /// out [n_layer][n_kv_head]: what all layers did at this step. Once a step: a device is waited for here.
  virtual void log(const Sequence& sequence, std::span<HeadLog> out) = 0;
};

/// The layers of a step, one after another, under the eyes of `watch` where it is not null: step() of a backend that
/// has no faster way.
void walk_layers(ModelOps& model, SelectionOps& selection, Sequence& sequence, const StepRequest& request,
                 StepWatch* watch);

struct BackendOptions {
  std::string device = "cpu";  ///< one of devices()
  KvType kv = KvType::f16;
  Activations activations = Activations::q8;
  /// Of a prompt's attention; bf16 where the device's DeviceInfo::prefill says so.
  PromptProducts prefill = PromptProducts::f32;
};

/// A model on a device.
struct Backend {
  std::string name;
  KvType kv = KvType::f16;  ///< of its caches
  Activations activations = Activations::q8;
  PromptProducts prefill = PromptProducts::f32;
  std::unique_ptr<ModelOps> model;
  SelectionOps* selection = nullptr;  ///< part of the same object
};

/// What there is to know of a device before a model is on it.
struct DeviceInfo {
  std::string_view name;  ///< for --device
  std::string_view help;  ///< empty: for tests, not offered
  /// The fastest products that it has for a prompt's attention on this machine.
  PromptProducts (*prefill)();
  Backend (*make)(const BackendOptions& options, const Model& model, ThreadPool& pool);
  /// What decoding on it is measured against, of as many passes as fit `seconds`, at least two.
  ReadRate (*read_rate)(ThreadPool& pool, double seconds);
};

std::span<const DeviceInfo> devices();
/// Throws Error (usage) for an unknown name.
const DeviceInfo& device_of(std::string_view name);
/// "cpu (fast) or reference (...)", for the help of --device.
std::string devices_help();
/// The model and the pool must outlive the backend. Throws Error (usage) for an unknown device.
Backend make_backend(const BackendOptions& options, const Model& model, ThreadPool& pool);

}  // namespace reattend
