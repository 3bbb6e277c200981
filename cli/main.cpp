// The program `reattend`: a table of subcommands, and the one place where errors become exit codes.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/processors.h"
#include "base/progress.h"
#include "base/standard_streams.h"
#include "base/subprocess.h"
#include "cli/command.h"
#include "cli/options/old_names.h"
#include "policies/policy.h"

namespace reattend::cli {
namespace {

/// Subcommands in the order of help: the main job, then making, reading and checking runs.
constexpr const Command* kCommands[] = {
    &kDemo,   &kRun,       &kRecord, &kReplay, &kAnalyse, &kTune,  &kCompare, &kStudy,    &kPerplexity,
    &kVerify, &kCalibrate, &kTrace,  &kView,   &kCase,    &kBench, &kInfo,    &kGetModel,
};

constexpr const char* kExamples = R"(Examples:
  reattend get-model
  reattend run --prompt "Why is the sky blue?" --steps 64
  reattend run --prompt-file book.txt --raw --policy recycled --stride 16 --budget 512
  reattend record --prompt-file book.txt --raw --steps 256 --out trace.h5
  reattend tune trace.h5 --out reattend.toml
  reattend replay trace.h5 --settings reattend.toml
  reattend view trace.h5

`reattend COMMAND --help` shows a command's own options and examples.
Exit codes: 0 ok, 1 failed, 2 wrong use.)";

constexpr int kStopped = 130;  // what shells report for a program that SIGINT ended

const std::vector<std::pair<std::string, ProgressStyle>> kProgressStyles = {
    {"auto", ProgressStyle::automatic}, {"json", ProgressStyle::json}, {"off", ProgressStyle::off}};

void add_globals(CLI::App& app, Globals& globals) {
  app.add_flag("--json", globals.json, "Print numbers as JSON on stdout");
  app.add_option_function<int>(
         "--threads",
         [&globals](const int n) {
           constexpr int kMost = 1024;
           if (n < 0 || n > kMost) {
             fail_usage({"--threads", fmt::format("0 (all usable processors) to {}", kMost), std::to_string(n), ""});
           }
           if (const std::string warning = too_many_threads(n, processors()); !warning.empty())
             print_note("reattend: warning: {}\n", warning);
           globals.threads = n;
         },
         "Threads to compute with; 0: as many as the processors that may be used (CPU affinity and quota)")
      ->type_name("N");
  app.add_option_function<std::string>(
         "--progress",
         [&globals](const std::string& text) {
           for (const auto& [name, style] : kProgressStyles) {
             if (text == name) {
               globals.progress = style;
               return;
             }
           }
           fail_usage({"--progress", "auto, json or off", "'" + text + "'", ""});
         },
         "Progress on stderr: auto (a line when it is a terminal), json (a line a report), off")
      ->type_name("STYLE");
}

/// Options to which an empty text means something: messages, and lists of layers that may be none.
bool takes_empty(const CLI::Option& option) {
  if (option.check_lname("prompt") || option.check_lname("system")) return true;
  return std::any_of(parameters().begin(), parameters().end(), [&](const Parameter* parameter) {
    return parameter->type == ParamType::layer_list && option.check_lname(std::string(parameter->flag));
  });
}

/// An option that was given nothing (a variable of a script that is not set) would be as if it had not been given.
void refuse_empty_texts(CLI::App& app) {
  for (CLI::Option* const option : app.get_options()) {
    if (option->get_expected_min() == 0 || takes_empty(*option)) continue;
    option->check([name = option->get_name()](const std::string& text) {
      if (text.empty()) fail_usage({name, "a value", "an empty text", "give it one, or leave the option out"});
      return std::string();
    });
  }
  for (CLI::App* const command : app.get_subcommands({})) refuse_empty_texts(*command);
}

/// One line on stderr; messages of libraries may have several. Where there is no memory for it, the code must do.
int complain(const std::string_view message, const int code) noexcept {
  try {
    print_note("reattend: {}\n", to_line({std::string(message), "", "", ""}));
  } catch (const std::exception&) {
    write_note("reattend: out of memory\n");
  }
  return code;
}

/// What the command line's parser has to say, with the way to more help.
int complain_usage(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = &app;
  std::string help = "reattend";
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    help += " " + at->get_name();
  }
  std::string message = error.what();
  while (!message.empty() && (message.back() == '\n' || message.back() == '.')) message.pop_back();
  return complain(fmt::format("{}; see `{} --help`", message, help), static_cast<int>(ExitCode::usage));
}

/// What would help the command that ran: an option that it has.
std::string out_of_memory(const CLI::App& app) {
  for (const CLI::App* const command : app.get_subcommands()) {
    if (command->get_option_no_throw("--memory") != nullptr) {
      return "out of memory; give a smaller --memory, or fewer --threads";
    }
    if (command->get_option_no_throw("--ctx") != nullptr) {
      return "out of memory; use a shorter prompt (--ctx), fewer threads, or a machine with more";
    }
  }
  return "out of memory; close other programs, or use a machine with more";
}

int run_program(const int argc, char** argv) {
  CLI::App app("Recycled attention: run models under cache policies, record, replay, tune and view.", "reattend");
  app.set_version_flag("--version", "reattend " REATTEND_VERSION, "Print the version");
  app.footer(kExamples);
  app.fallthrough();  // global options may stand after the subcommand
  Globals globals;
  globals.cancel = cancel_on_signals();
  for (int i = 0; i < argc; ++i) globals.command_line += (i > 0 ? " " : "") + shell_word(argv[i]);
  add_globals(app, globals);
  for (const Command* const each : kCommands) add_command(app, *each, globals);
  refuse_empty_texts(app);

  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) {
      return complain("expected a command; see `reattend --help`", static_cast<int>(ExitCode::usage));
    }
    tell_new_names(app);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return complain_usage(app, error);
    std::ostringstream text;  // of --help or --version
    app.exit(error, text, text);
    write_out(text.str());
  } catch (const std::bad_alloc&) {
    return complain(out_of_memory(app), static_cast<int>(ExitCode::failed));
  }
  flush_out();
  return static_cast<int>(ExitCode::ok);
}

}  // namespace

void add_command(CLI::App& to, const Command& command, const Globals& globals) {
  command.set_up(*to.add_subcommand(command.name, command.summary), globals);
}

}  // namespace reattend::cli

int main(int argc, char** argv) {
  using namespace reattend;
  prepare_standard_streams();
  try {
    return cli::run_program(argc, argv);
  } catch (const ReaderGone&) {
    end_without_reader();
  } catch (const Error& error) {
    return cli::complain(error.what(), static_cast<int>(error.code()));
  } catch (const Cancelled&) {
    return cli::complain("stopped", cli::kStopped);
  } catch (const std::bad_alloc&) {
    return cli::complain("out of memory", static_cast<int>(ExitCode::failed));
  } catch (const std::exception& error) {
    return cli::complain(error.what(), static_cast<int>(ExitCode::failed));
  }
}
