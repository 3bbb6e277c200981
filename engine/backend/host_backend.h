// A backend on the host's memory: the order of the model's operations; the arithmetic is a template parameter.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory_resource>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/backend/host_selection.h"
#include "engine/backend/host_transfer.h"
#include "engine/model/gguf.h"

namespace reattend {

/// `Ops` is Cpu (vectorised float) or Reference (plain double).
template <class Ops>
class HostBackend final : public ModelOps {
 public:
  using Core = HostCore<Ops>;
  using Real = typename Ops::Real;
  using Matrix = typename Ops::Matrix;
  using Product = typename Ops::Product;
  using Seq = HostSequence<Real>;

  HostBackend(const Model& model, ThreadPool& pool, const BackendOptions& options, BackendMemory::Kind memory)
      : c_(model, pool, options, memory),
        selection_(c_),
        transfer_(c_),
        buffers_(c_.memory.resource()),
        weights_(c_.memory, weight_bytes()) {
    const BackendMemory::Access access(c_.memory);
    // Braces order their elements: the weights come to lie in the order of their use.
    for (const LayerWeights& from : model.layers()) {
      layers_.push_back({.attn_norm = vector_of(from.attn_norm),
                         .q = pack(from.attn_q),
                         .k = pack(from.attn_k),
                         .v = pack(from.attn_v),
                         .q_bias = vector_of(from.attn_q_bias),
                         .k_bias = vector_of(from.attn_k_bias),
                         .v_bias = vector_of(from.attn_v_bias),
                         .q_norm = vector_of(from.attn_q_norm),
                         .k_norm = vector_of(from.attn_k_norm),
                         .output = pack(from.attn_output),
                         .post_attention_norm = vector_of(from.post_attention_norm),
                         .ffn_norm = vector_of(from.ffn_norm),
                         .gate = pack(from.ffn_gate),
                         .up = pack(from.ffn_up),
                         .down = pack(from.ffn_down),
                         .post_ffw_norm = vector_of(from.post_ffw_norm)});
      model.file().forget_pages();  // weights are held once
    }
    output_norm_.emplace(vector_of(model.output_norm()));
    if (model.output().bytes.data() != model.token_embd().bytes.data()) own_output_ = pack(model.output());
    embedding_ = pack(model.token_embd());
    model.file().forget_pages();
  }
  ~HostBackend() override {
    const BackendMemory::Access access(c_.memory);
    buffers_.clear_all();
    c_.clear();
  }
  SelectionOps& selection() { return selection_; }

  // ---- model operations

  std::unique_ptr<Sequence> new_sequence(int32_t n_ctx, const PromptNeeds& keeps) override {
    const BackendMemory::Access access(memory_);
    return std::make_unique<Seq>(c_.memory, c_.blocks_of_caches, shape_, c_.cache_shape(n_ctx), keeps);
  }

  std::unique_ptr<Sequence> fork(const Sequence& sequence) override {
    const BackendMemory::Access access(memory_);
    return std::make_unique<Seq>(static_cast<const Seq&>(sequence));
  }

  void step(Sequence& sequence, const StepRequest& request, StepWatch* watch) override {
    walk_layers(*this, selection_, sequence, request, watch);
  }

  void embed(Sequence& sequence, std::span<const int32_t> ids, int32_t first) override {
    const BackendMemory::Access access(memory_);
    Seq& seq = c_.cast(sequence);
    if (first != seq.cache->size()) throw Error("embed: a chunk must follow what the sequence already holds");
    n_token_ = static_cast<int32_t>(ids.size()), first_ = first;
    seq.cache->grow(n_token_);
    buffers_.resize(shape_, n_token_);
    fit(c_.heads, n_token_ * c_.q_size()), fit(c_.full_heads, c_.q_size()), fit(c_.staged, c_.q_size());
    pool_.run(n_token_, [&](int64_t t, int) {
      Real* const x = buffers_.x.data() + t * shape_.d_model;
      embedding_.row(ids[t], x);
      if (shape_.embedding_scale != 1) {
        for (int32_t i = 0; i < shape_.d_model; ++i) x[i] *= static_cast<Real>(shape_.embedding_scale);
      }
      for (size_t r = 0; r < shape_.ropes.size(); ++r) shape_.ropes[r].angles(first + t, cos_sin(r, t));
    });
    c_.bytes.weights += n_token_ * embedding_row_bytes();
  }

  void project(Sequence& sequence, int32_t layer) override {
    const BackendMemory::Access access(memory_);
    Seq& seq = c_.cast(sequence);
    const Layer& w = layers_[layer];
    const Rope& rope = shape_.rope_of(layer);
    const int64_t q_width = c_.q_size(), kv_width = kv_size();
    norm(w.attn_norm);
    product(
        {{&w.q, buffers_.q.data(), q_width}, {&w.k, buffers_.k.data(), kv_width}, {&w.v, buffers_.v.data(), kv_width}},
        buffers_.h.data());
    pool_.run(n_token_, [&](int64_t t, int) {
      const auto p = static_cast<int32_t>(first_ + t);
      Real* const q = buffers_.q.data() + t * q_width;
      Real* const k = buffers_.k.data() + t * kv_width;
      Real* const v = buffers_.v.data() + t * kv_width;
      add_bias(w.q_bias, q), add_bias(w.k_bias, k), add_bias(w.v_bias, v);
      norm_heads(w.q_norm, shape_.n_head, q), norm_heads(w.k_norm, shape_.n_kv_head, k);
      const Real* const angles = cos_sin(shape_.layers[layer].rope, t);
      rope.rotate_by(q, shape_.n_head, angles);
      rope.rotate_by(k, shape_.n_kv_head, angles);
      for (int32_t g = 0; g < shape_.n_kv_head; ++g) {
        Ops::store_kv(k + g * shape_.d_head, shape_.d_head, c_.kv, seq.cache->key(layer, g, p));
        Ops::store_kv(v + g * shape_.d_head, shape_.d_head, c_.kv, seq.cache->value(layer, g, p));
      }
    });
    std::copy_n(buffers_.q.data() + (n_token_ - 1) * q_width, q_width, c_.query(seq, layer));
    c_.rows.layer = -1;
  }

  void attend_prompt(Sequence& sequence, int32_t layer) override {
    const BackendMemory::Access access(memory_);
    const std::vector<KvBlocks> kv = c_.blocks(c_.cast(sequence), layer);
    Ops::attend_prompt(pool_, c_.scratch, buffers_.q.data(), n_token_, first_, shape_.group(), kv, c_.scale,
                       c_.window(layer), c_.prefill, c_.heads.data());
  }

  void finish_layer(Sequence&, int32_t layer) override {
    const BackendMemory::Access access(memory_);
    const Layer& w = layers_[layer];
    const int64_t d = shape_.d_model, f = shape_.d_ffn;
    product({{&w.output, buffers_.y.data(), d}}, c_.heads.data());
    residual(w.post_attention_norm);
    norm(w.ffn_norm);
    product({{&w.gate, buffers_.gate.data(), f}, {&w.up, buffers_.up.data(), f}}, buffers_.h.data());
    pool_.run(n_token_, [&](int64_t t, int) {
      Real* const gate = buffers_.gate.data() + t * f;
      (shape_.layers[layer].activation == Activation::silu ? Ops::swiglu : Ops::geglu)(gate, buffers_.up.data() + t * f,
                                                                                       f, gate);
    });
    product({{&w.down, buffers_.y.data(), d}}, buffers_.gate.data());
    residual(w.post_ffw_norm);
  }

  void predict(Sequence&, int32_t index) override {
    const BackendMemory::Access access(memory_);
    const int32_t t = index < 0 ? n_token_ + index : index;
    Ops::rms_norm(buffers_.x.data() + int64_t{t} * shape_.d_model, output_norm_->data(), shape_.d_model,
                  shape_.norm_eps, buffers_.h.data());
    const Matrix& w = own_output_ ? *own_output_ : embedding_;
    const Product one[] = {{&w, buffers_.logits.data(), shape_.n_vocab}};
    Ops::matmul(pool_, c_.scratch, c_.activations, buffers_.h.data(), 1, one);
    if (shape_.logit_cap > 0) cap_logits(static_cast<Real>(shape_.logit_cap));
    c_.bytes.weights += w.bytes();
  }

  void read_logits(std::span<float> out) override {
    const BackendMemory::Access access(memory_);
    std::transform(buffers_.logits.begin(), buffers_.logits.end(), out.begin(),
                   [](Real v) { return static_cast<float>(v); });
  }

  void read(Sequence& sequence, Item item, int32_t layer, int32_t first, int32_t count,
            std::span<std::byte> out) override {
    const BackendMemory::Access access(memory_);
    transfer_.read(c_.cast(sequence), item, layer, first, count, {buffers_.q.data(), n_token_}, out);
  }

  void write(Sequence& sequence, Item item, int32_t layer, int32_t first, int32_t count,
             std::span<const std::byte> in) override {
    const BackendMemory::Access access(memory_);
    transfer_.write(c_.cast(sequence), item, layer, first, count, in);
    fit(c_.staged, c_.q_size());  // what continues a restored prompt may compare queries before it embeds a token
  }

  void wait() override { transfer_.wait(); }

  void remember_prompt(Sequence& sequence, int32_t layer) override {
    const BackendMemory::Access access(memory_);
    Seq& seq = c_.cast(sequence);
    PromptMemory<Real>& prompt = seq.own_prompt();
    prompt.n_prompt = first_ + n_token_;
    auto& queries = prompt.queries[layer];
    const size_t width = static_cast<size_t>(c_.q_size()), most = prompt.keeps.window * width;
    const Real* const chunk = buffers_.q.data();
    queries.insert(queries.end(), chunk + std::max(0, n_token_ - prompt.keeps.window) * width,
                   chunk + n_token_ * width);
    if (queries.size() > most) queries.erase(queries.begin(), queries.end() - static_cast<std::ptrdiff_t>(most));
    if (!prompt.keeps.row_sums || c_.window(layer) > 0) return;
    const std::vector<KvBlocks> kv = c_.blocks(seq, layer);
    Ops::sum_prompt_rows(pool_, c_.scratch, chunk, n_token_, first_, shape_.group(), kv, c_.scale,
                         prompt.sums.data() + c_.sums_at(seq, layer, 0), seq.cache->shape().n_ctx);
  }

  BytesRead take_bytes_read() override { return std::exchange(c_.bytes, {}); }

 private:
  using Weights = std::pmr::vector<Real>;
  struct Layer {
    Weights attn_norm;  ///< [d_model]
    Matrix q, k, v;
    Weights q_bias, k_bias, v_bias;  ///< of the matrices' rows, or empty
    Weights q_norm, k_norm;          ///< [d_head], or empty
    Matrix output;
    Weights post_attention_norm, ffn_norm;  ///< [d_model], the first may be empty
    Matrix gate, up, down;
    Weights post_ffw_norm;  ///< [d_model], or empty
  };

  static void fit(std::pmr::vector<Real>& vector, int64_t n) {
    if (vector.size() < static_cast<size_t>(n)) vector.resize(static_cast<size_t>(n));
  }

  /// Working space of a chunk; grows to the largest chunk seen.
  struct Buffers {
    std::pmr::vector<Real> x, h, y, q, k, v, gate, up, logits;
    /// [n_rope][n_token][d_head] of the chunk's positions: layers of one rotation turn by the same angles
    std::pmr::vector<Real> cos_sin;
    explicit Buffers(std::pmr::memory_resource* m)
        : x(m), h(m), y(m), q(m), k(m), v(m), gate(m), up(m), logits(m), cos_sin(m) {}
    void resize(const ModelShape& s, int32_t n_token) {
      const int64_t n = n_token, qw = int64_t{s.n_head} * s.d_head, kw = int64_t{s.n_kv_head} * s.d_head;
      fit(x, n * s.d_model), fit(h, n * s.d_model), fit(y, n * s.d_model);
      fit(q, n * qw), fit(k, n * kw), fit(v, n * kw), fit(cos_sin, n * s.d_head * static_cast<int64_t>(s.ropes.size()));
      fit(gate, n * s.d_ffn), fit(up, n * s.d_ffn), fit(logits, s.n_vocab);
    }
    void clear_all() {
      for (auto* vector : {&x, &h, &y, &q, &k, &v, &gate, &up, &logits, &cos_sin}) {
        std::pmr::vector<Real>(vector->get_allocator()).swap(*vector);
      }
    }
  };

  int64_t kv_size() const { return int64_t{shape_.n_kv_head} * shape_.d_head; }
  int64_t embedding_row_bytes() const {
    return matrix_bytes(c_.model.token_embd().type, 1, c_.model.token_embd().n_col);
  }

  /// What one product prefetches past its end is the next one's. Giving back a part does nothing, so parts may be
  /// destroyed while the memory is closed; the whole is given back here.
  struct WeightMemory {
    BackendMemory& memory;
    std::pmr::monotonic_buffer_resource resource;
    WeightMemory(BackendMemory& m, size_t bytes) : memory(m), resource(bytes, m.maps()) {}
    WeightMemory(const WeightMemory&) = delete;
    WeightMemory& operator=(const WeightMemory&) = delete;
    ~WeightMemory() {
      const BackendMemory::Access access(memory);
      resource.release();
    }
  };
  Matrix pack(const TensorView& tensor) { return Ops::pack(tensor, &weights_.resource); }
  Weights vector_of(const TensorView& tensor) {
    std::vector<float> values(static_cast<size_t>(tensor.n_col));
    format_of(tensor.type).dequantize(tensor.bytes.data(), tensor.n_col, values.data());
    return Weights(values.begin(), values.end(), &weights_.resource);
  }
  /// Room for all of them in one piece.
  size_t weight_bytes() const {
    const Model& m = c_.model;
    int64_t bytes = Ops::packed_bytes(m.token_embd()) + Ops::packed_bytes(m.output());
    for (const LayerWeights& w : m.layers()) {
      for (const TensorView* each : w.matrices()) bytes += Ops::packed_bytes(*each);
      for (const TensorView* each : w.vectors()) bytes += each->n_col * int64_t{sizeof(Real)} + 64;
    }
    return static_cast<size_t>(bytes + m.output_norm().n_col * int64_t{sizeof(Real)} + 64);
  }

  /// Angles of the chunk's token t under rotation `rope`: [d_head].
  Real* cos_sin(size_t rope, int64_t t) {
    return buffers_.cos_sin.data() + (static_cast<int64_t>(rope) * n_token_ + t) * shape_.d_head;
  }

  void norm(const Weights& w) {
    const int64_t d = shape_.d_model;
    pool_.run(n_token_, [&](int64_t t, int) {
      Ops::rms_norm(buffers_.x.data() + t * d, w.data(), d, shape_.norm_eps, buffers_.h.data() + t * d);
    });
  }

  /// What attention or feed-forward gave joins x, normed first where the layer does.
  void residual(const Weights& post_norm) {
    const int64_t d = shape_.d_model;
    pool_.run(n_token_, [&](int64_t t, int) {
      Real* const y = buffers_.y.data() + t * d;
      if (!post_norm.empty()) Ops::rms_norm(y, post_norm.data(), d, shape_.norm_eps, y);
      Ops::add(buffers_.x.data() + t * d, y, d);
    });
  }

  void cap_logits(Real cap) {
    const ScoreScale<Real> capped(1, cap);
    constexpr int64_t kShare = 4096;
    const int64_t n = shape_.n_vocab;
    pool_.run((n + kShare - 1) / kShare, [&](int64_t share, int) {
      for (int64_t i = share * kShare; i < std::min(n, (share + 1) * kShare); ++i) {
        buffers_.logits[i] = capped(buffers_.logits[i]);
      }
    });
  }

  static void add_bias(const Weights& bias, Real* x) {
    if (!bias.empty()) Ops::add(x, bias.data(), static_cast<int64_t>(bias.size()));
  }
  /// x [n_head][d_head] in place.
  void norm_heads(const Weights& w, int32_t n_head, Real* x) const {
    if (w.empty()) return;
    for (int32_t h = 0; h < n_head; ++h, x += shape_.d_head) {
      Ops::rms_norm(x, w.data(), shape_.d_head, shape_.norm_eps, x);
    }
  }

  void product(std::initializer_list<Product> products, const Real* x) {
    Ops::matmul(pool_, c_.scratch, c_.activations, x, n_token_,
                std::span<const Product>(products.begin(), products.size()));
    for (const Product& each : products) c_.bytes.weights += each.w->bytes();
  }

  Core c_;
  HostSelection<Ops> selection_;
  HostTransfer<Ops> transfer_;
  const ModelShape& shape_ = c_.shape;
  ThreadPool& pool_ = c_.pool;
  BackendMemory& memory_ = c_.memory;
  Buffers buffers_;
  WeightMemory weights_;
  std::vector<Layer> layers_;
  std::optional<Weights> output_norm_;  ///< [d_model]
  Matrix embedding_;
  std::optional<Matrix> own_output_;
  int32_t n_token_ = 0, first_ = 0;  ///< the current chunk
};

}  // namespace reattend
