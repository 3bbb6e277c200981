// What a parameter's value is in one layer, and how it is written to JSON, TOML and tables.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "policies/params.h"

namespace reattend {

/// What `value` is in a layer: lists give their entry. Throws std::out_of_range beyond a list's end.
Value at_layer(const Value& value, int layer);
/// Entries of a list; nothing for a scalar.
std::optional<size_t> list_size(const Value& value);
/// What "L/8" amounts to for a prompt of n_prompt tokens, rounded down: 0 where that is too short.
int64_t fraction_of(const std::string& fraction, int64_t n_prompt);
/// null for `never`; counts in a list of texts are numbers again.
nlohmann::json value_json(const Value& value);
/// Texts and `never` in quotes, in lists too.
std::string toml_text(const Value& value);
/// to_text; of a list its smallest and largest entry, "L/64..L/2".
std::string ends_text(const Value& value);
/// For a line of a table: to_text, but of lists for many layers the ends alone.
std::string short_text(const Parameter& parameter, const Value& value);

}  // namespace reattend
