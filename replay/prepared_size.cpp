// Computes what a prepared layer takes of memory, before it is prepared.
#include <algorithm>
#include <bit>

#include "replay/prepared.h"
#include "traces/schema.h"

namespace reattend {
namespace {

/// Rankings shorter than this are not worth another pass over the keys when a larger budget is asked for: a slider
/// should find the usual budgets there. 90 KV heads at 8K and 512 steps take 0.19 GB, and 0.23 GB of best masses.
constexpr int32_t kLeastDepth = 2048;
/// The same of what rows hold of the rankings' first entries.
constexpr int32_t kLeastKept = 1024;

int32_t raised(int32_t depth, int32_t least, int32_t most) {
  return std::min(static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(std::max(depth, least)))), most);
}

}  // namespace

int32_t PreparedLayer::roomy(int32_t depth) const {
  return raised(depth, kLeastDepth, n_row(n_step_));
}

int32_t PreparedLayer::roomy_kept(int32_t depth) const {
  return raised(depth, kLeastKept, n_row(n_step_));
}

int64_t PreparedLayer::fixed_bytes() const {
  return static_cast<int64_t>(data_.keys.size() + data_.values.size() + compared_.size() * sizeof(Compared) +
                              4 * (data_.queries.size() + query_pre_.size()));
}

int64_t PreparedLayer::unprepared_bytes(const TraceInfo& info) {
  const int64_t n_query = int64_t{info.n_step} + 1, n_position = int64_t{info.n_prompt} + info.n_step;
  const int64_t row = row_bytes(schema::stored_type(info.kv_type), info.d_head);
  return n_position * info.n_kv_head * row * (info.has_values ? 2 : 1) +
         n_query * (info.n_kv_head * int64_t{sizeof(Compared)} + int64_t{info.n_head} * info.d_head * 8);
}

int64_t PreparedLayer::bytes() const {
  return fixed_bytes() + current_.bytes() + outputs_.bytes() + rows_.bytes() + best_.bytes() + open_.bytes() +
         ranking.lists.bytes() + ranking.masses.bytes() + prompt_ranking.lists.bytes() + prompt_ranking.masses.bytes();
}

int64_t PreparedLayer::bytes_with(const Need& need) const {
  return bytes_for(need, true);
}

int64_t PreparedLayer::bytes_made(const Need& need) const {
  return bytes_for(need, false);
}

/// `kept_elsewhere`: parts that are, and serve, are not counted.
int64_t PreparedLayer::bytes_for(const Need& need, bool kept_elsewhere) const {
  const bool whole = steps_ == all_steps();  // otherwise what is there of a part goes
  const int32_t n_last = n_row(n_step_);
  const int64_t n = int64_t{n_kv_head()} * all_steps().size();
  const int32_t best = std::max(whole ? best_.depth() : 0, need.mass_depth > 0 ? roomy(need.mass_depth) : 0);
  const int32_t ranks = std::max(whole ? ranking.lists.depth() : 0, need.rank.present ? roomy(need.rank_depth) : 0);
  const int32_t kept = need.kept_depth > 0 ? roomy_kept(need.kept_depth) : 0;
  const bool has_outputs = has_values() && (need.outputs || (whole && outputs_ready_));
  const int64_t looked_up = whole ? ranking.masses.bytes() + prompt_ranking.masses.bytes() : 0;
  const auto here = [&](Part part, bool borrowed, int64_t bytes) {
    return kept_elsewhere && whole && borrowed && !lacks(part, need) ? 0 : bytes;
  };
  return fixed_bytes() +
         here(Part::rows, rows_.is_borrowed(), MassRows::bytes_of(n_kv_head(), all_steps().size(), n_row(0))) +
         here(Part::best, best_.is_borrowed(), BestMasses::bytes_of(n, best)) +
         here(Part::ranks, ranking.lists.is_borrowed(),
              RankTable::bytes_of(n, ranks, n_last) + (ranks > 0 ? KeptArray<int32_t>::bytes_of(n) : 0)) +
         std::max(looked_up, RankedMasses::bytes_of(n, kept, need.has_overlaps)) +
         std::max(prompt_ranking.lists.bytes(), RankTable::bytes_of(n_kv_head(), need.from_prompt ? kept : 0, n_last)) +
         (has_outputs
              ? here(Part::outputs, outputs_.is_borrowed(), KeptArray<float>::bytes_of(output_count(all_steps())))
              : 0);
}

int64_t PreparedLayer::bytes_with(const Need& need, Steps steps) const {
  const int32_t n_last = n_row(n_step_), ranks = need.rank.present ? need.rank_depth : 0;
  const int64_t n = int64_t{n_kv_head()} * steps.size();
  return fixed_bytes() + MassRows::bytes_of(n_kv_head(), steps.size(), n_row(steps.first)) +
         BestMasses::bytes_of(n, need.mass_depth) + RankTable::bytes_of(n + n_kv_head(), ranks, n_last) +
         (ranks > 0 ? KeptArray<int32_t>::bytes_of(n) : 0) +
         RankedMasses::bytes_of(n, need.kept_depth, need.has_overlaps) +
         RankTable::bytes_of(n_kv_head(), need.from_prompt ? need.kept_depth : 0, n_last) +
         (need.outputs && has_values() ? KeptArray<float>::bytes_of(output_count(steps)) : 0);
}

}  // namespace reattend
