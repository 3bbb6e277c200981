// Names that options and JSON keys had in the version before: still taken and written for one version.
#pragma once
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>

namespace reattend::cli {

/// `old_name` ("--on-paper") does what `option` does and stands in no help.
void add_old_name(CLI::App& app, CLI::Option& option, const std::string& old_name);

/// Whoever used old names in a command line that was parsed is told the new ones. To be called when the command is
/// done: one that fails says so in one line.
void tell_new_names(const CLI::App& app);

/// A key of what `--json` prints also stands under its old name.
void add_old_key(nlohmann::json& json, const std::string& key, const std::string& old_key);

}  // namespace reattend::cli
