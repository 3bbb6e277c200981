// What a subcommand is, and the options that all of them take.
#pragma once
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "base/progress.h"

namespace reattend::cli {

/// Options before or after any subcommand. Filled in by the time a subcommand's callback runs.
struct Globals {
  bool json = false;  ///< numbers as JSON on stdout
  ProgressStyle progress = ProgressStyle::automatic;
  int threads = 0;           ///< 0: all usable processors
  Cancel cancel;             ///< raised by SIGINT and SIGTERM
  std::string command_line;  ///< for traces and reports; a shell takes it back
};

/// A subcommand. It is defined in commands/<name>.cpp and listed in main.cpp.
struct Command {
  const char* name;
  const char* summary;
  /// Adds its options to `command`, and what is run once they are read; what is run may throw Error.
  void (*set_up)(CLI::App& command, const Globals& globals);
};

/// A command of three things: its options, how they are given (add_options), and what is done with them (run).
template <class Options, auto add_options, auto run>
constexpr Command make_command(const char* name, const char* summary) {
  return {name, summary, [](CLI::App& command, const Globals& globals) {
            const auto options = std::make_shared<Options>();
            add_options(&command, options);
            command.callback([options, &globals] { run(*options, globals); });
          }};
}

void add_command(CLI::App& to, const Command& command, const Globals& globals);

extern const Command kAnalyse, kBench, kCalibrate, kCase, kCompare, kDemo, kGetModel, kInfo, kPerplexity, kRecord,
    kReplay, kRun, kStudy, kTrace, kTune, kVerify, kView;
extern const Command kBenchReplay;                            // of bench
extern const Command kTraceSlice, kTraceMerge, kTraceExport;  // of trace

}  // namespace reattend::cli
