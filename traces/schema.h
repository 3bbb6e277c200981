// Every dataset of a trace, once: its shape, type, unit, range and meaning, and where StepData keeps a step's part of
// it.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "traces/element.h"
#include "traces/step_data.h"

namespace reattend {
struct TraceInfo;
}

namespace reattend::schema {

inline constexpr std::string_view kFormat = "reattend-trace";
/// A reader opens every minor version of its major one. What may change: minor, datasets and attributes are added;
/// major, anything else.
inline constexpr int kMajor = 1, kMinor = 4;

inline constexpr int32_t kTop = 20;                            ///< strongest predictions stored per step
inline constexpr int32_t kPromptQueries = kRememberedQueries;  ///< last prompt tokens whose queries are stored

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

/// Values that a sound file holds: low to high, or to an end that the trace sets.
struct Range {
  enum class End : uint8_t { number, token, position, length };  ///< `high`, the last of either, L + T
  enum class Gaps : uint8_t {
    none,
    not_compared,  ///< NaN where the policy compares nothing
    not_measured,  ///< NaN (an integer: -1) where rows over everything were not looked at
  };
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  Gaps gaps = Gaps::none;
  End end = End::number;
};

/// Which traces hold a dataset.
enum class When : uint8_t { always, values, row_sums, top_maps, dense_maps, binned_maps };

/// Where StepData keeps a dataset's rows; nothing where they are no step's.
using Column =
    std::variant<std::monostate, std::vector<std::byte> StepData::*, std::vector<uint8_t> StepData::*,
                 std::vector<int32_t> StepData::*, std::vector<int64_t> StepData::*, std::vector<Half> StepData::*,
                 std::vector<float> StepData::*, std::vector<double> StepData::*>;

struct Dataset {
  std::string_view group, name;
  Type type;
  std::array<Dim, 4> shape;  ///< from the slowest; Dim::none ends it; a scalar has none
  std::string_view unit;
  Range range;
  std::string_view description;
  Column column = {};
  std::string_view title = {};  ///< of a measure in tables, time lines and maps; empty: it is shown in none
  std::string_view key = {};    ///< its column in CSV and JSON where that is not `name`
  When when = When::always;
  int since = 0;  ///< minor version that added it: older traces lack it, and parts of them hold NaN

  constexpr int rank() const {
    int n = 0;
    while (n < 4 && shape[static_cast<size_t>(n)] != Dim::none) ++n;
    return n;
  }
  constexpr bool extendible() const { return grows(shape[0]); }
  constexpr bool has(Dim dim) const { return shape[1] == dim || shape[2] == dim || shape[3] == dim; }
  /// More than a few numbers a step and KV head: keys, queries, maps.
  constexpr bool is_bulk() const { return has(Dim::d_head) || has(Dim::map) || has(Dim::columns); }
};

constexpr Dataset only(When when, Dataset row) {
  row.when = when;
  return row;
}

constexpr Dataset since(int minor, Dataset row) {
  row.since = minor;
  return row;
}

inline constexpr Range kAny{}, kShare{0, 1}, kLog{-std::numeric_limits<double>::infinity(), 0}, kCount{0, 1e18},
    kCosine{-1, 1}, kGateCosine{-1, 1, Range::Gaps::not_compared}, kMass{0, 1, Range::Gaps::not_measured},
    kIds{0, 0, Range::Gaps::none, Range::End::token}, kIdsOrNone{-1, 0, Range::Gaps::none, Range::End::token},
    kPlaces{-1, 0, Range::Gaps::not_measured, Range::End::position},
    kLengths{1, 0, Range::Gaps::none, Range::End::length},
    kEntropy{0, 21, Range::Gaps::not_measured};  // a row of 2^29 positions has 20.1 at most

using enum Dim;
using Data = StepData;
// clang-format off
/// In this order they are created, listed and exported.
inline constexpr auto kDatasets = std::to_array<Dataset>({
    {"tokens", "ids", Type::i32, {positions}, "token id", kIds, "token at each position: the prompt, then the token that each step fed", &Data::token},
    {"vocab", "text", Type::u8, {text_bytes}, "byte", kAny, "raw bytes of all tokens of the vocabulary, one after another; control tokens by their names"},
    {"vocab", "offsets", Type::i64, {n_vocab_end}, "byte", kAny, "token i is text[offsets[i]:offsets[i+1]]"},
    {"prompt", "keys", Type::kv, {n_layer, n_kv_head, n_prompt, d_head}, "1", kAny, "keys of the prompt as the cache holds them, after RoPE"},
    only(When::values, {"prompt", "values", Type::kv, {n_layer, n_kv_head, n_prompt, d_head}, "1", kAny, "values of the prompt as the cache holds them"}),
    {"prompt", "queries", Type::f32, {n_layer, n_query, n_head, d_head}, "1", kAny, "queries after RoPE of the last W prompt tokens; the last one is step 0's"},
    only(When::row_sums, {"prompt", "row_sums", Type::f32, {n_layer, n_head, n_prompt}, "probability", kAny, "attention that each prompt position received from all prompt queries, summed"}),
    {"rope", "factors", Type::f32, {half_head}, "1", kAny, "pair i turns by position * base^(-2i/d_head) / factors[i]"},
    {"steps", "committed", Type::i64, {}, "steps", kAny, "T: steps that are complete; rows beyond it are to be ignored"},
    {"steps", "keys", Type::kv, {steps, n_layer, n_kv_head, d_head}, "1", kAny, "key of position L-1+t as the cache holds it, after RoPE", &Data::keys},
    only(When::values, {"steps", "values", Type::kv, {steps, n_layer, n_kv_head, d_head}, "1", kAny, "value of position L-1+t as the cache holds it", &Data::values}),
    {"steps", "queries", Type::f32, {steps, n_layer, n_head, d_head}, "1", kAny, "query of step t after RoPE", &Data::queries},
    {"steps", "top_ids", Type::i32, {steps_and_0, top}, "token id", kIdsOrNone, "the strongest predictions after steps 0..T, strongest first; -1 beyond the vocabulary", &Data::top_ids},
    {"steps", "top_logprobs", Type::f32, {steps_and_0, top}, "nat", kLog, "their log-probabilities", &Data::top_logprobs},
    {"steps", "top_rest", Type::f32, {steps_and_0}, "probability", kShare, "probability of all other tokens together", &Data::top_rest},
    only(When::top_maps, {"steps", "map_positions", Type::i32, {steps, n_layer, n_kv_head, map}, "position", kPlaces, "strongest positions of the full row averaged over the group's heads, strongest first; -1 where the row is shorter", &Data::map_positions}),
    only(When::top_maps, {"steps", "map_weights", Type::f32, {steps, n_layer, n_kv_head, map}, "probability", kMass, "their weights", &Data::map_weights}),
    only(When::top_maps, {"steps", "map_rest", Type::f32, {steps, n_layer, n_kv_head}, "probability", kMass, "weight of all other positions together", &Data::map_rest}),
    only(When::dense_maps, {"steps", "map_dense", Type::f16, {steps, n_layer, n_kv_head, columns}, "probability", kMass, "the full row averaged over the group's heads, whole; 0 beyond position L-1+t", &Data::map_dense}),
    only(When::binned_maps, {"steps", "map_binned", Type::f32, {steps, n_layer, n_kv_head, columns}, "probability", kMass, "that row summed over bins of map_bin positions, the first from position 0 on", &Data::map_binned}),
    {"steps", "reason", Type::u8, {steps, n_layer, n_kv_head}, "code", {0, 4}, "0 partial: scheduled, 1 partial: query similar, 2 full: scheduled, 3 full: query drifted, 4 full: dense layer", &Data::reason},
    {"steps", "logprob", Type::f32, {steps}, "nat", kLog, "log-probability of the token that step t feeds, as predicted by the step before", &Data::logprob, "log-probability"},
    {"steps", "ms", Type::f64, {steps}, "ms", kCount, "wall time of the step without the recorder's own", &Data::ms, "time"},
    {"steps", "bytes_weights", Type::i64, {steps}, "byte", kCount, "weights read", &Data::bytes_weights, "bytes weights"},
    {"steps", "bytes_attend", Type::i64, {steps}, "byte", kCount, "keys and values read to attend", &Data::bytes_attend, "bytes attend"},
    {"steps", "bytes_select", Type::i64, {steps}, "byte", kCount, "read to select", &Data::bytes_select, "bytes select"},
    {"steps", "decision", Type::u8, {steps, n_layer, n_kv_head}, "boolean", {0, 1}, "1: full step", &Data::full, "full share", "full"},
    {"steps", "positions", Type::i32, {steps, n_layer, n_kv_head}, "positions", kLengths, "how many positions were attended to, the current one included", &Data::positions, "positions"},
    {"steps", "recovered", Type::f32, {steps, n_layer, n_kv_head}, "probability", kMass, "mass of the group-mean full row on the positions attended to", &Data::recovered, "recovered mass"},
    {"steps", "oracle", Type::f32, {steps, n_layer, n_kv_head}, "probability", kMass, "mass of as many positions chosen by that row itself", &Data::oracle, "oracle mass"},
    {"steps", "cos_last_full", Type::f32, {steps, n_layer, n_kv_head}, "1", kGateCosine, "cosine of the query to that of the last full step, as the policy compares them; nan where it does not", &Data::cos_last_full, "cosine to last full"},
    {"steps", "cos_prev_pre", Type::f32, {steps, n_layer}, "1", kCosine, "cosine of the layer's mean query to the step before, before RoPE", &Data::cos_prev_pre, "cosine to step before"},
    {"steps", "cos_prev_post", Type::f32, {steps, n_layer}, "1", kCosine, "the same after RoPE", &Data::cos_prev_post, "cosine to step before, after RoPE"},
    {"steps", "overlap", Type::f32, {steps, n_layer, n_kv_head, overlap}, "1", kMass, "share of the top-k of this step's scores that was in the top-k of the step before; k in attribute overlap_k", &Data::overlap, "overlap"},
    since(3, {"steps", "entropy", Type::f32, {steps, n_layer, n_kv_head}, "nat", kEntropy, "entropy of the full row averaged over the group's heads", &Data::entropy, "entropy"}),
});
// clang-format on

constexpr bool keeps(const Dataset& row) {
  return !std::holds_alternative<std::monostate>(row.column);
}

/// Type of the elements in memory that a column's has; keys and values are bytes of the type that the trace stores.
template <class T>
constexpr Type type_of_column() {
  if (std::is_same_v<T, std::byte>) return Type::kv;
  if (std::is_same_v<T, uint8_t>) return Type::u8;
  if (std::is_same_v<T, int32_t>) return Type::i32;
  if (std::is_same_v<T, int64_t>) return Type::i64;
  if (std::is_same_v<T, Half>) return Type::f16;
  return std::is_same_v<T, float> ? Type::f32 : Type::f64;
}
template <class Column>
using ElementOf = typename std::remove_cvref_t<decltype(std::declval<StepData>().*std::declval<Column>())>::value_type;

/// Calls f(row, column) for every dataset that StepData keeps, with the member that keeps it.
template <class F>
constexpr void for_each_column(F&& f) {
  for (const Dataset& row : kDatasets) {
    std::visit(
        [&](auto column) {
          if constexpr (!std::is_same_v<decltype(column), std::monostate>) f(row, column);
        },
        row.column);
  }
}
static_assert([] {
  bool fits = true;
  for_each_column([&](const Dataset& row, auto column) {
    fits = fits && row.type == type_of_column<ElementOf<decltype(column)>>() && row.shape[0] >= steps;
  });
  return fits;
}());

/// Its place in kDatasets.
constexpr size_t id_of(const Dataset& row) {
  return static_cast<size_t>(&row - kDatasets.data());
}
/// The dataset of this path, such as "steps/keys"; one that there is not does not compile.
consteval const Dataset& dataset(std::string_view path) {
  for (const Dataset& row : kDatasets) {
    if (path.size() == row.group.size() + 1 + row.name.size() && path.starts_with(row.group) &&
        path.ends_with(row.name)) {
      return row;
    }
  }
  throw "no such dataset";
}
std::string path_of(const Dataset& row);  ///< "steps/keys"
std::string axes_of(const Dataset& row);  ///< "T, n_layer, n_kv_head, d_head"
/// "0 .. 1; nan where not measured"; empty where everything goes.
std::string text_of(const Range& range);

/// Whether a trace of this kind holds the dataset.
bool is_stored(const Dataset& row, const TraceInfo& info);

/// What stands for numbers that were not measured.
template <class T>
constexpr T missing() {
  if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::quiet_NaN();
  if constexpr (std::is_same_v<T, Half>) return static_cast<Half>(0x7e00);
  return static_cast<T>(std::is_signed_v<T> ? -1 : 0);
}

using Extents = std::array<uint64_t, 4>;

/// What the dimensions of one trace amount to.
struct Sizes {
  int64_t n_layer = 0;  ///< that are stored
  int64_t n_head = 0, n_kv_head = 0, d_head = 0;
  int64_t n_prompt = 0, n_vocab = 0, text_bytes = 0, n_map = 0, n_column = 0, n_overlap = 0;
  int64_t n_step = 0;

  constexpr uint64_t of(Dim dim) const {
    const int64_t n[] = {
        1,          n_layer,          n_head,     n_kv_head,
        d_head,     d_head / 2,       n_prompt,   n_prompt < kPromptQueries ? n_prompt : kPromptQueries,
        n_vocab,    n_vocab + 1,      text_bytes, kTop,
        n_map,      n_column,         n_overlap,  n_step,
        n_step + 1, n_prompt + n_step};
    return static_cast<uint64_t>(n[static_cast<size_t>(dim)]);
  }
  /// 1 beyond the rank.
  constexpr Extents shape(const Dataset& row) const {
    Extents e{1, 1, 1, 1};
    for (size_t i = 0; i < static_cast<size_t>(row.rank()); ++i) e[i] = of(row.shape[i]);
    return e;
  }
  /// Elements of a row: of one step, layer or position.
  constexpr uint64_t per_row(const Dataset& row) const {
    const Extents e = shape(row);
    return e[1] * e[2] * e[3];
  }
  /// Row of step t, counted from 1, in a dataset that grows.
  constexpr uint64_t row_of(const Dataset& row, int64_t t) const {
    return static_cast<uint64_t>(row.shape[0] == steps ? t - 1 : row.shape[0] == steps_and_0 ? t : n_prompt - 1 + t);
  }
};
/// Of a trace's datasets; n_step as committed, bytes of the vocabulary's text not among them.
Sizes sizes_of(const TraceInfo& info);

}  // namespace reattend::schema
