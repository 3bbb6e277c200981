// The words of selection: how heads are reduced to one score per KV head and how queries are compared.
#pragma once
#include <cstdint>

namespace reattend {

/// Over the query heads of a KV head's group (SEMANTICS, `reduce`).
enum class Reduce : uint8_t { max, mean, first };
/// Of two sets of query heads (SEMANTICS, `similarity_reduce`).
enum class Similarity : uint8_t { mean_query, mean_cosine, min_cosine };
/// Which queries are compared (SEMANTICS, `similarity_query`).
enum class QueryStage : uint8_t { pre_rope, post_rope };

}  // namespace reattend
