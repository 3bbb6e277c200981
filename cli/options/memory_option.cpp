// Adds `--memory`, in one wording, to every command that replays.
#include "cli/options/memory_option.h"

namespace reattend::cli {

void MemoryOption::add_to(CLI::App& app) {
  app.add_option("--memory", gigabytes,
                 "GB that the replay may hold; what does not fit is computed anew, to the same results")
      ->type_name("GB")
      ->check(CLI::Range(0.0001, 1e6))
      ->capture_default_str();
}

}  // namespace reattend::cli
