// `--json [FILE]`, of commands whose JSON may go to a file.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace reattend::cli {

/// `json` says whether it was asked for; `file` stays empty where it is to be printed. Both must outlive the command.
inline void add_json_file(CLI::App& command, bool& json, std::string& file) {
  command
      .add_option_function<std::string>(
          "--json",
          [&json, &file](const std::string& name) {
            json = true;
            file = name;
          },
          "Print JSON, or write it to this file")
      ->expected(0, 1)
      ->type_name("[FILE]");
}

}  // namespace reattend::cli
