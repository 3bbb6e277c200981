// What every subcommand shares: how it joins the program and the options all of them take.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "base/progress.h"

namespace reattend::cli {

/// Options before or after any subcommand. Filled in by the time a subcommand's callback runs.
struct Globals {
  bool json = false;  ///< numbers as JSON on stdout
  ProgressStyle progress = ProgressStyle::automatic;
  int threads = 0;  ///< 0: all usable processors
  Cancel cancel;    ///< raised by SIGINT and SIGTERM
  std::string command_line;  ///< for traces and reports; a shell takes it back
};

/// Each cli/<name>.cpp defines one: adds its subcommand, whose callback does the work or throws Error.
void add_analyse(CLI::App& app, const Globals& globals);
void add_bench(CLI::App& app, const Globals& globals);
void add_calibrate(CLI::App& app, const Globals& globals);
void add_case(CLI::App& app, const Globals& globals);
void add_compare(CLI::App& app, const Globals& globals);
void add_demo(CLI::App& app, const Globals& globals);
void add_get_model(CLI::App& app, const Globals& globals);
void add_info(CLI::App& app, const Globals& globals);
void add_record(CLI::App& app, const Globals& globals);
void add_replay(CLI::App& app, const Globals& globals);
void add_run(CLI::App& app, const Globals& globals);
void add_study(CLI::App& app, const Globals& globals);
void add_trace(CLI::App& app, const Globals& globals);
void add_tune(CLI::App& app, const Globals& globals);
void add_verify(CLI::App& app, const Globals& globals);
void add_view(CLI::App& app, const Globals& globals);

}  // namespace reattend::cli
