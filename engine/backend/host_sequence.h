// What a host backend keeps of one sequence: cache, kept sets, sums, queries, decisions; all in its own memory.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/memory.h"
#include "engine/cache/key_sketches.h"
#include "engine/cache/kv_cache.h"
#include "engine/model/model.h"

namespace reattend {

/// One KV head's kept set. Rank-ordered copies of its rows are made at the first step that reads and leaves it: every
/// later step then streams (24 MB of keys and values take 0.8-1.1 ms contiguous, up to 2.8 ms as lone rows).
struct KeptSet {
  std::pmr::vector<int32_t> order;                         ///< [n_kept] positions, best first (or ascending)
  int32_t selected_at = -1;                                ///< position of the step that chose them; -1: none did
  std::pmr::vector<std::byte> packed_keys, packed_values;  ///< [n_kept] rows, the cache's bits, once `packed`
  bool packed = false;
  explicit KeptSet(std::pmr::memory_resource* m) : order(m), packed_keys(m), packed_values(m) {}
};

/// What is remembered of a prompt; forks share it.
template <class Real>
struct PromptMemory {
  PromptNeeds keeps;
  int32_t n_prompt = 0;
  std::pmr::vector<std::pmr::vector<Real>>
      queries;                  ///< [n_layer] of [min(window, n_prompt)][n_head][d_head], post-RoPE
  std::pmr::vector<Real> sums;  ///< [n_layer][n_head][n_ctx], or empty
  explicit PromptMemory(std::pmr::memory_resource* m) : queries(m), sums(m) {}
  PromptMemory(const PromptMemory& other, std::pmr::memory_resource* m)
      : keeps(other.keeps), n_prompt(other.n_prompt), queries(other.queries, m), sums(other.sums, m) {}
};

/// Cache and selection state of one sequence. All vectors lie in the backend's memory.
template <class Real>
struct HostSequence final : Sequence {
  BackendMemory& memory;
  std::optional<KvCache> cache;
  std::optional<KeySketches> sketches;  ///< columns as the cache's
  std::shared_ptr<PromptMemory<Real>> prompt;
  std::pmr::vector<Real> query;      ///< [n_layer][n_head][d_head] post-RoPE, of the newest token
  std::pmr::vector<Real> reference;  ///< [n_layer][n_head][d_head] of the last choice, in the stage that is compared
  std::pmr::vector<KeptSet> kept;    ///< [n_layer][n_kv_head]
  std::pmr::vector<Real> sums;  ///< [n_layer][n_head][n_ctx] rows of all queries so far, where a policy adds them up
  std::pmr::vector<std::pmr::vector<Real>> bounds;  ///< [n_layer][n_kv_head] of [n_page][2][d_head] minima, maxima
  std::pmr::vector<uint8_t> stays;  ///< [n_layer][n_kv_head] the gate's flag of this step: 1 takes Plan::branch
  std::pmr::vector<HeadLog> logs;   ///< [n_layer][n_kv_head]

  HostSequence(BackendMemory& m, BlockPool& blocks, const ModelShape& shape, const CacheShape& cache_shape,
               const PromptNeeds& keeps)
      : memory(m),
        query(m.resource()),
        reference(m.resource()),
        kept(m.resource()),
        sums(m.resource()),
        bounds(m.resource()),
        stays(m.resource()),
        logs(m.resource()) {
    const size_t n_unit = static_cast<size_t>(shape.n_layer) * shape.n_kv_head;
    const size_t n_query = static_cast<size_t>(shape.n_layer) * shape.n_head * shape.d_head;
    cache.emplace(cache_shape, blocks, m.maps());
    sketches.emplace(cache_shape.n_column(), m.maps());
    prompt = std::allocate_shared<PromptMemory<Real>>(std::pmr::polymorphic_allocator<PromptMemory<Real>>(m.resource()),
                                                      m.resource());
    prompt->keeps = keeps;
    prompt->queries.resize(shape.n_layer);
    if (keeps.row_sums) prompt->sums.resize(static_cast<size_t>(shape.n_layer) * shape.n_head * cache_shape.n_ctx);
    query.resize(n_query), reference.resize(n_query);
    for (size_t i = 0; i < n_unit; ++i) kept.emplace_back(m.resource());
    bounds.resize(n_unit);
    stays.resize(n_unit, 1), logs.resize(n_unit);
  }
  HostSequence(const HostSequence& other)
      : memory(other.memory),
        prompt(other.prompt),
        query(other.query, memory.resource()),
        reference(other.reference, memory.resource()),
        kept(memory.resource()),
        sums(other.sums, memory.resource()),
        bounds(other.bounds, memory.resource()),
        stays(other.stays, memory.resource()),
        logs(other.logs, memory.resource()) {
    cache.emplace(*other.cache);
    sketches.emplace(*other.sketches);
    for (const KeptSet& from : other.kept) {
      KeptSet& to = kept.emplace_back(memory.resource());
      to.order = from.order, to.selected_at = from.selected_at;
    }
  }
  ~HostSequence() override {
    const BackendMemory::Access access(memory);
    const auto drop = [](auto& vector) {
      std::remove_reference_t<decltype(vector)>(vector.get_allocator()).swap(vector);
    };
    drop(query), drop(reference), drop(kept), drop(sums), drop(bounds), drop(stays), drop(logs);
    prompt.reset();
    sketches.reset();
    cache.reset();
  }

  int32_t size() const override { return cache->size(); }
  PromptNeeds holds() const override {
    const BackendMemory::Access access(memory);
    return {.row_sums = prompt->keeps.row_sums, .window = std::min(prompt->keeps.window, prompt->n_prompt)};
  }
  /// The prompt's memory for writing: a fork that goes on with the prompt gets its own.
  PromptMemory<Real>& own_prompt() {
    if (prompt.use_count() > 1) {
      prompt = std::allocate_shared<PromptMemory<Real>>(
          std::pmr::polymorphic_allocator<PromptMemory<Real>>(memory.resource()), *prompt, memory.resource());
    }
    return *prompt;
  }
};

}  // namespace reattend
