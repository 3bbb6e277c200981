// The words of selection: what positions are ranked by, how a kept set is made of them, how queries are compared.
#pragma once
#include <cstdint>

namespace reattend {

/// Over the query heads of a KV head's group (docs/semantics.md, "Words": `reduce`).
enum class Reduce : uint8_t { max, mean, first };
/// Of two sets of query heads (docs/semantics.md, `similarity_reduce`); concatenated: all heads' queries as one vector.
enum class Similarity : uint8_t { mean_query, mean_cosine, min_cosine, concatenated };
/// Which queries are compared (docs/semantics.md, "Recycled attention": `similarity_query`).
enum class QueryStage : uint8_t { pre_rope, post_rope };

/// What positions are ranked by. Rows are softmax weights, one for each query head.
enum class Rank : uint8_t {
  nothing,   ///< no choice is made
  row,       ///< this step's row over everything, 0..p
  attended,  ///< this step's row over what was attended to
  sums,      ///< rows of all queries so far, the prompt's included, summed; each over what its step attended to
  window,    ///< rows of the last `window` prompt queries summed (step 0 only)
  pages,     ///< a page's upper bound of q k: sum_c max(q_c min_c, q_c max_c), over the group by max
  vote,      ///< softmax of q k, unscaled, over the candidates alone, summed over all query heads
  sketch,    ///< a row over 0..p estimated from a coarse copy of the keys (Sketch)
};

/// A coarse copy of the cached keys of one KV head, and what a choice reads of it (docs/semantics.md, "Sketch").
struct Sketch {
  int32_t block = 0;     ///< positions that share a range by channel; 0: there is no sketch
  int32_t bits = 0;      ///< of a code
  int32_t channels = 0;  ///< that a choice reads
  int32_t first = 0;     ///< positions before it are in no block
  bool operator==(const Sketch&) const = default;
};

/// How a kept set is made: score, reduce over heads, pool, take the best of the candidates. The candidates are
/// [begin, end) and, with `from_kept`, the entries of the kept set as it stands, which lie before `begin`.
struct Select {
  Rank by = Rank::nothing;
  Reduce reduce = Reduce::max;
  int32_t pool = 1;  ///< over the whole row, then the candidates are cut out of it; 1 where scores are no whole row
  int32_t keep = 0;  ///< how many are kept: positions, or pages
  int32_t begin = 0, end = 0;
  bool from_kept = false;
  bool shared = false;        ///< one set for all KV heads of the layer, ranked by the mean (vote: sum) over all heads
  bool with_current = false;  ///< p is added as the last entry where it was not chosen
  bool ascending = false;     ///< entries in order of position, not of rank
  int32_t page = 1;           ///< pages: positions of one; begin and end are multiples of it
  int32_t window = 0;
  Sketch sketch = {};     ///< of Rank::sketch
  double min_weight = 0;  ///< above 0, of ascending sets: what scores less is not kept, but for the best `least`
  int32_t least = 0;

  constexpr bool chooses() const { return by != Rank::nothing; }
};

/// What a policy needs of the prompt beyond its cache, made while the prompt passes where nothing else is said.
struct PromptNeeds {
  bool row_sums = false;  ///< rows of all prompt queries, summed
  int32_t window = 0;     ///< queries of the last prompt tokens
};

}  // namespace reattend
