// Runs code in a child process by fork() and a pipe. glibc keeps malloc usable in the child of a process with threads;
// nothing else of the parent's state is used there.
#include "engine/text/contained.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <new>

#include "base/error.h"

namespace reattend {
namespace {

using Ended = ContainedResult::Ended;

/// Exit codes of the child.
constexpr int kWell = 0, kOutOfMemory = 10, kTooLong = 11, kCannotWrite = 12;

/// Seconds on the clock for each second of work: a child that waits for something is ended as well.
constexpr int64_t kClockPerCpu = 10;

/// Bytes of address space that this process has now.
int64_t mapped_bytes() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

void limit(int resource, int64_t soft, int64_t hard) {
  rlimit now{};
  getrlimit(static_cast<__rlimit_resource_t>(resource), &now);
  const auto lower = [&](int64_t want) { return std::min(static_cast<rlim_t>(want), now.rlim_max); };
  const rlimit then = {lower(soft), lower(hard)};
  setrlimit(static_cast<__rlimit_resource_t>(resource), &then);
}

/// Whatever this process does at a signal is not for the child.
void end_at_signals() {
  for (const int signal_id : {SIGINT, SIGTERM, SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGILL, SIGXCPU, SIGPIPE}) {
    std::signal(signal_id, SIG_DFL);
  }
}

bool write_all(int to, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = write(to, text.data() + done, text.size() - done);
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

[[noreturn]] void be_the_child(int to, const ContainedLimits& limits, int64_t mapped,
                               const std::function<std::string()>& work) {
  end_at_signals();
  limit(RLIMIT_CORE, 0, 0);
  limit(RLIMIT_AS, mapped + limits.memory_bytes, mapped + limits.memory_bytes);
  limit(RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1);
  int code = kWell;
  try {
    const std::string output = work();
    if (static_cast<int64_t>(output.size()) > limits.output_bytes) {
      code = kTooLong;
    } else if (!write_all(to, output)) {
      code = kCannotWrite;
    }
  } catch (const std::bad_alloc&) {
    code = kOutOfMemory;
  }
  _exit(code);  // nothing of the parent's is to be flushed or destroyed here
}

/// All that the child writes; how it ended where its time on the clock is over, or where it writes more than it may,
/// whatever it does there.
Ended read_all(int from, const ContainedLimits& limits, std::string& out) {
  const int64_t seconds = limits.cpu_seconds * kClockPerCpu;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  std::string part(size_t{1} << 16, '\0');
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd ready = {from, POLLIN, 0};
    const int n_ready = left.count() > 0 ? poll(&ready, 1, static_cast<int>(left.count())) : 0;
    if (n_ready < 0 && errno == EINTR) continue;
    if (n_ready <= 0) return Ended::time;
    const ssize_t n = read(from, part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Ended::well;
    if (n > limits.output_bytes - static_cast<int64_t>(out.size())) return Ended::output;
    out.append(part, 0, static_cast<size_t>(n));
  }
}

ContainedResult judge(int status, Ended reading, std::string output) {
  if (reading != Ended::well) return {reading, ""};
  if (WIFSIGNALED(status)) {
    const int by = WTERMSIG(status);
    if (by == SIGXCPU || by == SIGKILL) return {Ended::time, ""};
    if (by == SIGSEGV || by == SIGBUS) return {Ended::stack, ""};
    return {Ended::otherwise, std::string("signal ") + strsignal(by)};
  }
  switch (WEXITSTATUS(status)) {
    case kWell:
      return {Ended::well, std::move(output)};
    case kOutOfMemory:
      return {Ended::memory, ""};
    case kTooLong:
      return {Ended::output, ""};
    default:
      return {Ended::otherwise, "exit status " + std::to_string(WEXITSTATUS(status))};
  }
}

}  // namespace

ContainedResult run_contained(const ContainedLimits& limits, const std::function<std::string()>& work) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail({"pipe", "two descriptors", std::strerror(errno), "close other programs"});
  const int64_t mapped = mapped_bytes();
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    be_the_child(ends[1], limits, mapped, work);
  }
  const int error = errno;
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    fail({"fork", "another process", std::strerror(error), "close other programs"});
  }
  std::string output;
  const Ended reading = read_all(ends[0], limits, output);
  close(ends[0]);
  if (reading != Ended::well) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return judge(status, reading, std::move(output));
}

}  // namespace reattend
