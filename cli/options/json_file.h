// `--json [FILE]`, of commands whose JSON may go to a file.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace reattend::cli {

/// `json` says whether it was asked for; `file` stays empty where it is to be printed. Both must outlive the command.
void add_json_file(CLI::App& command, bool& json, std::string& file);

/// Throws Error (usage) where `file` can't be one that --json names: the word behind `--json` is taken for its file
/// even where it is the command's input, so it must end in .json. Nothing to refuse for an empty one.
void check_json_file(const std::string& file, bool force);

}  // namespace reattend::cli
