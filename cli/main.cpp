// The program `reattend`: a table of subcommands, and the one place where errors become exit codes.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/params.h"
#include "base/progress.h"
#include "base/subprocess.h"
#include "cli/command.h"

namespace reattend::cli {
namespace {

/// Subcommands in the order of help: the main job, then making, reading and checking runs.
constexpr void (*kCommands[])(CLI::App&, const Globals&) = {
    add_demo,   add_run,       add_record, add_replay, add_analyse, add_tune,  add_compare, add_study,
    add_verify, add_calibrate, add_trace,  add_view,   add_case,    add_bench, add_info,    add_get_model,
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
             fail_usage({"--threads", fmt::format("0 (all hardware threads) to {}", kMost), std::to_string(n), ""});
           }
           globals.threads = n;
         },
         "Threads to compute with; 0: all hardware threads")
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
  return std::any_of(parameters().begin(), parameters().end(), [&](const Parameter& parameter) {
    return parameter.type == ParamType::layer_list && option.check_lname(std::string(parameter.flag));
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

/// One line on stderr; messages of libraries may have several.
int complain(const std::string& message, const int code) {
  fmt::print(stderr, "reattend: {}\n", to_line({message, "", "", ""}));
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

int run_program(const int argc, char** argv) {
  CLI::App app("Recycled attention: run models under cache policies, record, replay, tune and view.", "reattend");
  app.set_version_flag("--version", "reattend " REATTEND_VERSION, "Print the version");
  app.footer(kExamples);
  app.fallthrough();  // global options may stand after the subcommand
  Globals globals;
  globals.cancel = cancel_on_signals();
  // A file-size limit shall be an error of a write, as a full disk is, and not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  for (int i = 0; i < argc; ++i) globals.command_line += (i > 0 ? " " : "") + shell_word(argv[i]);
  add_globals(app, globals);
  for (const auto& add : kCommands) add(app, globals);
  refuse_empty_texts(app);

  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) {
      fmt::print(stderr, "reattend: expected a command; see `reattend --help`\n");
      return static_cast<int>(ExitCode::usage);
    }
    if (std::fflush(stdout) != 0) {
      fail({"standard output", "room to write", std::strerror(errno), "the numbers above may be cut off"});
    }
    return static_cast<int>(ExitCode::ok);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return complain_usage(app, error);
  }
}

}  // namespace
}  // namespace reattend::cli

int main(int argc, char** argv) {
  using namespace reattend;
  try {
    return cli::run_program(argc, argv);
  } catch (const Error& error) {
    return cli::complain(error.what(), static_cast<int>(error.code()));
  } catch (const Cancelled&) {
    return cli::complain("stopped", cli::kStopped);
  } catch (const std::bad_alloc&) {
    return cli::complain("out of memory; use a shorter prompt (--ctx), fewer threads, or a machine with more",
                         static_cast<int>(ExitCode::failed));
  } catch (const std::exception& error) {
    return cli::complain(error.what(), static_cast<int>(ExitCode::failed));
  }
}
