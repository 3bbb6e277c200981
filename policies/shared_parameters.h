// The parameters that several policies have, for the lists at the end of their files.
#pragma once
#include "policies/params.h"
#include "policies/settings_enums.h"

namespace reattend {

/// A due step costs about as much as L / K partial ones, so strides that are powers of two cover what is worth trying.
inline constexpr std::string_view kTriedStrides[] = {"2", "4", "8", "16", "32", "64"};
inline constexpr std::string_view kTriedBudgets[] = {"L/2", "L/4", "L/8", "L/16", "L/32"};
inline constexpr std::string_view kTriedThresholds[] = {"0.7", "0.8", "0.85", "0.9", "0.95"};

inline constexpr Parameter kStride = {
    .key = "S",
    .flag = "stride",
    .initial = "10",
    .low = 1,
    .per_layer = true,
    .allows_never = true,
    .tried = kTriedStrides,
    .unit = "steps",
    .help = "full attention is due at every S-th decode step; `never` refreshes nothing"};

inline constexpr Parameter kBudget = {
    .key = "K",
    .flag = "budget",
    .initial = "64",
    .low = 1,
    .per_layer = true,
    .allows_fraction = true,
    .allows_auto = true,
    .tried = kTriedBudgets,
    .unit = "positions",
    .help = "cached positions attended to per KV head (recycled: on partial steps); L/8 is an eighth of the prompt"};

/// No cosine is above 1: there the gate is off.
inline constexpr Parameter kThreshold = {
    .key = "threshold",
    .flag = "threshold",
    .type = ParamType::real,
    .initial = "0.85",
    .low = -1,
    .high = 2,
    .off_above = 1,
    .per_layer = true,
    .tried = kTriedThresholds,
    .unit = "cosine",
    .help =
        "recycled with schedule=query: a due step stays partial when the similarity is above this; tokenselect: the "
        "last selection serves while it is not below; above 1 nothing stays"};

inline constexpr Parameter kReduce = {.key = "reduce",
                                      .flag = "reduce",
                                      .type = ParamType::choice,
                                      .initial = "max",
                                      .choices = kReduceNames,
                                      .help = "over the query heads of a KV head, before pooling"};

inline constexpr Parameter kPool = {.key = "pool",
                                    .flag = "pool",
                                    .initial = "7",
                                    .low = 1,
                                    .high = 1023,
                                    .odd = true,
                                    .unit = "positions",
                                    .help = "width of the centred running maximum over scores; odd, 1 is off"};

inline constexpr Parameter kSimilarityQuery = {.key = "similarity_query",
                                               .flag = "similarity-query",
                                               .type = ParamType::choice,
                                               .initial = "pre_rope",
                                               .choices = kQueryStageNames,
                                               .help = "queries compared before or after RoPE"};

inline constexpr Parameter kDenseLayers = {.key = "dense_layers",
                                           .flag = "dense-layers",
                                           .type = ParamType::layer_list,
                                           .initial = "[]",
                                           .high = kMostEntries - 1,
                                           .unit = "layer indices",
                                           .help = "layers that always attend to everything"};

inline constexpr Parameter kSinks = {.key = "sinks",
                                     .flag = "sinks",
                                     .initial = "4",
                                     .unit = "positions",
                                     .help = "first positions that are always attended to"};

}  // namespace reattend
