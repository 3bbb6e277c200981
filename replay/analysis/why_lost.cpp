// Holds what a row wants against the set that the replay attended to, and that against the plan and the choice behind.
#include "replay/analysis/why_lost.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "replay/analysis/row_tops.h"
#include "replay/choice.h"

namespace reattend {
namespace {

/// The branch that the replayed KV head took.
Branch branch_taken(const Policy& policy, const LayerReplay& replay, const RowPlace& at, int32_t n_kv_head) {
  const Plan plan = policy.plan(at.layer, at.step);
  const float cosine = replay.cos[static_cast<size_t>(at.step - 1) * n_kv_head + at.kv_head];
  return plan.gated && !stays(plan, cosine) ? plan.else_branch : plan.branch;
}

LossCause cause_of(const LostRow& row, int32_t rank) {
  if (!row.what.chooses()) return LossCause::outside;
  if (row.what.from_kept) return LossCause::evicted;
  if (rank < 0) return LossCause::unknown;
  if (rank >= row.what.keep) return LossCause::ranked;
  if (row.attend.ages) return LossCause::aged;
  return row.what.min_weight > 0 ? LossCause::weak : LossCause::unknown;
}

/// [positions] The nearest earlier position with the same token of each; -1: none.
std::vector<int32_t> earlier_of(const std::vector<LostPosition>& positions, std::span<const std::string> texts) {
  std::vector<int32_t> order(positions.size()), out(positions.size(), -1);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int32_t i) { return positions[static_cast<size_t>(i)].position; });
  std::unordered_map<std::string_view, int32_t> seen;
  int32_t next = 0;
  for (const int32_t i : order) {
    const int32_t position = positions[static_cast<size_t>(i)].position;
    if (position >= static_cast<int32_t>(texts.size())) break;
    for (; next < position; ++next) seen[texts[static_cast<size_t>(next)]] = next;
    const auto found = seen.find(texts[static_cast<size_t>(position)]);
    if (found != seen.end()) out[static_cast<size_t>(i)] = found->second;
  }
  return out;
}

LostKind kind_of(const LostPosition& lost, int32_t p, int32_t step) {
  const LostRequest usual;
  const TokenClass place = class_of(lost.position, p, usual);
  if (place == TokenClass::sink) return LostKind::sink;
  if (place == TokenClass::recent) return LostKind::recent;
  if (step - lost.last >= kLongAway && lost.weight > usual.above) return LostKind::needle;
  return lost.earlier >= 0 ? LostKind::repeat : LostKind::other;
}

/// Ranks by the choice's score in step t's own row, up to `depth` of them; -1 beyond.
std::vector<int32_t> ranks_by_score(const PreparedLayer& layer, int32_t kv_head, int32_t t, const Select& what,
                                    ThreadPool& threads, const Cancel& cancel) {
  RowTops tops(layer, kv_head, what.reduce, what.pool, layer.n_row(t));
  tops.hold({t, t}, threads, cancel);
  std::vector<int32_t> ranks(static_cast<size_t>(layer.n_row(t)), -1);
  for (int32_t i = 0; i < tops.size(t); ++i) ranks[static_cast<size_t>(tops.of(t)[i])] = i;
  return ranks;
}

/// Whether the choice takes the best of one KV head's whole row, so that any row can be ranked in the same way.
bool ranks_whole_rows(const Select& what) {
  return what.by == Rank::row && !what.shared && !what.from_kept;
}

void describe_set(const Policy& policy, const LayerReplay& replay, const Choice& choice, int32_t n_kv_head, int32_t p,
                  int32_t n_set, LostRow& out) {
  out.attend = branch_taken(policy, replay, out.at, n_kv_head).attend;
  const int32_t selected_at = p - out.at.step + choice.step;
  out.tail = std::max(out.attend.lead, out.attend.from_selected ? selected_at + out.attend.tail : out.attend.tail);
  if (!out.attend.kept || choice.step < 0) return;
  out.what = choice.what, out.choice_step = choice.step, out.n_candidate = choice.n_candidate();
  out.attended = n_set - out.attend.lead - (p + 1 - out.tail);
}

}  // namespace

LostRow lost_row(Replayer& replayer, const Settings& settings, const RowPlace& at, std::span<const std::string> texts,
                 ThreadPool& threads, const Cancel& cancel) {
  const TraceInfo& info = replayer.info();
  const ReplayRequest request = {.settings = settings,
                                 .layers = {at.layer},
                                 .output_error = false,
                                 .keep_sets = true,
                                 .set_steps = {1, at.step},
                                 .set_kv_head = at.kv_head};
  const ReplayResult replayed = replayer.run(request, {}, cancel);
  const LayerReplay& replay = replayed.layers.front();
  const std::vector<float> row = replayer.row(at.layer, at.kv_head, at.step);
  const auto n = static_cast<int32_t>(row.size());
  std::vector<int32_t> last(row.size(), 0);
  for (int32_t t = 1; t <= at.step; ++t) {
    for (const auto& [begin, end] : replay.sets[static_cast<size_t>(t - 1) * info.n_kv_head + at.kv_head].runs()) {
      std::fill(last.begin() + begin, last.begin() + end, t);
    }
  }
  LostRow out{.at = at};
  std::vector<int32_t> lost;
  for (int32_t j = 0; j < n; ++j) {
    if (last[static_cast<size_t>(j)] == at.step) continue;
    lost.push_back(j);
    out.mass += row[static_cast<size_t>(j)];
  }
  out.n_position = static_cast<int32_t>(lost.size());
  if (lost.empty()) return out;
  std::ranges::stable_sort(lost, std::ranges::greater{}, [&](int32_t j) { return row[static_cast<size_t>(j)]; });
  for (double sum = 0; sum < out.mass / 2 && out.n_half < out.n_position; ++out.n_half) {
    sum += row[static_cast<size_t>(lost[static_cast<size_t>(out.n_half)])];
  }

  const Choice choice = replayer.choice(settings, at.layer, at.kv_head, at.step, cancel);
  describe_set(*make_policy(settings, info.run_shape()), replay, choice, info.n_kv_head, n - 1, n - out.n_position,
               out);
  out.ranks_now_by_score = ranks_whole_rows(out.what);
  const std::vector<int32_t> now = out.ranks_now_by_score ? ranks_by_score(replayer.layer(at.layer, cancel), at.kv_head,
                                                                           at.step, choice.what, threads, cancel)
                                                          : ranks_of(row);
  for (const int32_t j : lost) {
    const int32_t rank = out.what.chooses() ? choice.rank_of(j) : -1;
    out.positions.push_back({.position = j,
                             .weight = row[static_cast<size_t>(j)],
                             .last = last[static_cast<size_t>(j)],
                             .cause = cause_of(out, rank),
                             .rank = rank,
                             .rank_now = now[static_cast<size_t>(j)]});
  }
  const std::vector<int32_t> earlier = earlier_of(out.positions, texts);
  for (size_t i = 0; i < out.positions.size(); ++i) {
    out.positions[i].earlier = earlier[i];
    out.positions[i].kind = kind_of(out.positions[i], n - 1, at.step);
  }
  return out;
}

LossDetail loss_detail(Replayer& replayer, const Settings& settings, const LostRow& row, const LostPosition& lost,
                       ThreadPool& threads, const Cancel& cancel) {
  LossDetail out;
  const auto [layer, kv_head, step] = row.at;
  if (lost.cause == LossCause::evicted) {
    const Choice choice = replayer.choice(settings, layer, kv_head, lost.last + 1, cancel);
    out.left_at = choice.step, out.left_rank = choice.rank_of(lost.position), out.left_of = choice.n_candidate();
  }
  if (!row.attend.ages || !row.ranks_now_by_score || lost.rank < 0) return out;
  out.budget = lost.rank + row.age();
  RowTops tops(replayer.layer(layer, cancel), kv_head, row.what.reduce, row.what.pool, row.what.keep);
  for (int32_t t = row.choice_step + 1; t <= step; ++t) {
    tops.hold({t, t}, threads, cancel);
    const int32_t* const end = tops.of(t) + tops.size(t);
    const auto rank = static_cast<int32_t>(std::find(tops.of(t), end, lost.position) - tops.of(t));
    if (rank == tops.size(t)) continue;
    if (out.wanted_from < 0) out.wanted_from = t;
    if (t < step && rank < row.what.keep - (step - t) + 1) out.refresh_at = t;
  }
  return out;
}

}  // namespace reattend
