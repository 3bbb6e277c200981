// From scores to a kept set: one template for every executor on the host, so that engine and replay keep the same bits.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/layout.h"
#include "kernels/selection.h"

namespace reattend {

/// Whether a sketch is read for the choice: not where sinks and recent positions take the whole budget and nothing is
/// left to rank.
constexpr bool reads_sketch(const Select& what) {
  return what.by == Rank::sketch && what.keep > 0;
}

/// What competes in a choice, in order of position: candidate i is positions[i], or begin + i where `positions` is
/// empty.
struct Candidates {
  std::vector<int32_t> positions;
  int32_t begin = 0, n = 0;
  int32_t operator[](int32_t i) const { return positions.empty() ? begin + i : positions[static_cast<size_t>(i)]; }
};

/// `kept` in any order. Pages are candidates as wholes: their indices stand for positions.
inline Candidates candidates_of(const Select& what, std::span<const int32_t> kept) {
  const int32_t size = what.by == Rank::pages ? what.page : 1;
  Candidates out{.begin = what.begin / size, .n = std::max(0, (what.end - what.begin) / size)};
  if (!what.from_kept) return out;
  out.positions.assign(kept.begin(), kept.end());
  std::sort(out.positions.begin(), out.positions.end());
  for (int32_t p = what.begin; p < what.end; ++p) out.positions.push_back(p);
  out.n = static_cast<int32_t>(out.positions.size());
  return out;
}

/// Scores of the positions 0..n-1 from rows [group][stride]; score [n], scratch [n].
template <class Ops>
void score_rows(const Select& what, const typename Ops::Real* rows, int32_t group, int64_t stride, int32_t n,
                typename Ops::Real* score, typename Ops::Real* scratch) {
  Ops::reduce_heads(rows, group, stride, n, what.reduce, what.pool > 1 ? scratch : score);
  if (what.pool > 1) Ops::max_pool(scratch, n, what.pool, score);
}

/// Sums of the candidates over the heads of a group; sums [group][stride] by position, score [candidates.n].
template <class Ops>
void score_sums(const Select& what, const typename Ops::Real* sums, int64_t stride, int32_t group,
                const Candidates& candidates, typename Ops::Real* score, std::vector<typename Ops::Real>& scratch) {
  const int32_t n = candidates.n;
  scratch.resize(static_cast<size_t>(group) * static_cast<size_t>(n));
  for (int32_t h = 0; h < group; ++h) {
    for (int32_t i = 0; i < n; ++i) {
      scratch[static_cast<size_t>(h) * static_cast<size_t>(n) + static_cast<size_t>(i)] =
          sums[h * stride + candidates[i]];
    }
  }
  Ops::reduce_heads(scratch.data(), group, n, n, what.reduce, score);
}

/// Scores of the positions of `set` from rows [group][stride] in the set's order; score [p + 1] by position, what is
/// not in the set stays as it is.
template <class Ops>
void score_attended(const Select& what, const typename Ops::Real* rows, int32_t group, int64_t stride,
                    const PositionSet& set, typename Ops::Real* score, std::vector<typename Ops::Real>& scratch) {
  const int32_t n = set.size();
  scratch.resize(2 * static_cast<size_t>(n));
  score_rows<Ops>(what, rows, group, stride, n, scratch.data(), scratch.data() + n);
  for (int32_t i = 0; i < n; ++i) score[set[i]] = scratch[static_cast<size_t>(i)];
}

/// Scores that stand by position -> those of the candidates, in place where they are not one run; the first's place.
template <class Real>
Real* cut_out(const Candidates& candidates, Real* score) {
  if (candidates.positions.empty()) return score + candidates.begin;
  for (int32_t i = 0; i < candidates.n; ++i) score[i] = score[candidates[i]];  // ascending: never written before read
  return score;
}

/// The kept set that `best`, indices of candidates, become at position p.
template <class Vector>
void keep_best(const Select& what, std::span<const int32_t> best, const Candidates& candidates, int32_t p,
               Vector& kept) {
  kept.resize(best.size() * static_cast<size_t>(what.page));
  if (what.page == 1 && candidates.positions.empty()) {
    std::ranges::transform(best, kept.begin(), [first = candidates.begin](int32_t i) { return first + i; });
  } else {
    auto to = kept.begin();
    for (const int32_t i : best) {
      const int32_t first = candidates[i] * what.page;
      for (int32_t j = 0; j < what.page; ++j) *to++ = first + j;
    }
  }
  if (what.with_current && std::find(kept.begin(), kept.end(), p) == kept.end()) kept.push_back(p);
}

/// The best of the candidates at position p; score [candidates.n]. `kept` is replaced.
template <class Ops, class Vector>
void take_best(const Select& what, const typename Ops::Real* score, const Candidates& candidates, int32_t p,
               Vector& kept) {
  const int32_t n = candidates.n, keep = std::min(what.keep, n);
  std::vector<int32_t> best(static_cast<size_t>(keep));
  if (what.ascending && what.min_weight <= 0 && n == keep + 1) {
    // One leaves, as at every step of a policy that evicts: the lowest, of equal ones the latest.
    int32_t lowest = 0;
    for (int32_t i = 1; i < n; ++i) lowest = score[i] <= score[lowest] ? i : lowest;
    for (int32_t i = 0, at = 0; i < n; ++i) {
      if (i != lowest) best[static_cast<size_t>(at++)] = i;
    }
  } else if (what.ascending) {
    constexpr auto kNone = -std::numeric_limits<typename Ops::Real>::infinity();
    const auto least = what.min_weight > 0 ? static_cast<typename Ops::Real>(what.min_weight) : kNone;
    best.resize(static_cast<size_t>(Ops::top_set(score, n, keep, least, what.least, best.data())));
  } else {
    Ops::top_k(score, n, keep, best.data());
  }
  keep_best(what, best, candidates, p, kept);
}

/// One row for each query head of a kept set, `stride` apart.
template <class Real>
struct RowsOf {
  const Real* first;
  int64_t stride;
};

/// Scores of a choice and what they are made from; kept between choices, for fresh memory would be cleared each time.
template <class Real>
struct ChoiceSpace {
  std::vector<Real> values, rows;
};

/// Carries out a choice at position n - 1, n positions being in the cache: scores the candidates and replaces `kept` by
/// the best of them. Returns the scores [number of candidates], which lie in `space`. One function for the engine and
/// the replay; a Source is what they differ in, for the n_head() query heads of one kept set:
///   kept()             the kept set as it stands, for Select::from_kept
///   rows()             softmax rows of this step over 0..n-1                                        (Rank::row)
///   attended_rows()    over attended(), a PositionSet, in its order                            (Rank::attended)
///   sums()             rows of all queries so far, by position                                     (Rank::sums)
///   window_rows()      rows of the last prompt queries, summed                                   (Rank::window)
///   votes()            softmax rows over the candidates alone                                      (Rank::vote)
///   estimated_scores(how, out)  of a row over 0..n-1, estimated from a sketch of the keys, reduced (Rank::sketch)
///   bounds(), query()  of the pages [n_page][2][d_head()]; the heads' queries [n_head][d_head()]  (Rank::pages)
/// Only what `what.by` names is asked for, once; nothing for a choice by a sketch that keeps nothing, which has no
/// scores.
template <class Ops, class Source, class Vector>
std::span<const typename Ops::Real> carry_out(const Select& what, Source& source, int32_t n, Vector& kept,
                                              ChoiceSpace<typename Ops::Real>& space) {
  const Candidates candidates = candidates_of(what, source.kept());
  if (what.by == Rank::sketch && !reads_sketch(what)) {
    keep_best(what, {}, candidates, n - 1, kept);
    return {};
  }
  std::vector<typename Ops::Real>&values = space.values, &scratch = space.rows;
  const int32_t n_head = source.n_head();
  const bool by_position =
      what.by == Rank::row || what.by == Rank::window || what.by == Rank::attended || what.by == Rank::sketch;
  const auto n_value = static_cast<size_t>(by_position ? n : candidates.n);
  if (values.size() < n_value) values.resize(n_value);
  switch (what.by) {
    case Rank::nothing:
      break;
    case Rank::row:
    case Rank::window: {
      const RowsOf<typename Ops::Real> rows = what.by == Rank::row ? source.rows() : source.window_rows();
      if (scratch.size() < n_value) scratch.resize(n_value);
      score_rows<Ops>(what, rows.first, n_head, rows.stride, n, values.data(), scratch.data());
      break;
    }
    case Rank::attended: {
      const RowsOf<typename Ops::Real> rows = source.attended_rows();
      score_attended<Ops>(what, rows.first, n_head, rows.stride, source.attended(), values.data(), scratch);
      break;
    }
    case Rank::sums: {
      const RowsOf<typename Ops::Real> sums = source.sums();
      score_sums<Ops>(what, sums.first, sums.stride, n_head, candidates, values.data(), scratch);
      break;
    }
    case Rank::sketch:
      if (what.pool > 1 && scratch.size() < n_value) scratch.resize(n_value);
      source.estimated_scores(what.reduce, what.pool > 1 ? scratch.data() : values.data());
      if (what.pool > 1) Ops::max_pool(scratch.data(), n, what.pool, values.data());
      break;
    case Rank::pages:
      Ops::page_scores(source.query(), n_head, source.d_head(), source.bounds(), candidates.n, values.data());
      break;
    case Rank::vote: {
      const RowsOf<typename Ops::Real> votes = source.votes();
      Ops::reduce_heads(votes.first, n_head, votes.stride, candidates.n, Reduce::mean, values.data());
      break;
    }
  }
  const auto* const score = by_position ? cut_out(candidates, values.data()) : values.data();
  take_best<Ops>(what, score, candidates, n - 1, kept);
  return {score, static_cast<size_t>(candidates.n)};
}

}  // namespace reattend
