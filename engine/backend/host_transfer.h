// Items between a host backend's memory and its caller's: what read() and write() of every kind of item copy.
#pragma once
#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "engine/backend/host_core.h"

namespace reattend {

/// The chunk that passes through the layers.
template <class Real>
struct HostChunk {
  const Real* queries = nullptr;  ///< [n_token][n_head][d_head] after RoPE, of the layer under way
  int32_t n_token = 0;
};

/// Copies at once, but hands over what guarded memory gives only when it is waited for, as a device does.
template <class Ops>
class HostTransfer {
 public:
  using Core = HostCore<Ops>;
  using Real = typename Ops::Real;
  using Seq = HostSequence<Real>;

  explicit HostTransfer(Core& core) : c_(core) {}

  void read(Seq& seq, Item item, int32_t layer, int32_t first, int32_t count, const HostChunk<Real>& chunk,
            std::span<std::byte> out) {
    const auto bytes = static_cast<size_t>(bytes_of(seq, item, count));
    if (out.size() != bytes) {
      throw Error("backend: expected room for " + std::to_string(bytes) + " bytes, got " + std::to_string(out.size()));
    }
    if (c_.memory.guarded()) {
      waiting_.push_back({out, std::vector<std::byte>(bytes)});
      out = waiting_.back().bytes;
    }
    copy_out(seq, item, layer, first, count, chunk, out);
  }

  void write(Seq& seq, Item item, int32_t layer, int32_t first, int32_t count, std::span<const std::byte> in) {
    PromptMemory<Real>& prompt = seq.own_prompt();
    switch (item) {
      case Item::keys:
      case Item::values:
        if (first + count > seq.cache->size()) seq.cache->restore(first + count - seq.cache->size());
        prompt.n_prompt = seq.cache->size();
        for_each_row(seq, item, layer, first, count,
                     [&](void* row, int64_t at, int64_t bytes) { std::memcpy(row, in.data() + at, bytes); });
        return;
      case Item::prompt_queries:
        prompt.queries[layer].resize(static_cast<size_t>(count * c_.q_size()));
        take(in, 0, count * c_.q_size(), prompt.queries[layer].data());
        std::copy_n(prompt.queries[layer].end() - c_.q_size(), c_.q_size(), c_.query(seq, layer));
        return;
      case Item::row_sums:
        for (int32_t h = 0; h < c_.shape.n_head; ++h)
          take(in, int64_t{h} * count, count, prompt.sums.data() + c_.sums_at(seq, layer, h));
        return;
      default:
        throw Error("backend: this item can't be written");
    }
  }

  void wait() {
    for (const Waiting& each : waiting_) std::copy(each.bytes.begin(), each.bytes.end(), each.out.begin());
    waiting_.clear();
  }

 private:
  struct Waiting {
    std::span<std::byte> out;
    std::vector<std::byte> bytes;
  };

  void need_whole(const Seq& seq, int32_t layer) const {
    if (!seq.cache->complete()) throw Error("backend: the cache was cut to what its policy attends to");
    if (c_.window(layer) > 0) throw Error("backend: a layer with a window has no rows over everything");
  }
  void need_rows(const Seq& seq, int32_t layer, int32_t first, int32_t count) const {
    if (c_.window(layer) == 0) return need_whole(seq, layer);
    if (count > 0 && !seq.cache->holds(layer, first)) {
      throw Error("backend: position " + std::to_string(first) + " has left the window of layer " +
                  std::to_string(layer));
    }
  }

  int64_t bytes_of(const Seq& seq, Item item, int32_t count) const {
    const int64_t n = seq.cache->size(), n_head = c_.shape.n_head, n_kv_head = c_.shape.n_kv_head;
    constexpr int64_t kReal = sizeof(float), kPosition = sizeof(int32_t);
    switch (item) {
      case Item::keys:
      case Item::values:
        return n_kv_head * count * seq.cache->bytes_per_position() / 2;
      case Item::rows:
        return n_head * n * kReal;
      case Item::kept:
      case Item::sets:
        return n_kv_head * (n + 1) * kPosition;
      case Item::heads:
      case Item::full_heads:
        return c_.q_size() * kReal;
      case Item::queries_pre:
      case Item::queries_post:
      case Item::prompt_queries:
        return count * c_.q_size() * kReal;
      case Item::row_sums:
        return n_head * seq.prompt->n_prompt * kReal;
    }
    return 0;
  }

  void copy_out(Seq& seq, Item item, int32_t layer, int32_t first, int32_t count, const HostChunk<Real>& chunk,
                std::span<std::byte> out) {
    const int32_t n_head = c_.shape.n_head, n_kv_head = c_.shape.n_kv_head;
    switch (item) {
      case Item::queries_pre:
      case Item::queries_post:
        return copy_queries(seq, item, layer, count, chunk, out);
      case Item::keys:
      case Item::values:
        need_rows(seq, layer, first, count);
        for_each_row(seq, item, layer, first, count,
                     [&](const void* row, int64_t at, int64_t bytes) { std::memcpy(out.data() + at, row, bytes); });
        return;
      case Item::rows: {
        need_whole(seq, layer);
        c_.ensure_rows(seq, layer, c_.all_kv_heads(), true);
        const int32_t n = c_.rows.n;
        for (int32_t h = 0; h < n_head; ++h) put(c_.rows.row(h), n, out, int64_t{h} * n);
        return;
      }
      case Item::kept:
        for (int32_t g = 0; g < n_kv_head; ++g) {
          const auto& order = c_.unit(seq, layer, g).order;
          put_positions(
              seq, g, static_cast<int32_t>(order.size()), [&](int32_t i) { return order[i]; }, out);
        }
        return;
      case Item::sets:
        for (int32_t g = 0; g < n_kv_head; ++g) {
          const PositionSet& set = c_.sets[g];
          put_positions(
              seq, g, set.size(), [&](int32_t i) { return set[i]; }, out);
        }
        return;
      case Item::heads:
        return put(c_.heads.data(), c_.q_size(), out, 0);
      case Item::full_heads: {
        need_whole(seq, layer);
        const std::vector<KvBlocks> kv = c_.blocks(seq, layer);
        const std::vector<PositionSet> all(kv.size(), everything_up_to(seq.cache->size()));
        Ops::attend(c_.pool, c_.scratch, c_.query(seq, layer), c_.shape.group(), kv, all, c_.scale,
                    c_.full_heads.data(), nullptr, 0);
        return put(c_.full_heads.data(), c_.q_size(), out, 0);
      }
      case Item::prompt_queries: {
        const auto& queries = seq.prompt->queries[layer];
        return put(queries.data() + queries.size() - count * c_.q_size(), count * c_.q_size(), out, 0);
      }
      case Item::row_sums: {
        const int32_t n = seq.prompt->n_prompt;
        for (int32_t h = 0; h < n_head; ++h)
          put(seq.prompt->sums.data() + c_.sums_at(seq, layer, h), n, out, int64_t{h} * n);
        return;
      }
    }
  }

  /// One query comes from the sequence, which keeps the newest of every layer; more from the chunk under way.
  void copy_queries(Seq& seq, Item item, int32_t layer, int32_t count, const HostChunk<Real>& chunk,
                    std::span<std::byte> out) {
    const Real* from = count == 1 ? c_.query(seq, layer) : chunk.queries + (chunk.n_token - count) * c_.q_size();
    std::vector<Real> rotated(static_cast<size_t>(c_.q_size()));
    for (int32_t i = 0; i < count; ++i) {
      std::copy_n(from + i * c_.q_size(), c_.q_size(), rotated.data());
      const int64_t position = seq.cache->size() - count + i;
      if (item == Item::queries_pre) c_.shape.rope_of(layer).rotate(rotated.data(), c_.shape.n_head, -position);
      put(rotated.data(), c_.q_size(), out, i * c_.q_size());
    }
  }

  /// copy(row, at, bytes) of keys or values [n_kv_head][count], `at` the row's first byte among them.
  template <class Copy>
  void for_each_row(Seq& seq, Item item, int32_t layer, int32_t first, int32_t count, const Copy& copy) const {
    const int64_t bytes = seq.cache->bytes_per_position() / 2;
    for (int32_t g = 0; g < c_.shape.n_kv_head; ++g) {
      for (int32_t i = 0; i < count; ++i) {
        void* const row =
            item == Item::keys ? seq.cache->key(layer, g, first + i) : seq.cache->value(layer, g, first + i);
        copy(row, (int64_t{g} * count + i) * bytes, bytes);
      }
    }
  }

  /// n, then position(0) ... position(n - 1), into KV head g's row of out.
  template <class Position>
  static void put_positions(const Seq& seq, int32_t g, int32_t n, const Position& position, std::span<std::byte> out) {
    std::byte* to = out.data() + static_cast<size_t>(g) * (seq.cache->size() + 1) * sizeof n;
    std::memcpy(to, &n, sizeof n);
    for (int32_t i = 0; i < n; ++i) {
      const int32_t p = position(i);
      std::memcpy(to += sizeof p, &p, sizeof p);
    }
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

  /// The other way: n values of f32 from element `at` of in.
  static void take(std::span<const std::byte> in, int64_t at, int64_t n, Real* values) {
    const std::byte* from = in.data() + at * static_cast<int64_t>(sizeof(float));
    for (int64_t i = 0; i < n; ++i, from += sizeof(float)) {
      float v;
      std::memcpy(&v, from, sizeof v);
      values[i] = static_cast<Real>(v);
    }
  }

  Core& c_;
  std::vector<Waiting> waiting_;
};

}  // namespace reattend
