// `reattend trace slice`, `merge` and `export`.
#pragma once
#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace reattend::cli {

void add_trace_edits(CLI::App& trace, const Globals& globals);

}  // namespace reattend::cli
