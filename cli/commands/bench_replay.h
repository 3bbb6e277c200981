// `reattend bench replay`: how long a replay takes to answer each kind of change.
#pragma once
#include "cli/command.h"

namespace reattend::cli {

void add_bench_replay(CLI::App& bench, const Globals& globals);

}  // namespace reattend::cli
