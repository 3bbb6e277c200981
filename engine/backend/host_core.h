// What the two tables of a host backend share: shapes, working space, and the step under way.
#pragma once
#include <algorithm>
#include <cmath>
#include <memory_resource>
#include <numeric>
#include <utility>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/host_sequence.h"
#include "engine/model/model.h"

namespace reattend {

/// One row per query head over some positions, of the layer under way.
template <class Real>
struct HeadRows {
  enum class State : uint8_t { none, raw, softmax };
  int32_t layer = -1, n = 0;
  int64_t stride = 0;
  std::pmr::vector<Real> data;  ///< [n_head][stride]
  std::vector<State> state;     ///< [n_head]
  std::vector<uint8_t>
      uncounted;  ///< [n_head] 1: made for an observer alone, so the step has not counted their keys yet
  explicit HeadRows(std::pmr::memory_resource* m) : data(m) {}
  /// Room for rows of n positions; rows of another layer or length are forgotten.
  void start(int32_t l, int32_t n_position, int32_t n_head) {
    if (layer == l && n == n_position) return;
    layer = l, n = n_position, stride = (n + 63) / 64 * 64;
    if (data.size() < static_cast<size_t>(n_head * stride)) data.resize(static_cast<size_t>(n_head * (stride + 4096)));
    state.assign(n_head, State::none), uncounted.assign(n_head, 0);
  }
  Real* row(int32_t head) { return data.data() + head * stride; }
  /// Somebody is about to write rows of this KV head's group: raw scores, or softmax rows.
  Real* begin(int32_t kv_head, int32_t group, State as) {
    for (int32_t h = kv_head * group; h < (kv_head + 1) * group; ++h) state[h] = as;
    return row(kv_head * group);
  }
};

template <class Ops>
struct HostCore {
  using Real = typename Ops::Real;
  using Seq = HostSequence<Real>;
  using Rows = HeadRows<Real>;

  const Model& model;
  const ModelShape& shape;
  ThreadPool& pool;
  KvType kv;
  Activations activations;
  PromptProducts prefill;
  BackendMemory memory;
  BlockPool blocks_of_caches;  ///< of all sequences; a slab is 256 positions of all layers and KV heads
  typename Ops::Scratch scratch;
  ScoreScale<Real> scale;
  std::pmr::vector<Real> heads, full_heads, staged;  ///< [n_token][n_head][d_head]; the others of one token
  std::pmr::vector<Real> back;                       ///< [n_rope][d_head] what turns the newest query back to 0
  int64_t back_from = -1;                            ///< the position that it turns back from
  std::vector<PositionSet> sets;                     ///< [n_kv_head] of the layer that attended last
  Rows rows;                                         ///< over everything, 0..p; shared by observers and selection
  Rows set_rows;                                     ///< over what was attended to, in the set's order; same stride
  BytesRead bytes;

  HostCore(const Model& m, ThreadPool& p, const BackendOptions& options, BackendMemory::Kind kind)
      : model(m),
        shape(m.shape()),
        pool(p),
        kv(options.kv),
        activations(options.activations),
        prefill(options.prefill),
        memory(kind),
        blocks_of_caches(cache_shape(0).block_bytes(), static_cast<size_t>(cache_shape(0).n_column()), memory.maps()),
        scale(shape.score_scale().template as<Real>()),
        heads(memory.resource()),
        full_heads(memory.resource()),
        staged(memory.resource()),
        back(memory.resource()),
        rows(memory.resource()),
        set_rows(memory.resource()) {}
  HostCore(const HostCore&) = delete;
  HostCore& operator=(const HostCore&) = delete;
  /// Within an Access.
  void clear() {
    for (auto* vector : {&heads, &full_heads, &staged, &back, &rows.data, &set_rows.data}) {
      std::pmr::vector<Real>(vector->get_allocator()).swap(*vector);
    }
  }

  CacheShape cache_shape(int32_t n_ctx) const {
    return {shape.n_layer, shape.n_kv_head, shape.d_head, kv, n_ctx, shape.windows()};
  }
  int32_t window(int32_t layer) const { return shape.layers[layer].window; }
  static Seq& cast(Sequence& sequence) { return static_cast<Seq&>(sequence); }
  int64_t q_size() const { return int64_t{shape.n_head} * shape.d_head; }
  Real* query(Seq& seq, int32_t layer) const { return seq.query.data() + layer * q_size(); }
  Real* reference(Seq& seq, int32_t layer) const { return seq.reference.data() + layer * q_size(); }
  KeptSet& unit(Seq& seq, int32_t layer, int32_t kv_head) const { return seq.kept[layer * shape.n_kv_head + kv_head]; }
  HeadLog& log(Seq& seq, int32_t layer, int32_t kv_head) const { return seq.logs[layer * shape.n_kv_head + kv_head]; }
  const Branch& branch(const Seq& seq, int32_t layer, int32_t kv_head, const Plan& plan) const {
    return seq.stays[layer * shape.n_kv_head + kv_head] != 0 ? plan.branch : plan.else_branch;
  }
  std::vector<KvBlocks> blocks(const Seq& seq, int32_t layer) const {
    std::vector<KvBlocks> all;
    for (int32_t g = 0; g < shape.n_kv_head; ++g) all.push_back(seq.cache->blocks(layer, g));
    return all;
  }
  /// Where a layer's sums over query head `head` begin in sums or PromptMemory::sums: [n_ctx].
  size_t sums_at(const Seq& seq, int32_t layer, int32_t head) const {
    return (static_cast<size_t>(layer) * shape.n_head + head) * seq.cache->shape().n_ctx;
  }
  std::vector<int32_t> all_kv_heads() const {
    std::vector<int32_t> all(static_cast<size_t>(shape.n_kv_head));
    std::iota(all.begin(), all.end(), 0);
    return all;
  }

  /// Turned back by inverse rotation of the post-RoPE query: the replay has nothing else and must decide the same bit
  /// for bit.
  const Real* staged_query(Seq& seq, int32_t layer, QueryStage stage) {
    if (stage == QueryStage::post_rope) return query(seq, layer);
    std::copy_n(query(seq, layer), q_size(), staged.data());
    if (const int64_t position = seq.cache->size() - 1; std::exchange(back_from, position) != position) {
      back.resize(shape.ropes.size() * static_cast<size_t>(shape.d_head));
      for (size_t r = 0; r < shape.ropes.size(); ++r) shape.ropes[r].angles(-position, back.data() + r * shape.d_head);
    }
    const Real* const angles = back.data() + int64_t{shape.layers[layer].rope} * shape.d_head;
    shape.rope_of(layer).rotate_by(staged.data(), shape.n_head, angles);
    return staged.data();
  }

  /// Raw scores of the run [begin, end) for the KV heads named, from the start of their rows in `out`. Shared out in
  /// stretches: there may be three KV heads and two threads.
  void score_run(Seq& seq, int32_t layer, std::span<const int32_t> kv_heads, int32_t begin, int32_t end,
                 ScoreScale<Real> by, Rows& out) {
    constexpr int32_t kStretch = 4 * kPiece;
    const int64_t n_stretch = (end - begin + kStretch - 1) / kStretch;
    pool.run(static_cast<int64_t>(kv_heads.size()) * n_stretch, [&](int64_t i, int) {
      const int32_t g = kv_heads[i / n_stretch], head = g * shape.group();
      const auto from = static_cast<int32_t>(begin + i % n_stretch * kStretch);
      const PositionSet run = {.tail = from, .end = std::min(end, from + kStretch)};
      Ops::score_set(query(seq, layer) + int64_t{head} * shape.d_head, shape.group(), seq.cache->blocks(layer, g), run,
                     by, out.row(head) + (from - begin), out.stride);
    });
    bytes.select += static_cast<int64_t>(kv_heads.size()) * (end - begin) * seq.cache->bytes_per_position() / 2;
  }

  /// Softmax rows over 0..p of the KV heads named, from the attention pass or a scoring pass. What an observer reads is
  /// not the step's, until the step needs the same rows.
  void ensure_rows(Seq& seq, int32_t layer, std::span<const int32_t> kv_heads, bool observed = false) {
    const int32_t n = seq.cache->size();
    rows.start(layer, n, shape.n_head);
    std::vector<int32_t> missing;
    for (const int32_t g : kv_heads) {
      uint8_t& uncounted = rows.uncounted[g * shape.group()];
      if (rows.state[g * shape.group()] != Rows::State::none) {
        if (!observed && std::exchange(uncounted, 0) != 0) bytes.select += n * seq.cache->bytes_per_position() / 2;
        continue;
      }
      rows.begin(g, shape.group(), Rows::State::raw);
      uncounted = observed ? 1 : 0;
      missing.push_back(g);
    }
    const BytesRead counted = bytes;
    if (!missing.empty()) score_run(seq, layer, missing, 0, n, scale, rows);
    if (observed) bytes = counted;
    finish(rows, kv_heads, [n](int32_t) { return n; });
  }

  /// Raw scores of the KV heads named become softmax rows; size(g) entries each.
  template <class Size>
  void finish(Rows& of, std::span<const int32_t> kv_heads, const Size& size) {
    std::vector<int32_t> raw;  // query heads
    for (const int32_t g : kv_heads) {
      for (int32_t h = g * shape.group(); h < (g + 1) * shape.group(); ++h) {
        if (of.state[h] == Rows::State::raw) raw.push_back(h);
      }
    }
    pool.run(static_cast<int64_t>(raw.size()), [&](int64_t i, int) {
      const int32_t head = raw[i];
      Ops::softmax(of.row(head), size(head / shape.group()));
      of.state[head] = Rows::State::softmax;
    });
  }
};

}  // namespace reattend
