// Attention to a set by rank: StreamingLLM's original positions, where a key stands at its place in the set.
#pragma once
#include <algorithm>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/backend/host_core.h"

namespace reattend {

/// Key r of the sorted set stands at r, the query at the last rank; the result is in core.heads. Works on a copy: the
/// cache's keys keep their own positions. `kv` [n_kv_head], the sets are core.sets.
template <class Ops>
void attend_by_rank(HostCore<Ops>& core, HostSequence<typename Ops::Real>& seq, int32_t layer,
                    std::span<const KvBlocks> kv, int32_t p) {
  using Real = typename Ops::Real;
  const int32_t d = core.shape.d_head, group = core.shape.group();
  std::vector<std::vector<float>> keys(kv.size()), values(kv.size());
  std::vector<std::vector<int32_t>> order(kv.size());
  std::vector<PositionSet> packed(kv.size());
  const auto load = [&](const void* row, float* out) {
    if constexpr (std::is_same_v<Real, float>) {
      Ops::load_kv(row, d, core.kv, out);
    } else {
      std::vector<Real> wide(static_cast<size_t>(d));
      Ops::load_kv(row, d, core.kv, wide.data());
      std::transform(wide.begin(), wide.end(), out, [](Real v) { return static_cast<float>(v); });
    }
  };
  std::copy_n(core.query(seq, layer), core.q_size(), core.staged.data());
  for (size_t g = 0; g < kv.size(); ++g) {
    const PositionSet& set = core.sets[g];
    const int32_t n = set.size();
    for (int32_t i = 0; i < n; ++i) order[g].push_back(set[i]);
    std::sort(order[g].begin(), order[g].end());
    keys[g].resize(static_cast<size_t>(n) * d), values[g].resize(static_cast<size_t>(n) * d);
    core.pool.run(n, [&](int64_t r, int) {
      const int32_t at = order[g][r];
      load(seq.cache->key(layer, static_cast<int32_t>(g), at), keys[g].data() + r * d);
      load(seq.cache->value(layer, static_cast<int32_t>(g), at), values[g].data() + r * d);
      core.shape.rope_of(layer).rotate(keys[g].data() + r * d, 1, r - at);
    });
    core.shape.rope_of(layer).rotate(core.staged.data() + static_cast<int64_t>(g) * group * d, group,
                                     int64_t{n - 1} - p);
    packed[g] = {.kept = order[g].data(),
                 .n_kept = n,
                 .packed_keys = keys[g].data(),
                 .packed_values = values[g].data(),
                 .packed_type = KvType::f32};
    core.bytes.attend += n * seq.cache->bytes_per_position();
  }
  Ops::attend(core.pool, core.scratch, core.staged.data(), group, kv, packed, core.scale, core.heads.data(), nullptr,
              0);
}

}  // namespace reattend
