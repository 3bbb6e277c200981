// Checked writes to standard output, unchecked ones to standard error, and /dev/null where a descriptor is missing.
#include "base/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace reattend {
namespace {

/// Opens the lowest free descriptor: for reading only, so that a text written to it is missed.
void open_closed(int fd) {
  int opened = ::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  if (opened < 0) opened = ::open("/", O_RDONLY | O_DIRECTORY);  // a root folder without devices
  if (opened != fd) std::_Exit(static_cast<int>(ExitCode::failed));
}

[[noreturn]] void refuse_output() {
  if (errno == EPIPE) throw ReaderGone{};
  fail({.where = "standard output",
        .expected = "room to write",
        .got = errno == EBADF ? "one that is closed, or open for reading only" : std::strerror(errno),
        .remedy = "what should have been printed is cut off or missing"});
}

}  // namespace

void prepare_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) open_closed(fd);
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

void write_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) refuse_output();
}

void flush_out() {
  if (std::fflush(stdout) != 0) refuse_output();
}

void write_note(std::string_view text) noexcept {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void end_without_reader() {
  std::signal(SIGPIPE, SIG_DFL);
  std::raise(SIGPIPE);
  std::_Exit(128 + SIGPIPE);
}

}  // namespace reattend
