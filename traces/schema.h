// The trace format, once: every dataset and attribute with its shape, type, unit and meaning.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "traces/element.h"

namespace reattend::schema {

inline constexpr std::string_view kFormat = "reattend-trace";
/// A reader opens every minor version of its major one. What may change: minor, datasets and attributes are added;
/// major, anything else.
inline constexpr int kMajor = 1, kMinor = 2;

inline constexpr int32_t kTop = 20;                            ///< strongest predictions stored per step
inline constexpr int32_t kPromptQueries = kRememberedQueries;  ///< last prompt tokens whose queries are stored
inline constexpr int32_t kMapPositions = 64;                   ///< M, positions of a map's row, by default
inline constexpr int32_t kMapBin = 64;                         ///< positions of a bin, by default
inline constexpr std::array<int64_t, 3> kOverlapSizes = {64, 256, 1024};  ///< k of the overlap with the step before

/// Extents by name; a dataset's shape is a list of them.
enum class Dim : uint8_t {
  none,
  n_layer,
  n_head,
  n_kv_head,
  d_head,
  half_head,  ///< d_head / 2
  n_prompt,   ///< L
  n_query,    ///< W = min(64, L)
  n_vocab,
  n_vocab_end,  ///< n_vocab + 1
  text_bytes,
  top,          ///< 20
  map,          ///< M
  columns,      ///< of a dense or binned map's row
  overlap,      ///< how many k
  steps,        ///< T, grows
  steps_and_0,  ///< T + 1, grows
  positions,    ///< L + T, grows
};
constexpr bool grows(Dim dim) {
  return dim >= Dim::steps;
}
constexpr std::string_view symbol(Dim dim) {
  constexpr std::string_view kNames[] = {"",  "n_layer", "n_head",  "n_kv_head", "d_head", "d_head/2",
                                         "L", "W",       "n_vocab", "n_vocab+1", "bytes",  "20",
                                         "M", "C",       "n_k",     "T",         "T+1",    "L+T"};
  return kNames[static_cast<size_t>(dim)];
}

/// What keys and values of a cache are stored as: their own bits where those are a type of HDF5, otherwise the floats
/// that they stand for, which is exact. Attention over these gives the bits that it gives over the cache.
constexpr KvType stored_type(KvType cache) {
  return cache == KvType::f16 ? KvType::f16 : KvType::f32;
}

/// Type of the elements; `kv` is float16 or float32, as attribute `kv_type` says.
enum class Type : uint8_t { u8, i32, i64, f16, f32, f64, kv };
constexpr hdf5::Element element_of(Type type, KvType kv) {
  using hdf5::Element;
  constexpr Element kPlain[] = {Element::u8, Element::i32, Element::i64, Element::f16, Element::f32, Element::f64};
  return type == Type::kv ? hdf5::element_of(stored_type(kv)) : kPlain[static_cast<size_t>(type)];
}

/// Why a step was full or partial in a layer and KV head.
enum class Reason : uint8_t {
  partial_scheduled = 0,  ///< the schedule did not ask for a full step
  partial_gate = 1,       ///< it did, but the query was similar enough
  full_scheduled = 2,     ///< the policy or its schedule asked for it
  full_gate = 3,          ///< the query had drifted
  full_dense = 4,         ///< a layer that is always full
};
inline constexpr std::array<std::string_view, 5> kReasons = {
    "partial: scheduled", "partial: query similar", "full: scheduled", "full: query drifted", "full: dense layer"};

struct Dataset {
  std::string_view group, name;
  Type type;
  std::array<Dim, 4> shape;  ///< from the slowest; Dim::none ends it; a scalar has none
  bool optional;
  std::string_view unit, description;
  constexpr int rank() const {
    int n = 0;
    while (n < 4 && shape[static_cast<size_t>(n)] != Dim::none) ++n;
    return n;
  }
  constexpr bool extendible() const { return grows(shape[0]); }
};

/// Index into kDatasets.
enum class Id : uint8_t {
  token_ids,
  vocab_text,
  vocab_offsets,
  prompt_keys,
  prompt_values,
  prompt_queries,
  prompt_row_sums,
  rope_factors,
  committed,
  keys,
  values,
  queries,
  logprob,
  top_ids,
  top_logprobs,
  top_rest,
  map_positions,
  map_weights,
  map_rest,
  map_dense,
  map_binned,
  overlap,
  decision,
  reason,
  cos_last_full,
  cos_prev_pre,
  cos_prev_post,
  recovered,
  oracle,
  positions,
  ms,
  bytes_weights,
  bytes_attend,
  bytes_select,
  count
};

using enum Dim;
// clang-format off
inline constexpr std::array<Dataset, static_cast<size_t>(Id::count)> kDatasets = {{
    {"tokens", "ids", Type::i32, {Dim::positions}, false, "token id", "token at each position: the prompt, then the token that each step fed"},
    {"vocab", "text", Type::u8, {text_bytes}, false, "byte", "raw bytes of all tokens of the vocabulary, one after another; control tokens by their names"},
    {"vocab", "offsets", Type::i64, {n_vocab_end}, false, "byte", "token i is text[offsets[i]:offsets[i+1]]"},
    {"prompt", "keys", Type::kv, {n_layer, n_kv_head, n_prompt, d_head}, false, "1", "keys of the prompt as the cache holds them, after RoPE"},
    {"prompt", "values", Type::kv, {n_layer, n_kv_head, n_prompt, d_head}, true, "1", "values of the prompt as the cache holds them"},
    {"prompt", "queries", Type::f32, {n_layer, n_query, n_head, d_head}, false, "1", "queries after RoPE of the last W prompt tokens; the last one is step 0's"},
    {"prompt", "row_sums", Type::f32, {n_layer, n_head, n_prompt}, true, "probability", "attention that each prompt position received from all prompt queries, summed"},
    {"rope", "factors", Type::f32, {half_head}, false, "1", "pair i turns by position * base^(-2i/d_head) / factors[i]"},
    {"steps", "committed", Type::i64, {}, false, "steps", "T: steps that are complete; rows beyond it are to be ignored"},
    {"steps", "keys", Type::kv, {steps, n_layer, n_kv_head, d_head}, false, "1", "key of position L-1+t as the cache holds it, after RoPE"},
    {"steps", "values", Type::kv, {steps, n_layer, n_kv_head, d_head}, true, "1", "value of position L-1+t as the cache holds it"},
    {"steps", "queries", Type::f32, {steps, n_layer, n_head, d_head}, false, "1", "query of step t after RoPE"},
    {"steps", "logprob", Type::f32, {steps}, false, "nat", "log-probability of the token that step t feeds, as predicted by the step before"},
    {"steps", "top_ids", Type::i32, {steps_and_0, top}, false, "token id", "the strongest predictions after steps 0..T, strongest first; -1 beyond the vocabulary"},
    {"steps", "top_logprobs", Type::f32, {steps_and_0, top}, false, "nat", "their log-probabilities"},
    {"steps", "top_rest", Type::f32, {steps_and_0}, false, "probability", "probability of all other tokens together"},
    {"steps", "map_positions", Type::i32, {steps, n_layer, n_kv_head, map}, true, "position", "strongest positions of the full row averaged over the group's heads, strongest first; -1 where the row is shorter"},
    {"steps", "map_weights", Type::f32, {steps, n_layer, n_kv_head, map}, true, "probability", "their weights"},
    {"steps", "map_rest", Type::f32, {steps, n_layer, n_kv_head}, true, "probability", "weight of all other positions together"},
    {"steps", "map_dense", Type::f16, {steps, n_layer, n_kv_head, columns}, true, "probability", "the full row averaged over the group's heads, whole; 0 beyond position L-1+t"},
    {"steps", "map_binned", Type::f32, {steps, n_layer, n_kv_head, columns}, true, "probability", "that row summed over bins of map_bin positions, the first from position 0 on"},
    {"steps", "overlap", Type::f32, {steps, n_layer, n_kv_head, Dim::overlap}, false, "1", "share of the top-k of this step's scores that was in the top-k of the step before; k in attribute overlap_k"},
    {"steps", "decision", Type::u8, {steps, n_layer, n_kv_head}, false, "boolean", "1: full step"},
    {"steps", "reason", Type::u8, {steps, n_layer, n_kv_head}, false, "code", "0 partial: scheduled, 1 partial: query similar, 2 full: scheduled, 3 full: query drifted, 4 full: dense layer"},
    {"steps", "cos_last_full", Type::f32, {steps, n_layer, n_kv_head}, false, "1", "cosine of the query to that of the last full step, as the policy compares them; nan where it does not"},
    {"steps", "cos_prev_pre", Type::f32, {steps, n_layer}, false, "1", "cosine of the layer's mean query to the step before, before RoPE"},
    {"steps", "cos_prev_post", Type::f32, {steps, n_layer}, false, "1", "the same after RoPE"},
    {"steps", "recovered", Type::f32, {steps, n_layer, n_kv_head}, false, "probability", "mass of the group-mean full row on the positions attended to"},
    {"steps", "oracle", Type::f32, {steps, n_layer, n_kv_head}, false, "probability", "mass of as many positions chosen by that row itself"},
    {"steps", "positions", Type::i32, {steps, n_layer, n_kv_head}, false, "positions", "how many positions were attended to, the current one included"},
    {"steps", "ms", Type::f64, {steps}, false, "ms", "wall time of the step without the recorder's own"},
    {"steps", "bytes_weights", Type::i64, {steps}, false, "byte", "weights read"},
    {"steps", "bytes_attend", Type::i64, {steps}, false, "byte", "keys and values read to attend"},
    {"steps", "bytes_select", Type::i64, {steps}, false, "byte", "read to select"},
}};
// clang-format on

constexpr const Dataset& dataset(Id id) {
  return kDatasets[static_cast<size_t>(id)];
}

using Extents = std::array<hdf5::Extent, 4>;

/// What the dimensions of one trace amount to.
struct Sizes {
  int64_t n_layer = 0;  ///< that are stored
  int64_t n_head = 0, n_kv_head = 0, d_head = 0;
  int64_t n_prompt = 0, n_vocab = 0, text_bytes = 0, n_map = 0, n_column = 0, n_overlap = 0;
  int64_t n_step = 0;

  constexpr hdf5::Extent of(Dim dim) const {
    const int64_t n[] = {
        1,          n_layer,          n_head,     n_kv_head,
        d_head,     d_head / 2,       n_prompt,   n_prompt < kPromptQueries ? n_prompt : kPromptQueries,
        n_vocab,    n_vocab + 1,      text_bytes, kTop,
        n_map,      n_column,         n_overlap,  n_step,
        n_step + 1, n_prompt + n_step};
    return static_cast<hdf5::Extent>(n[static_cast<size_t>(dim)]);
  }
  /// 1 beyond the rank.
  constexpr Extents shape(const Dataset& row) const {
    Extents e{1, 1, 1, 1};
    for (size_t i = 0; i < static_cast<size_t>(row.rank()); ++i) e[i] = of(row.shape[i]);
    return e;
  }
};

/// Root attributes. Those of the policy are named as in the parameter table (policies/params.h) and stand beside them.
enum class AttributeType : uint8_t { text, integer, real, integers };
struct Attribute {
  std::string_view name;
  AttributeType type;
  bool needed;  ///< a reader can't do without it
  std::string_view unit, description;
};
// clang-format off
inline constexpr Attribute kAttributes[] = {
    {"format", AttributeType::text, true, "", "reattend-trace"},
    {"format_version", AttributeType::text, true, "", "major.minor"},
    {"created_utc", AttributeType::text, false, "", "when recording began, ISO 8601"},
    {"writer", AttributeType::text, false, "", "program that wrote the file"},
    {"engine_version", AttributeType::text, false, "", "its version"},
    {"command_line", AttributeType::text, false, "", "how it was called"},
    {"model", AttributeType::text, false, "", "model name"},
    {"model_sha256", AttributeType::text, false, "", "checksum of the model file"},
    {"architecture", AttributeType::text, false, "", "of the model"},
    {"n_layer", AttributeType::integer, true, "layers", ""},
    {"n_head", AttributeType::integer, true, "heads", "query heads"},
    {"n_kv_head", AttributeType::integer, true, "heads", "key/value heads"},
    {"d_head", AttributeType::integer, true, "channels", "width of one head"},
    {"d_model", AttributeType::integer, false, "channels", "width of the hidden state"},
    {"n_vocab", AttributeType::integer, true, "tokens", ""},
    {"end_tokens", AttributeType::integers, false, "token id", "tokens that end a sequence or turn"},
    {"rope_base", AttributeType::real, true, "", "base of the rotation"},
    {"rope_layout", AttributeType::text, true, "", "channels that turn together: pairs (2i, 2i+1) or halves (i, i + d_head/2)"},
    {"kv_type", AttributeType::text, true, "", "f16, f32, bf16 or q8: type of the cache; keys and values are float16 where it is f16, float32 otherwise"},
    {"activations", AttributeType::text, false, "", "q8 or f32: right-hand side of weight products"},
    {"device", AttributeType::text, false, "", "backend that ran"},
    {"cpu_target", AttributeType::text, false, "", "instruction set in use"},
    {"threads", AttributeType::integer, false, "threads", ""},
    {"n_prompt", AttributeType::integer, true, "tokens", "L"},
    {"policy", AttributeType::text, false, "", "name of the policy recorded under"},
    {"settings", AttributeType::text, true, "", "the policy and its parameters as JSON"},
    {"shadow", AttributeType::integer, true, "boolean", "1: the policy observed only, the output is full attention's"},
    {"n_map", AttributeType::integer, true, "positions", "M, positions of a map's row"},
    {"maps", AttributeType::text, false, "", "top (strongest positions), dense, binned or none: which maps are stored"},
    {"n_column", AttributeType::integer, false, "columns", "C, columns of steps/map_dense or steps/map_binned; 0 where neither is stored"},
    {"map_bin", AttributeType::integer, false, "positions", "width of a bin of steps/map_binned"},
    {"measure", AttributeType::text, false, "", "full, sampled or none: at which steps rows over everything were looked at"},
    {"measure_every", AttributeType::integer, false, "steps", "they were where t is a multiple of this; 0: nowhere"},
    {"layers", AttributeType::integers, false, "layer", "layers that are stored, ascending; the axis n_layer of a dataset has these"},
    {"n_skipped", AttributeType::integer, false, "steps", "decode steps that came before the first one here; their tokens are the prompt's last"},
    {"overlap_k", AttributeType::integers, true, "positions", "k of steps/overlap"},
    {"overlap_reduce", AttributeType::text, false, "", "how heads are reduced for steps/overlap"},
    {"overlap_pool", AttributeType::integer, false, "positions", "pooling width for steps/overlap"},
    {"calibration_weights_ms", AttributeType::real, false, "ms", "a step without attention over more than one position and without selection"},
    {"calibration_attend_ms", AttributeType::real, false, "ms", "what attention over more than one position takes however few they are"},
    {"calibration_stream_gbps", AttributeType::real, false, "GB/s", "plain read bandwidth"},
    {"calibration_attend_stream_gbps", AttributeType::real, false, "GB/s", "attention over runs, keys and values"},
    {"calibration_attend_gather_gbps", AttributeType::real, false, "GB/s", "attention over copies of kept sets, keys and values"},
    {"calibration_attend_place_gbps", AttributeType::real, false, "GB/s", "attention over entries of kept sets where they lie in the cache"},
    {"calibration_rescore_gbps", AttributeType::real, false, "GB/s", "keys that are read for a choice alone"},
    {"calibration_score_gbps", AttributeType::real, false, "GB/s", "scoring, selecting and copying after a full step, by bytes of keys"},
    {"calibration_rank_ns", AttributeType::real, false, "ns", "a position of a KV head ranked by a whole row"},
    {"calibration_keep_ns", AttributeType::real, false, "ns", "a position of a KV head that such a choice keeps"},
    {"calibration_sum_ns", AttributeType::real, false, "ns", "a weight of the attended set's row that is added up or ranked"},
    {"calibration_pack_ns", AttributeType::real, false, "ns", "a kept position of a KV head copied, key and value"},
    {"calibration_page_ns", AttributeType::real, false, "ns", "a page of a KV head whose bounds are ranked"},
};
// clang-format on

}  // namespace reattend::schema
