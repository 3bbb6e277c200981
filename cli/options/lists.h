// Lists as users type them: layers, counts, values of a parameter.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policies/params.h"

namespace reattend::cli {

/// "0,3,10-12" -> layers in that order; none for an empty text. Throws Error (usage) for others than 0..n_layer - 1.
std::vector<int32_t> parse_layers(const std::string& text, int32_t n_layer);

/// "1,2,4" -> ascending, each once; none for an empty text. Throws Error (usage) naming `option` for anything else than
/// counts from 1 on.
std::vector<int32_t> parse_counts(const std::string& option, const std::string& text);

/// "L/8,512" -> a value per entry, each checked as the parameter's own option checks one for all layers; commas in
/// [brackets] belong to an entry; none for an empty text. Throws Error (usage) naming `flag`, an option without its
/// dashes.
std::vector<Value> parse_each(const Parameter& parameter, std::string_view flag, std::string_view text);

}  // namespace reattend::cli
