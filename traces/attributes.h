// Every root attribute of a trace, once: its type, unit and meaning, and where TraceInfo keeps it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "traces/trace_info.h"

namespace reattend::schema {

enum class AttributeType : uint8_t { text, integer, real, integers };

/// Where TraceInfo keeps an attribute as it stands in the file; nothing where one has to be made of the other.
using Member = std::variant<std::monostate, std::string TraceInfo::*, int32_t TraceInfo::*, bool TraceInfo::*,
                            double TraceInfo::*, std::vector<int64_t> TraceInfo::*>;

struct Attribute {
  std::string_view name;
  AttributeType type;
  bool needed;  ///< a reader can't do without it
  std::string_view unit, description;
  Member member = {};
  int64_t low = 0, high = 1;  ///< of an integer
};

inline constexpr int64_t kMost = 1 << 28;  ///< of whatever counts positions or steps
// clang-format off
/// Beside them stand those of the policy, named as in the parameter table (policies/params.h).
inline constexpr Attribute kAttributes[] = {
    {"format", AttributeType::text, true, "", "reattend-trace"},
    {"format_version", AttributeType::text, true, "", "major.minor"},
    {"created_utc", AttributeType::text, false, "", "when recording began, ISO 8601", &TraceInfo::created_utc},
    {"writer", AttributeType::text, false, "", "program that wrote the file"},
    {"engine_version", AttributeType::text, false, "", "its version", &TraceInfo::engine_version},
    {"command_line", AttributeType::text, false, "", "how it was called", &TraceInfo::command_line},
    {"model", AttributeType::text, false, "", "model name", &TraceInfo::model},
    {"model_sha256", AttributeType::text, false, "", "checksum of the model file", &TraceInfo::model_sha256},
    {"architecture", AttributeType::text, false, "", "of the model", &TraceInfo::architecture},
    {"n_layer", AttributeType::integer, true, "layers", "", &TraceInfo::n_layer, 1, 1 << 14},
    {"n_head", AttributeType::integer, true, "heads", "query heads", &TraceInfo::n_head, 1, 1 << 14},
    {"n_kv_head", AttributeType::integer, true, "heads", "key/value heads", &TraceInfo::n_kv_head, 1, 1 << 14},
    {"d_head", AttributeType::integer, true, "channels", "width of one head", &TraceInfo::d_head, 2, 1 << 14},
    {"d_model", AttributeType::integer, false, "channels", "width of the hidden state", &TraceInfo::d_model, 0, 1 << 24},
    {"n_vocab", AttributeType::integer, true, "tokens", "", &TraceInfo::n_vocab, 1, 1 << 24},
    {"end_tokens", AttributeType::integers, false, "token id", "tokens that end a sequence or turn", &TraceInfo::end_tokens},
    {"rope_base", AttributeType::real, true, "", "base of the rotation"},
    {"rope_layout", AttributeType::text, true, "", "channels that turn together: pairs (2i, 2i+1) or halves (i, i + d_head/2)"},
    {"attention_scale", AttributeType::real, false, "", "what scores are multiplied by where it is not 1 / sqrt(d_head); since 1.4", &TraceInfo::attention_scale},
    {"attention_cap", AttributeType::real, false, "", "scores s become cap * tanh(s / cap); absent: they stay; since 1.4", &TraceInfo::attention_cap},
    {"windows", AttributeType::integers, false, "positions", "[n_layer] what the model itself lets a layer attend to; 0: everything. No policy acts on a layer with a window, and it is not stored; absent: no layer has one; since 1.4", &TraceInfo::windows},
    {"kv_type", AttributeType::text, true, "", "f16, f32, bf16 or q8: type of the cache; keys and values are float16 where it is f16, float32 otherwise"},
    {"activations", AttributeType::text, false, "", "q8 or f32: right-hand side of weight products", &TraceInfo::activations},
    {"device", AttributeType::text, false, "", "backend that ran", &TraceInfo::device},
    {"cpu_target", AttributeType::text, false, "", "instruction set in use", &TraceInfo::cpu_target},
    {"threads", AttributeType::integer, false, "threads", "", &TraceInfo::threads, 0, 1 << 24},
    {"n_prompt", AttributeType::integer, true, "tokens", "L", &TraceInfo::n_prompt, 1, kMost},
    {"policy", AttributeType::text, false, "", "name of the policy recorded under"},
    {"settings", AttributeType::text, true, "", "the policy and its parameters as JSON"},
    {"shadow", AttributeType::integer, true, "boolean", "1: the policy observed only, the output is full attention's", &TraceInfo::shadow},
    {"n_map", AttributeType::integer, true, "positions", "M, positions of a map's row", &TraceInfo::n_map, 0, 1 << 16},
    {"maps", AttributeType::text, false, "", "top (strongest positions), dense, binned or none: which maps are stored"},
    {"n_column", AttributeType::integer, false, "columns", "C, columns of steps/map_dense or steps/map_binned; 0 where neither is stored", &TraceInfo::n_column, 0, kMost},
    {"map_bin", AttributeType::integer, false, "positions", "width of a bin of steps/map_binned", &TraceInfo::map_bin, 0, kMost},
    {"measure", AttributeType::text, false, "", "full, sampled or none: at which steps rows over everything were looked at"},
    {"measure_every", AttributeType::integer, false, "steps", "they were at one step in so many, where steps/recovered is a number; 0: nowhere", &TraceInfo::measure_every, 0, kMost},
    {"layers", AttributeType::integers, false, "layer", "layers that are stored, ascending; the axis n_layer of a dataset has these"},
    {"n_skipped", AttributeType::integer, false, "steps", "decode steps that came before the first one here; their tokens are the prompt's last", &TraceInfo::n_skipped, 0, kMost},
    {"overlap_k", AttributeType::integers, true, "positions", "k of steps/overlap", &TraceInfo::overlap_k},
    {"overlap_reduce", AttributeType::text, false, "", "how heads are reduced for steps/overlap", &TraceInfo::overlap_reduce},
    {"overlap_pool", AttributeType::integer, false, "positions", "pooling width for steps/overlap", &TraceInfo::overlap_pool, 0, kMost},
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
    {"calibration_estimate_ns", AttributeType::real, false, "ns", "a position of a KV head ranked by a row that is estimated from a sketch, beside its channels"},
    {"calibration_channel_ns", AttributeType::real, false, "ns", "a channel of it that is read from the sketch"},
};
// clang-format on

}  // namespace reattend::schema
