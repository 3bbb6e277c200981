// A backend on the host's memory: the order of operations, kept sets and logs; the arithmetic is a template parameter.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/backend/backend.h"
#include "engine/backend/host_sequence.h"
#include "engine/model/model.h"

namespace reattend {

/// `Kernels` supplies Real, Matrix and the operations below (cpu.cpp: vectorised float; reference.cpp: plain double).
template <class Kernels>
class HostBackend final : public ModelOps, public SelectionOps {
 public:
  using Real = typename Kernels::Real;
  using Matrix = typename Kernels::Matrix;
  using Product = typename Kernels::Product;
  using Seq = HostSequence<Real>;

  HostBackend(const Model& model, ThreadPool& pool, KvType kv, BackendMemory::Kind memory, Kernels kernels)
      : model_(model),
        shape_(model.shape()),
        pool_(pool),
        kv_(kv),
        memory_(memory),
        kernels_(std::move(kernels)),
        scale_(static_cast<Real>(1 / std::sqrt(static_cast<double>(shape_.d_head)))),
        buffers_(memory_.resource()),
        rows_(memory_.resource()) {
    for (const LayerWeights& from : model.layers()) {
      layers_.push_back({kernels_.pack(from.attn_q), kernels_.pack(from.attn_k), kernels_.pack(from.attn_v),
                         kernels_.pack(from.attn_output), kernels_.pack(from.ffn_gate), kernels_.pack(from.ffn_up),
                         kernels_.pack(from.ffn_down), vector_of(from.attn_norm), vector_of(from.ffn_norm)});
    }
    output_norm_ = vector_of(model.output_norm());
    embedding_ = kernels_.pack(model.token_embd());
    if (model.output().bytes.data() != model.token_embd().bytes.data()) own_output_ = kernels_.pack(model.output());
  }
  ~HostBackend() override {
    const BackendMemory::Access access(memory_);
    buffers_.clear_all();
    std::pmr::vector<Real>(rows_.data.get_allocator()).swap(rows_.data);
  }

  // ---- model operations

  std::unique_ptr<Sequence> new_sequence(int32_t n_ctx) override {
    const BackendMemory::Access access(memory_);
    const CacheShape cache = {shape_.n_layer, shape_.n_kv_head, shape_.d_head, kv_, n_ctx};
    return std::make_unique<Seq>(memory_, shape_, cache);
  }

  std::unique_ptr<Sequence> fork(const Sequence& sequence) override {
    const BackendMemory::Access access(memory_);
    return std::make_unique<Seq>(static_cast<const Seq&>(sequence));
  }

  void embed(Sequence& sequence, std::span<const int32_t> ids, int32_t first) override {
    const BackendMemory::Access access(memory_);
    Seq& seq = cast(sequence);
    if (first != seq.cache->size()) throw Error("embed: a chunk must follow what the sequence already holds");
    n_token_ = static_cast<int32_t>(ids.size()), first_ = first;
    seq.cache->grow(n_token_);
    buffers_.resize(shape_, n_token_);
    pool_.run(n_token_, [&](int64_t t, int) {
      kernels_.row(embedding_, ids[t], buffers_.x.data() + t * shape_.d_model);
      shape_.rope.angles(first + t, buffers_.cos_sin.data() + t * shape_.d_head);
    });
    bytes_.weights += n_token_ * embedding_row_bytes();
  }

  void project(Sequence& sequence, int32_t layer) override {
    const BackendMemory::Access access(memory_);
    Seq& seq = cast(sequence);
    const Layer& w = layers_[layer];
    const int64_t q_width = q_size(), kv_width = kv_size();
    norm(w.attn_norm);
    product(
        {{&w.q, buffers_.q.data(), q_width}, {&w.k, buffers_.k.data(), kv_width}, {&w.v, buffers_.v.data(), kv_width}},
        buffers_.h.data());
    pool_.run(n_token_, [&](int64_t t, int) {
      const auto p = static_cast<int32_t>(first_ + t);
      const Real* cos_sin = buffers_.cos_sin.data() + t * shape_.d_head;
      shape_.rope.turn(buffers_.q.data() + t * q_width, shape_.n_head, cos_sin);
      shape_.rope.turn(buffers_.k.data() + t * kv_width, shape_.n_kv_head, cos_sin);
      for (int32_t g = 0; g < shape_.n_kv_head; ++g) {
        const int64_t at = t * kv_width + g * shape_.d_head;
        kernels_.store(buffers_.k.data() + at, shape_.d_head, kv_, seq.cache->key(layer, g, p));
        kernels_.store(buffers_.v.data() + at, shape_.d_head, kv_, seq.cache->value(layer, g, p));
      }
    });
    std::copy_n(buffers_.q.data() + (n_token_ - 1) * q_width, q_width, query(seq, layer));
    rows_.layer = -1;
  }

  void attend_prompt(Sequence& sequence, int32_t layer) override {
    const BackendMemory::Access access(memory_);
    const std::vector<KvBlocks> kv = blocks(cast(sequence), layer);
    kernels_.attend_prompt(pool_, buffers_.q.data(), n_token_, first_, shape_.group(), kv, scale_,
                           buffers_.heads.data());
  }

  void finish_layer(Sequence&, int32_t layer) override {
    const BackendMemory::Access access(memory_);
    const Layer& w = layers_[layer];
    const int64_t d = shape_.d_model, f = shape_.d_ffn;
    product({{&w.output, buffers_.y.data(), d}}, buffers_.heads.data());
    residual();
    norm(w.ffn_norm);
    product({{&w.gate, buffers_.gate.data(), f}, {&w.up, buffers_.up.data(), f}}, buffers_.h.data());
    pool_.run(n_token_, [&](int64_t t, int) {
      kernels_.swiglu(buffers_.gate.data() + t * f, buffers_.up.data() + t * f, f, buffers_.gate.data() + t * f);
    });
    product({{&w.down, buffers_.y.data(), d}}, buffers_.gate.data());
    residual();
  }

  void logits(Sequence&, int32_t index, std::span<float> out) override {
    const BackendMemory::Access access(memory_);
    const int32_t t = index < 0 ? n_token_ + index : index;
    kernels_.rms_norm(buffers_.x.data() + int64_t{t} * shape_.d_model, output_norm_.data(), shape_.d_model,
                      shape_.norm_eps, buffers_.h.data());
    const Matrix& w = own_output_ ? *own_output_ : embedding_;
    const Product one[] = {{&w, buffers_.logits.data(), shape_.n_vocab}};
    kernels_.matmul(pool_, buffers_.h.data(), 1, one);
    bytes_.weights += kernels_.bytes(w);
    std::transform(buffers_.logits.begin(), buffers_.logits.end(), out.begin(),
                   [](Real v) { return static_cast<float>(v); });
  }

  int64_t read(Sequence& sequence, Item item, int32_t layer, int32_t kv_head, int32_t first, int32_t count,
               std::span<std::byte> out) override {
    const BackendMemory::Access access(memory_);
    Seq& seq = cast(sequence);
    switch (item) {
      case Item::queries_pre:
      case Item::queries_post:
        return read_queries(seq, item, layer, count, out);
      case Item::keys:
      case Item::values: {
        const size_t bytes = static_cast<size_t>(seq.cache->bytes_per_position() / 2);
        for (int32_t i = 0; i < count; ++i) {
          const void* row = item == Item::keys ? seq.cache->key(layer, kv_head, first + i)
                                               : seq.cache->value(layer, kv_head, first + i);
          std::memcpy(out.data() + i * bytes, row, bytes);
        }
        return int64_t{count} * shape_.d_head;
      }
      case Item::row: {
        const BytesRead counted = bytes_;  // what observers read is not the step's
        ensure_rows(seq, layer);
        bytes_ = counted;
        const int32_t n = rows_.n;
        for (int32_t h = 0; h < shape_.group(); ++h)
          put(rows_.row(kv_head * shape_.group() + h), n, out, int64_t{h} * n);
        return int64_t{shape_.group()} * n;
      }
      case Item::kept: {
        const auto& order = unit(seq, layer, kv_head).order;
        std::memcpy(out.data(), order.data(), order.size() * sizeof(int32_t));
        return static_cast<int64_t>(order.size());
      }
      case Item::set: {
        const PositionSet& set = sets_[kv_head];
        for (int32_t i = 0; i < set.size(); ++i) {
          const int32_t p = set[i];
          std::memcpy(out.data() + i * sizeof p, &p, sizeof p);
        }
        return set.size();
      }
      case Item::heads:
        put(buffers_.heads.data(), q_size(), out, 0);
        return q_size();
      case Item::full_heads: {
        const std::vector<KvBlocks> kv = blocks(seq, layer);
        const std::vector<PositionSet> all(kv.size(), everything_up_to(seq.cache->size()));
        kernels_.attend(pool_, query(seq, layer), shape_.group(), kv, all, scale_, buffers_.full_heads.data(), {}, 0);
        put(buffers_.full_heads.data(), q_size(), out, 0);
        return q_size();
      }
    }
    return 0;
  }

  BytesRead take_bytes_read() override { return std::exchange(bytes_, {}); }

  // ---- selection operations

  void gate(Sequence& sequence, int32_t layer, const Plan& plan, bool measure) override {
    const BackendMemory::Access access(memory_);
    Seq& seq = cast(sequence);
    measure_ = measure;
    const int32_t group = shape_.group(), n_unit = plan.compare.per_kv_head ? shape_.n_kv_head : 1;
    const int32_t n_head = plan.compare.per_kv_head ? group : shape_.n_head;
    const bool compares = plan.compare.present && (plan.gated || measure);
    const Real* now = compares ? staged_query(seq, layer, plan.compare.stage) : nullptr;
    for (int32_t u = 0; u < n_unit; ++u) {
      const int64_t at = int64_t{u} * n_head * shape_.d_head;
      const double c =
          compares ? kernels_.similarity(now + at, reference(seq, layer) + at, n_head, shape_.d_head, plan.compare.how)
                   : std::numeric_limits<double>::quiet_NaN();
      const int32_t begin = plan.compare.per_kv_head ? u : 0, end = plan.compare.per_kv_head ? u + 1 : shape_.n_kv_head;
      for (int32_t g = begin; g < end; ++g) {
        const int32_t i = layer * shape_.n_kv_head + g;
        seq.stays[i] = !plan.gated || stays(c, plan.threshold) ? 1 : 0;
        seq.logs[i] = {.full = branch(seq, layer, g, plan).full, .cosine = static_cast<float>(c)};
      }
    }
  }

  void attend(Sequence& sequence, int32_t layer, const Plan& plan, bool shadow) override {
    const BackendMemory::Access access(memory_);
    Seq& seq = cast(sequence);
    const int32_t p = seq.cache->size() - 1, n_kv = shape_.n_kv_head;
    const std::vector<KvBlocks> kv = blocks(seq, layer);
    sets_.assign(n_kv, {});
    rows_.start(layer, p + 1, shape_.n_head);
    std::vector<Real*> scores(n_kv, nullptr);
    bool rotated = false;
    for (int32_t g = 0; g < n_kv; ++g) {
      const Branch& way = branch(seq, layer, g, plan);
      KeptSet& kept = unit(seq, layer, g);
      sets_[g] = resolve(way.attend, kept.order.data(), static_cast<int32_t>(kept.order.size()), kept.stamp, p);
      seq.logs[layer * n_kv + g].positions = sets_[g].size();
      rotated = rotated || (way.attend.rank_rotation && sets_[g].lead != p + 1);
      // A full row comes for free where everything is attended to; it saves the scoring pass.
      if ((sets_[g].lead == p + 1 || shadow) && (way.after.select || measure_))
        scores[g] = rows_.begin_raw(g, shape_.group());
    }
    if (!shadow) use_packed(seq, layer);
    if (shadow) {
      const std::vector<PositionSet> all(n_kv, everything_up_to(p + 1));
      run_attention(seq, layer, kv, all, scores);
    } else if (rotated) {
      attend_by_rank(seq, layer, kv, p);
    } else {
      run_attention(seq, layer, kv, sets_, scores);
    }
  }

  void after(Sequence& sequence, int32_t layer, const Plan& plan) override {
    const BackendMemory::Access access(memory_);
    Seq& seq = cast(sequence);
    std::vector<int32_t> heads;
    for (int32_t g = 0; g < shape_.n_kv_head; ++g) {
      if (branch(seq, layer, g, plan).after.select) heads.push_back(g);
    }
    if (heads.empty()) return;
    const After& what = branch(seq, layer, heads[0], plan).after;
    select(seq, layer, heads, what, plan.compare);
  }

  void after_prompt(Sequence& sequence, int32_t layer, const After& after, const Comparison& compare) override {
    const BackendMemory::Access access(memory_);
    Seq& seq = cast(sequence);
    if (!after.select) return;
    std::vector<int32_t> heads(shape_.n_kv_head);
    for (int32_t g = 0; g < shape_.n_kv_head; ++g) heads[g] = g;
    rows_.start(layer, seq.cache->size(), shape_.n_head);
    select(seq, layer, heads, after, compare);
  }

  void log(const Sequence& sequence, int32_t layer, std::span<HeadLog> out) override {
    const BackendMemory::Access access(memory_);
    const Seq& seq = static_cast<const Seq&>(sequence);
    std::copy_n(seq.logs.begin() + layer * shape_.n_kv_head, shape_.n_kv_head, out.begin());
  }

 private:
  struct Layer {
    Matrix q, k, v, output, gate, up, down;
    std::vector<Real> attn_norm, ffn_norm;  ///< [d_model]
  };

  /// Working space of a chunk; grows to the largest chunk seen.
  struct Buffers {
    std::pmr::vector<Real> x, h, y, q, k, v, heads, gate, up, logits, full_heads, staged;
    std::pmr::vector<Real> cos_sin;  ///< [n_token][d_head] RoPE of the chunk's positions: every layer turns by the same
    explicit Buffers(std::pmr::memory_resource* m)
        : x(m),
          h(m),
          y(m),
          q(m),
          k(m),
          v(m),
          heads(m),
          gate(m),
          up(m),
          logits(m),
          full_heads(m),
          staged(m),
          cos_sin(m) {}
    void resize(const ModelShape& s, int32_t n_token) {
      const auto fit = [](auto& vector, int64_t n) {
        if (vector.size() < static_cast<size_t>(n)) vector.resize(static_cast<size_t>(n));
      };
      const int64_t n = n_token, qw = int64_t{s.n_head} * s.d_head, kw = int64_t{s.n_kv_head} * s.d_head;
      fit(x, n * s.d_model), fit(h, n * s.d_model), fit(y, n * s.d_model);
      fit(q, n * qw), fit(k, n * kw), fit(v, n * kw), fit(heads, n * qw), fit(full_heads, qw), fit(staged, qw),
          fit(cos_sin, n * s.d_head);
      fit(gate, n * s.d_ffn), fit(up, n * s.d_ffn), fit(logits, s.n_vocab);
    }
    void clear_all() {
      for (auto* vector : {&x, &h, &y, &q, &k, &v, &heads, &gate, &up, &logits, &full_heads, &staged, &cos_sin}) {
        std::pmr::vector<Real>(vector->get_allocator()).swap(*vector);
      }
    }
  };

  /// Full rows of the current layer at the current step, made at most once and shared by observers and selection.
  struct Rows {
    enum class State : uint8_t { none, raw, softmax };
    int32_t layer = -1, n = 0;
    int64_t stride = 0;
    std::pmr::vector<Real> data;  ///< [n_head][stride]
    std::vector<State> state;     ///< [n_head]
    explicit Rows(std::pmr::memory_resource* m) : data(m) {}
    void start(int32_t l, int32_t n_position, int32_t n_head) {
      layer = l, n = n_position, stride = (n + 63) / 64 * 64;
      if (data.size() < static_cast<size_t>(n_head * stride))
        data.resize(static_cast<size_t>(n_head * (stride + 4096)));
      state.assign(n_head, State::none);
    }
    Real* row(int32_t head) { return data.data() + head * stride; }
    /// The attention pass is about to write raw scores of this KV head's group.
    Real* begin_raw(int32_t kv_head, int32_t group) {
      for (int32_t h = kv_head * group; h < (kv_head + 1) * group; ++h) state[h] = State::raw;
      return row(kv_head * group);
    }
  };

  static Seq& cast(Sequence& sequence) { return static_cast<Seq&>(sequence); }
  int64_t q_size() const { return int64_t{shape_.n_head} * shape_.d_head; }
  int64_t kv_size() const { return int64_t{shape_.n_kv_head} * shape_.d_head; }
  Real* query(Seq& seq, int32_t layer) const { return seq.query.data() + layer * q_size(); }
  Real* reference(Seq& seq, int32_t layer) const { return seq.reference.data() + layer * q_size(); }
  KeptSet& unit(Seq& seq, int32_t layer, int32_t kv_head) const { return seq.kept[layer * shape_.n_kv_head + kv_head]; }
  const Branch& branch(const Seq& seq, int32_t layer, int32_t kv_head, const Plan& plan) const {
    return seq.stays[layer * shape_.n_kv_head + kv_head] != 0 ? plan.branch : plan.otherwise;
  }
  int64_t embedding_row_bytes() const { return matrix_bytes(model_.token_embd().type, 1, model_.token_embd().n_col); }

  std::vector<Real> vector_of(const TensorView& tensor) const {
    std::vector<float> values(static_cast<size_t>(tensor.n_col));
    format_of(tensor.type).dequantize(tensor.bytes.data(), tensor.n_col, values.data());
    return {values.begin(), values.end()};
  }

  std::vector<KvBlocks> blocks(const Seq& seq, int32_t layer) const {
    std::vector<KvBlocks> all;
    for (int32_t g = 0; g < shape_.n_kv_head; ++g) all.push_back(seq.cache->blocks(layer, g));
    return all;
  }

  void norm(const std::vector<Real>& w) {
    const int64_t d = shape_.d_model;
    pool_.run(n_token_, [&](int64_t t, int) {
      kernels_.rms_norm(buffers_.x.data() + t * d, w.data(), d, shape_.norm_eps, buffers_.h.data() + t * d);
    });
  }

  void residual() {
    const int64_t d = shape_.d_model;
    pool_.run(n_token_, [&](int64_t t, int) { kernels_.add(buffers_.x.data() + t * d, buffers_.y.data() + t * d, d); });
  }

  void product(std::initializer_list<Product> products, const Real* x) {
    kernels_.matmul(pool_, x, n_token_, std::span<const Product>(products.begin(), products.size()));
    for (const Product& each : products) bytes_.weights += kernels_.bytes(*each.w);
  }

  void run_attention(Seq& seq, int32_t layer, std::span<const KvBlocks> kv, std::span<const PositionSet> sets,
                     std::span<Real* const> scores) {
    kernels_.attend(pool_, query(seq, layer), shape_.group(), kv, sets, scale_, buffers_.heads.data(), scores,
                    rows_.stride);
    for (const PositionSet& set : sets) bytes_.attend += set.size() * seq.cache->bytes_per_position();
  }

  /// Turned back by inverse rotation of the post-RoPE query: the replay has nothing else and must decide the same bit
  /// for bit.
  const Real* staged_query(Seq& seq, int32_t layer, QueryStage stage) {
    if (stage == QueryStage::post_rope) return query(seq, layer);
    std::copy_n(query(seq, layer), q_size(), buffers_.staged.data());
    shape_.rope.rotate(buffers_.staged.data(), shape_.n_head, -int64_t{seq.cache->size() - 1});
    return buffers_.staged.data();
  }

  /// Hands attention the rank-ordered copies of the kept sets it is about to read, made at the first use.
  void use_packed(Seq& seq, int32_t layer) {
    const auto row = static_cast<size_t>(seq.cache->bytes_per_position() / 2);
    std::vector<int32_t> fresh;
    for (int32_t g = 0; g < shape_.n_kv_head; ++g) {
      KeptSet& kept = unit(seq, layer, g);
      if (sets_[g].n_kept == 0 || kept.packed) continue;
      kept.packed_keys.resize(kept.order.size() * row);
      kept.packed_values.resize(kept.order.size() * row);
      kept.packed = true;
      bytes_.select += static_cast<int64_t>(2 * kept.order.size() * row);
      fresh.push_back(g);
    }
    constexpr int64_t kRows = 128;  // a task's share: 32 KB of keys and values at d_head 64
    int64_t n_part = 0;             // sets of one layer may differ in size where each KV head decides for itself
    for (const int32_t g : fresh) {
      n_part = std::max(n_part, (static_cast<int64_t>(unit(seq, layer, g).order.size()) + kRows - 1) / kRows);
    }
    pool_.run(static_cast<int64_t>(fresh.size()) * n_part, [&](int64_t task, int) {
      const int32_t g = fresh[task / n_part];
      KeptSet& kept = unit(seq, layer, g);
      const auto begin = static_cast<size_t>(task % n_part * kRows);
      const size_t end = std::min(kept.order.size(), begin + kRows);
      for (size_t i = begin; i < end; ++i) {
        std::memcpy(kept.packed_keys.data() + i * row, seq.cache->key(layer, g, kept.order[i]), row);
        std::memcpy(kept.packed_values.data() + i * row, seq.cache->value(layer, g, kept.order[i]), row);
      }
    });
    for (int32_t g = 0; g < shape_.n_kv_head; ++g) {
      if (sets_[g].n_kept == 0) continue;
      sets_[g].packed_keys = unit(seq, layer, g).packed_keys.data();
      sets_[g].packed_values = unit(seq, layer, g).packed_values.data();
      sets_[g].packed_type = kv_;
    }
  }

  /// StreamingLLM's original positions: key r of the sorted set stands at r, the query at the last rank. Works on a
  /// copy.
  void attend_by_rank(Seq& seq, int32_t layer, std::span<const KvBlocks> kv, int32_t p) {
    const int32_t d = shape_.d_head;
    std::vector<std::vector<float>> keys(kv.size()), values(kv.size());
    std::vector<std::vector<int32_t>> order(kv.size());
    std::vector<PositionSet> packed(kv.size());
    std::copy_n(query(seq, layer), q_size(), buffers_.staged.data());
    for (size_t g = 0; g < kv.size(); ++g) {
      const PositionSet& set = sets_[g];
      const int32_t n = set.size();
      for (int32_t i = 0; i < n; ++i) order[g].push_back(set[i]);
      std::sort(order[g].begin(), order[g].end());
      keys[g].resize(static_cast<size_t>(n) * d), values[g].resize(static_cast<size_t>(n) * d);
      pool_.run(n, [&](int64_t r, int) {
        const int32_t at = order[g][r];
        kernels_.load(seq.cache->key(layer, static_cast<int32_t>(g), at), d, kv_, keys[g].data() + r * d);
        kernels_.load(seq.cache->value(layer, static_cast<int32_t>(g), at), d, kv_, values[g].data() + r * d);
        shape_.rope.rotate(keys[g].data() + r * d, 1, r - at);
      });
      shape_.rope.rotate(buffers_.staged.data() + static_cast<int64_t>(g) * shape_.group() * d, shape_.group(),
                         int64_t{n - 1} - p);
      packed[g] = {.kept = order[g].data(),
                   .n_kept = n,
                   .packed_keys = keys[g].data(),
                   .packed_values = values[g].data(),
                   .packed_type = KvType::f32};
      bytes_.attend += n * seq.cache->bytes_per_position();
    }
    kernels_.attend(pool_, buffers_.staged.data(), shape_.group(), kv, packed, scale_, buffers_.heads.data(), {}, 0);
  }

  /// Softmax rows over 0..p of the KV heads named (all if empty), from the scores of the attention pass or a scoring
  /// pass.
  void ensure_rows(Seq& seq, int32_t layer, std::span<const int32_t> kv_heads = {}) {
    const int32_t group = shape_.group(), n = seq.cache->size();
    if (rows_.layer != layer || rows_.n != n) rows_.start(layer, n, shape_.n_head);
    std::vector<int32_t> all;
    if (kv_heads.empty()) {
      for (int32_t g = 0; g < shape_.n_kv_head; ++g) all.push_back(g);
      kv_heads = all;
    }
    using State = typename Rows::State;
    pool_.run(static_cast<int64_t>(kv_heads.size()), [&](int64_t i, int) {
      const int32_t g = kv_heads[i], head = g * group;
      if (rows_.state[head] == State::none) {
        kernels_.score_run(query(seq, layer) + int64_t{head} * shape_.d_head, group, seq.cache->blocks(layer, g), n,
                           scale_, rows_.row(head), rows_.stride);
      }
    });
    for (const int32_t g : kv_heads) {
      if (rows_.state[g * group] == State::none) {
        bytes_.select += n * seq.cache->bytes_per_position() / 2;
        rows_.begin_raw(g, group);
      }
    }
    pool_.run(static_cast<int64_t>(kv_heads.size()) * group, [&](int64_t i, int) {
      const int32_t head = kv_heads[i / group] * group + static_cast<int32_t>(i % group);
      if (rows_.state[head] == State::softmax) return;
      kernels_.softmax(rows_.row(head), n);
      rows_.state[head] = State::softmax;
    });
  }

  void select(Seq& seq, int32_t layer, std::span<const int32_t> kv_heads, const After& what,
              const Comparison& compare) {
    const int32_t n = seq.cache->size(), group = shape_.group();
    ensure_rows(seq, layer, kv_heads);
    for (const int32_t g : kv_heads) {
      KeptSet& kept = unit(seq, layer, g);
      kept.order.resize(static_cast<size_t>(std::min(what.keep, n)));
      kept.packed = false;
      kept.stamp = n - 1;
    }
    pool_.run(static_cast<int64_t>(kv_heads.size()), [&](int64_t i, int) {
      const int32_t g = kv_heads[i];
      std::vector<Real> score(static_cast<size_t>(n)), pooled(static_cast<size_t>(n));
      kernels_.reduce_heads(rows_.row(g * group), group, rows_.stride, n, what.reduce, score.data());
      kernels_.max_pool(score.data(), n, what.pool, pooled.data());
      kernels_.top_k(pooled.data(), n, what.keep, unit(seq, layer, g).order.data());
    });
    if (!compare.present) return;
    const Real* now = staged_query(seq, layer, compare.stage);
    for (const int32_t g : kv_heads) {
      const int64_t at = int64_t{g} * group * shape_.d_head;
      std::copy_n(now + at, int64_t{group} * shape_.d_head, reference(seq, layer) + at);
    }
  }

  /// One query comes from the sequence, which keeps the newest of every layer; more from the chunk under way.
  int64_t read_queries(Seq& seq, Item item, int32_t layer, int32_t count, std::span<std::byte> out) {
    const Real* from = count == 1 ? query(seq, layer) : buffers_.q.data() + (n_token_ - count) * q_size();
    std::vector<Real> turned(static_cast<size_t>(q_size()));
    for (int32_t i = 0; i < count; ++i) {
      std::copy_n(from + i * q_size(), q_size(), turned.data());
      const int64_t position = seq.cache->size() - count + i;
      if (item == Item::queries_pre) shape_.rope.rotate(turned.data(), shape_.n_head, -position);
      put(turned.data(), q_size(), out, i * q_size());
    }
    return count * q_size();
  }

  /// Writes n values as f32 from element `at` of out.
  static void put(const Real* values, int64_t n, std::span<std::byte> out, int64_t at) {
    std::byte* to = out.data() + at * static_cast<int64_t>(sizeof(float));
    if constexpr (std::is_same_v<Real, float>) {
      std::memcpy(to, values, static_cast<size_t>(n) * sizeof(float));
    } else {
      for (int64_t i = 0; i < n; ++i, to += sizeof(float)) {
        const auto v = static_cast<float>(values[i]);
        std::memcpy(to, &v, sizeof v);
      }
    }
  }

  const Model& model_;
  const ModelShape& shape_;
  ThreadPool& pool_;
  KvType kv_;
  BackendMemory memory_;
  Kernels kernels_;
  Real scale_;
  Buffers buffers_;
  std::vector<Layer> layers_;
  std::vector<Real> output_norm_;  ///< [d_model]
  Matrix embedding_;
  std::optional<Matrix> own_output_;
  int32_t n_token_ = 0, first_ = 0;  ///< the current chunk
  std::vector<PositionSet> sets_;    ///< [n_kv_head] of the layer that attended last
  Rows rows_;
  bool measure_ = false;
  BytesRead bytes_;
};

}  // namespace reattend
