// Names that options and JSON keys had in the version before: still taken and written for one version.
#pragma once
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>

namespace reattend::cli {

/// `old_name` ("--on-paper") does what `option` does and stands in no help; whoever uses it is told the new name.
void add_old_name(CLI::App& app, CLI::Option& option, const std::string& old_name);

/// A key of what `--json` prints also stands under its old name.
void add_old_key(nlohmann::json& json, const std::string& key, const std::string& old_key);

}  // namespace reattend::cli
