// Standard output and error as every program here writes them: a text that was asked for arrives or is missed aloud,
// what is said beside it never ends a run.
#pragma once
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace reattend {

/// Thrown where whoever read standard output through a pipe has left (`| head`): not an error, only the end.
struct ReaderGone {};

/// To be called first in main(). Descriptors 0 to 2 that came closed are opened, for otherwise the next file opened
/// would get their number and what is printed would go into it: once a trace lost its superblock to a line of progress.
/// Reading the one gives nothing, writing to the other two fails for standard output and is lost for standard error.
/// A pipe whose reader left and a limit of file size become errors of a write instead of the end of the process.
void prepare_standard_streams();

/// The text of a command. Throws Error where it can't be written, ReaderGone where nobody reads it any more.
void write_out(std::string_view text);
/// After the last of it, and wherever a reader shall see it at once. Throws as write_out() does.
void flush_out();
/// Warnings, progress, error messages: as far as standard error takes them.
void write_note(std::string_view text) noexcept;

/// write_out() and write_note() of a formatted text.
template <class... Args>
void print_out(fmt::format_string<Args...> format, Args&&... args) {
  write_out(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void print_note(fmt::format_string<Args...> format, Args&&... args) {
  write_note(fmt::format(format, std::forward<Args>(args)...));
}

/// What main() does about a ReaderGone: ends the process as the signal SIGPIPE does, which is what a shell expects.
[[noreturn]] void end_without_reader();

}  // namespace reattend
