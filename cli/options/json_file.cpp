// Adds `--json [FILE]` to a command, and refuses a FILE that does not end in .json.
#include "cli/options/json_file.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"

namespace reattend::cli {

void add_json_file(CLI::App& command, bool& json, std::string& file) {
  command
      .add_option_function<std::string>(
          "--json",
          [&json, &file](const std::string& name) {
            json = true;
            file = name;
          },
          "Print JSON, or write it to this file, whose name ends in .json")
      ->expected(0, 1)
      ->type_name("[FILE.json]");
}

void check_json_file(const std::string& file, bool force) {
  if (file.empty()) return;
  if (!file.ends_with(".json")) {
    fail_usage({.where = "--json",
                .expected = "a name that ends in .json, or none",
                .got = fmt::format("\"{}\"", file),
                .remedy = "a trace goes before --json"});
  }
  refuse_to_replace_by_text(file, force, "--json");
  check_folder_of(file, "--json");
}

}  // namespace reattend::cli
