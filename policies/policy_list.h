// Policies with their parameters in one line of text: "recycled:S=5:K=64,h2o,snapkv window=16".
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "policies/settings.h"

namespace reattend {

/// Values by parameter key.
using ParameterValues = std::map<std::string, Value>;

/// Pieces of text between separators outside of [brackets]; empty ones too.
std::vector<std::string_view> cut_outside_brackets(std::string_view text, std::string_view separators);

/// Commas part the entries, colons or blanks an entry's name and its key=value pairs; commas in [brackets] belong to a
/// value. Each policy gets those of `common` that it takes, its own pairs replace them. Throws Error (usage) naming the
/// entry.
std::vector<Settings> parse_policies(std::string_view text, const ParameterValues& common);
/// The entry that gives these settings back: the name, and what differs from the policy's defaults.
std::string policy_entry(const Settings& settings);
/// Every policy there is but `full`, in the registry's order.
std::vector<Settings> all_policies(const ParameterValues& common);
/// A value that no policy takes was meant for one: throws Error (usage) naming its option.
void check_taken(const ParameterValues& values, const std::vector<Settings>& policies);

/// "recycled, snapkv": the settings' policies, in their order.
std::string policy_names_of(const std::vector<Settings>& settings);
/// What tells the policies apart, one name each: a summary() without the budget where all that take one have the same.
std::vector<std::string> short_names(const std::vector<Settings>& policies);
/// That common budget as text; empty where there is none.
std::string common_budget(const std::vector<Settings>& policies);

}  // namespace reattend
