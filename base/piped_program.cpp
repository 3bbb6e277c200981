// Starts the program by fork and exec, for posix_spawn cannot tie its life to this process's; reads by polling.
#include "base/piped_program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/descriptor.h"
#include "base/error.h"

namespace reattend {
namespace {

using Clock = std::chrono::steady_clock;

/// How often a program that prints nothing is looked after.
constexpr int kLookMs = 20;

struct Pipe {
  Descriptor read{-1}, write{-1};
  /// Closed in what exec starts.
  explicit Pipe(const std::string& of) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      fail({.where = of, .expected = "a pipe to read from it", .got = std::strerror(errno), .remedy = {}});
    read.fd = ends[0], write.fd = ends[1];
  }
  void close_write() { ::close(std::exchange(write.fd, -1)); }
};

/// In the child between fork and exec, where only what is safe in a signal handler may be called.
[[noreturn]] void become(char* const* argv, pid_t parent, int out, int errors, int failure) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // What this process ignores or holds back (prepare_standard_streams()) shall end other programs as they are used to.
  for (const int each : {SIGPIPE, SIGXFSZ, SIGINT, SIGTERM}) ::signal(each, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  const bool ready = null >= 0 && ::dup2(null, STDIN_FILENO) >= 0 && ::dup2(out, STDOUT_FILENO) >= 0 &&
                     ::dup2(errors, STDERR_FILENO) >= 0;
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);  // nothing of ours is the program's
  // A parent that died before prctl() was called has left nobody to wait for this.
  if (::getppid() != parent) ::_exit(1);
  if (ready) ::execv(argv[0], argv);
  const int error = errno;
  [[maybe_unused]] const ssize_t told = ::write(failure, &error, sizeof error);
  ::_exit(1);
}

/// A started program; its outputs can be read without waiting.
class Child {
 public:
  explicit Child(const PipedProgram& program)
      : grace_(program.grace), out_(program.arguments.at(0)), errors_(program.arguments[0]) {
    const std::string& name = program.arguments[0];
    Pipe failure(name);
    std::vector<std::string> arguments = program.arguments;
    std::vector<char*> argv;
    for (std::string& each : arguments) argv.push_back(each.data());
    argv.push_back(nullptr);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) become(argv.data(), parent, out_.write.fd, errors_.write.fd, failure.write.fd);
    int error = pid_ < 0 ? errno : 0;
    failure.close_write(), out_.close_write(), errors_.close_write();
    if (pid_ > 0) {
      // exec closes the pipe; until then this waits.
      while (::read(failure.read.fd, &error, sizeof error) < 0 && errno == EINTR) {
      }
      if (error != 0) ::waitpid(pid_, nullptr, 0);
    }
    if (error != 0)
      fail({.where = name, .expected = "a program that can be started", .got = std::strerror(error), .remedy = {}});
    for (const int fd : {out_.read.fd, errors_.read.fd}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ > 0) reap();
  }

  int out() const { return out_.read.fd; }
  int errors() const { return errors_.read.fd; }
  /// Whether it has ended; it is still there to be reaped.
  bool has_ended() const {
    siginfo_t info = {};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid_;
  }
  /// The next signal once the last one's grace is over.
  void ask_to_end() {
    constexpr std::array kSignals = {SIGINT, SIGTERM, SIGKILL};
    if (n_asked_ == kSignals.size() || (n_asked_ > 0 && Clock::now() - asked_ < grace_)) return;
    ::kill(-pid_, kSignals[n_asked_++]);
    asked_ = Clock::now();
  }
  /// Its status as waitpid() has it, after the end of all that it has started.
  int reap() {
    ::kill(-pid_, SIGKILL);  // its number is its own until it is reaped
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return status;
  }

 private:
  const std::chrono::milliseconds grace_;
  Pipe out_, errors_;
  pid_t pid_ = 0;
  size_t n_asked_ = 0;
  Clock::time_point asked_;
};

/// Cuts what comes into lines; of long ones the beginning.
class Lines {
 public:
  explicit Lines(const std::function<void(std::string_view)>& take) : take_(take) {}
  void add(std::string_view text) {
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      line_ += text.substr(0, std::min(end, kMostLine - line_.size()));
      any_ = true;
      if (end == text.size()) return;
      finish();
      text.remove_prefix(end + 1);
    }
  }
  /// The last line may have no end.
  void finish() {
    if (any_ && take_) take_(line_);
    line_.clear(), any_ = false;
  }

 private:
  const std::function<void(std::string_view)>& take_;
  std::string line_;
  bool any_ = false;
};

/// All that can be read now, or `most` of it, so that a program that never stops printing is still looked after; false
/// at the end.
template <class Take>
bool drain(int fd, const Take& take) {
  constexpr int kMost = 64;
  std::array<char, 1 << 16> buffer;
  for (int i = 0; i < kMost; ++i) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return false;
    take(std::string_view(buffer.data(), static_cast<size_t>(n)));
  }
  return true;
}

}  // namespace

PipedEnd run_piped(const PipedProgram& program, const Cancel& cancel) {
  PipedEnd out;
  Lines lines(program.on_line);
  Child child(program);
  const auto take_output = [&](std::string_view text) {
    const size_t room = program.most_output - out.output.size();
    out.output += text.substr(0, room);
    out.overflowed = out.overflowed || text.size() > room;
  };
  const auto take_errors = [&](std::string_view text) { lines.add(text); };
  bool prints = true, complains = true;
  for (bool ended = false; !ended;) {
    pollfd looked[] = {{prints ? child.out() : -1, POLLIN, 0}, {complains ? child.errors() : -1, POLLIN, 0}};
    ::poll(looked, 2, kLookMs);
    ended = child.has_ended();  // before the last look at what it printed
    if (prints) prints = drain(child.out(), take_output);
    if (complains) complains = drain(child.errors(), take_errors);
    out.stopped = out.stopped || (cancel.raised() && !ended);
    if (out.stopped || out.overflowed) child.ask_to_end();
  }
  lines.finish();
  const int status = child.reap();
  if (WIFEXITED(status)) out.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) out.signal = WTERMSIG(status);
  return out;
}

std::string in_words(const PipedEnd& end) {
  if (end.overflowed) return fmt::format("ended, for it printed more than {} bytes", end.output.size());
  if (end.stopped) return "stopped";
  if (end.signal != 0) return fmt::format("killed by signal {} ({})", end.signal, ::strsignal(end.signal));
  if (end.code == 0) return "done";
  return fmt::format("exit code {}{}", end.code,
                     end.code == static_cast<int>(ExitCode::usage)    ? ": wrong use"
                     : end.code == static_cast<int>(ExitCode::failed) ? ": failed"
                                                                      : "");
}

}  // namespace reattend
