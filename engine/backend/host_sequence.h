// What a host backend keeps of one sequence: cache, kept sets, queries, this step's decisions; all in its own memory.
#pragma once
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <type_traits>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/memory.h"
#include "engine/cache/kv_cache.h"
#include "engine/model/model.h"

namespace reattend {

/// One KV head's kept set. Rank-ordered copies of its rows are made at the first partial step after a choice: every
/// partial step then streams (24 MB of keys and values take 0.8-1.1 ms contiguous, up to 2.8 ms as lone rows).
struct KeptSet {
  std::pmr::vector<int32_t> order;                         ///< [n_kept] positions, best first
  int32_t stamp = -1;                                      ///< position of the step that chose them
  std::pmr::vector<std::byte> packed_keys, packed_values;  ///< [n_kept][d_head] cache bits, once `packed`
  bool packed = false;
  explicit KeptSet(std::pmr::memory_resource* m) : order(m), packed_keys(m), packed_values(m) {}
};

/// Cache and selection state of one sequence. All vectors lie in the backend's memory.
template <class Real>
struct HostSequence final : Sequence {
  BackendMemory& memory;
  std::optional<KvCache> cache;
  std::pmr::vector<Real> query;      ///< [n_layer][n_head][d_head] post-RoPE, of the newest token
  std::pmr::vector<Real> reference;  ///< [n_layer][n_head][d_head] of the last full step, in the stage that is compared
  std::pmr::vector<KeptSet> kept;    ///< [n_layer][n_kv_head]
  std::pmr::vector<uint8_t> stays;   ///< [n_layer][n_kv_head] the gate's flag of this step: 1 takes Plan::branch
  std::pmr::vector<HeadLog> logs;    ///< [n_layer][n_kv_head]

  HostSequence(BackendMemory& m, const ModelShape& shape, const CacheShape& cache_shape)
      : memory(m),
        query(m.resource()),
        reference(m.resource()),
        kept(m.resource()),
        stays(m.resource()),
        logs(m.resource()) {
    const size_t n_unit = static_cast<size_t>(shape.n_layer) * shape.n_kv_head;
    const size_t n_query = static_cast<size_t>(shape.n_layer) * shape.n_head * shape.d_head;
    cache.emplace(cache_shape, m.resource());
    query.resize(n_query), reference.resize(n_query);
    for (size_t i = 0; i < n_unit; ++i) kept.emplace_back(m.resource());
    stays.resize(n_unit, 1), logs.resize(n_unit);
  }
  HostSequence(const HostSequence& other)
      : memory(other.memory),
        query(other.query, memory.resource()),
        reference(other.reference, memory.resource()),
        kept(memory.resource()),
        stays(other.stays, memory.resource()),
        logs(other.logs, memory.resource()) {
    cache.emplace(*other.cache);
    for (const KeptSet& from : other.kept) {
      KeptSet& to = kept.emplace_back(memory.resource());
      to.order = from.order, to.stamp = from.stamp;
    }
  }
  ~HostSequence() override {
    const BackendMemory::Access access(memory);
    const auto drop = [](auto& vector) {
      std::remove_reference_t<decltype(vector)>(vector.get_allocator()).swap(vector);
    };
    drop(query), drop(reference), drop(kept), drop(stays), drop(logs);
    cache.reset();
  }
};

}  // namespace reattend
