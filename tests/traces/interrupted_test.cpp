// Recordings that end badly: killed at any moment, or out of disk space. Finished steps must survive.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "tests/traces/expect_trace.h"
#include "tests/traces/synthetic.h"
#include "traces/hdf5.h"
#include "traces/read/check.h"
#include "traces/write/repair.h"

namespace reattend {
namespace {

using namespace synthetic;

/// Runs `work` in a child; what it reports comes out of `fd` as int32.
struct Child {
  pid_t pid = -1;
  int fd = -1;
  explicit Child(const std::function<void(int out)>& work) {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("no pipe");
    pid = fork();
    if (pid == 0) {
      close(ends[0]);
      work(ends[1]);
      _exit(0);
    }
    close(ends[1]);
    fd = ends[0];
  }
  ~Child() { close(fd); }
  /// The next report, or -1 once the child is gone.
  int32_t next() const {
    int32_t x;
    return read(fd, &x, sizeof x) == sizeof x ? x : -1;
  }
  int wait() const {
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
  }
};

void report(int fd, int32_t x) {
  if (write(fd, &x, sizeof x) != sizeof x) _exit(3);
}

bool opens_plainly(const std::filesystem::path& path) {
  hdf5::quiet();
  return static_cast<bool>(hdf5::Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose));
}

TEST(TraceInterrupted, KillLosesNoCommittedStepAndTheCopyOpensPlainly) {
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    const Folder folder;
    const auto path = folder / "a.h5", copy = folder / "copy.h5";
    const Child child([&](int out) {
      TraceWriter writer(path, false);
      write_prompt(writer, 7 << round % 4);  // rows for more steps are made every 7, 14, 28 or 56 steps
      report(out, 0);
      for (int32_t t = 1; t < 100000; ++t) {
        writer.append(step(t));
        if (t % (1 + round % 3) != 0) continue;
        writer.commit();
        report(out, t);
      }
    });
    int32_t committed = child.next();
    ASSERT_EQ(committed, 0);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30000));
    kill(child.pid, SIGKILL);
    ASSERT_TRUE(WIFSIGNALED(child.wait()));
    for (int32_t t; (t = child.next()) >= 0;) committed = t;

    {
      const auto trace = TraceReader::open(path);
      ASSERT_GE(trace->info().n_step, committed);
      EXPECT_FALSE(trace->info().live);
      EXPECT_NE(trace->info().warning.find("repair"), std::string::npos);
      expect_trace(*trace, trace->info().n_step);
      committed = trace->info().n_step;
    }
    EXPECT_EQ(repair_trace(path, copy, false), committed);
    EXPECT_TRUE(opens_plainly(copy));
    const auto trace = TraceReader::open(copy);
    EXPECT_EQ(trace->info().warning, "");
    expect_trace(*trace, committed);
  }
}

TEST(TraceInterrupted, AnotherProcessFollowsALiveTrace) {
  const Folder folder;
  const auto path = folder / "a.h5";
  const Child child([&](int out) {
    TraceWriter writer(path, false);
    write_prompt(writer);
    report(out, 0);
    for (int32_t t = 1; t <= 200; ++t) {
      writer.append(step(t));
      writer.commit();
    }
    report(out, 200);
    pause();
  });
  ASSERT_EQ(child.next(), 0);
  const auto trace = TraceReader::open(path);
  EXPECT_TRUE(trace->info().live);
  int32_t seen = trace->info().n_step;
  while (seen < 200) {
    if (!trace->refresh()) continue;
    ASSERT_GT(trace->info().n_step, seen);
    seen = trace->info().n_step;
    expect_trace(*trace, seen);
  }
  kill(child.pid, SIGKILL);
  child.wait();
  trace->refresh();
  EXPECT_FALSE(trace->info().live) << "a dead writer still counts as writing";
}

/// A window that follows a recording and a replay that opens it as well.
TEST(TraceInterrupted, TwoReadersOfOneProcessFollowALiveTrace) {
  const Folder folder;
  const auto path = folder / "a.h5";
  int order[2];
  ASSERT_EQ(pipe(order), 0);
  const Child child([&](int out) {
    close(order[1]);
    TraceWriter writer(path, false);
    write_prompt(writer, 8);
    report(out, 0);
    int32_t until = 0, t = 0;
    while (read(order[0], &until, sizeof until) == sizeof until) {
      while (t < until) {
        writer.append(step(++t));
        writer.commit();
      }
      report(out, t);
    }
  });
  const auto grow = [&](int32_t until) {
    report(order[1], until);
    return child.next();
  };
  ASSERT_EQ(child.next(), 0);
  ASSERT_EQ(grow(5), 5);
  const auto first = TraceReader::open(path);
  ASSERT_EQ(grow(30), 30);
  auto second = TraceReader::open(path);
  EXPECT_EQ(second->info().n_step, 30) << "what the other reader saw";
  expect_trace(*second, 30);
  EXPECT_EQ(first->info().n_step, 5);
  expect_trace(*first, 5);
  EXPECT_TRUE(first->refresh());
  expect_trace(*first, 30);
  for (int32_t n : {31, 64, 100, 333}) {
    ASSERT_EQ(grow(n), n);
    EXPECT_TRUE(first->refresh()) << n;
    expect_trace(*first, n);
    EXPECT_TRUE(second->refresh()) << n;
    expect_trace(*second, n);
    second.reset();
    second = TraceReader::open(path);
    expect_trace(*second, n);
  }
  kill(child.pid, SIGKILL);
  child.wait();
  const auto third = TraceReader::open(path);
  EXPECT_FALSE(third->info().live);
  expect_trace(*third, 333);
  expect_trace(*first, 333);
}

std::string refusal(const std::filesystem::path& path) {
  try {
    TraceReader::open(path);
    return "opened";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(TraceInterrupted, WhatIsLeftBeforeTheFirstStepIsNamedAndNeverTaken) {
  const Folder folder;
  const auto path = folder / "a.h5";
  std::filesystem::path part;
  for (const bool in_prompt : {false, true}) {
    const Child child([&](int out) {
      TraceWriter writer(path, false);
      if (in_prompt) {
        writer.begin(header());
        writer.prompt_queries(0, std::vector<float>(64 * kHeads * kHead));
      }
      report(out, 0);
      pause();
    });
    ASSERT_EQ(child.next(), 0);
    part = path.string() + ".part-" + std::to_string(child.pid);
    ASSERT_TRUE(std::filesystem::exists(part));
    EXPECT_NE(refusal(path).find("in the making"), std::string::npos) << refusal(path);
    EXPECT_NE(refusal(part).find("in the making"), std::string::npos) << refusal(part);
    kill(child.pid, SIGKILL);
    child.wait();
    for (const auto& asked : {path, part}) {
      const std::string line = refusal(asked);
      EXPECT_NE(line.find("killed before its first step"), std::string::npos) << line;
      EXPECT_NE(line.find("a.h5.part-"), std::string::npos) << line;
      EXPECT_NE(line.find("may be removed"), std::string::npos) << line;
      EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    }
  }
  EXPECT_NE(refusal(path).find("1 more"), std::string::npos) << refusal(path);
  for (const char* name : {"a.h5.part-", "a.h5.part-x", ".part-1", "a.h5.part-12.h5"}) {
    std::ofstream(folder / name) << "somebody's own";
    EXPECT_EQ(refusal(folder / name).find("killed"), std::string::npos) << refusal(folder / name);
  }
  write_trace(path, 3);
  expect_trace(*TraceReader::open(path), 3);
  EXPECT_TRUE(std::filesystem::exists(part)) << "a recording removes nothing of another";
}

/// A name that leaves no room for ".part-PID" is cut for it, and still found.
TEST(TraceInterrupted, WhatIsLeftOfALongNameIsNamedToo) {
  const Folder folder;
  const auto path = folder / (std::string(252, 'x') + ".h5"), other = folder / (std::string(252, 'x') + ".h6");
  std::ofstream(part_of(path)) << "";
  EXPECT_NE(refusal(path).find("killed before its first step"), std::string::npos) << refusal(path);
  EXPECT_EQ(refusal(other).find("killed"), std::string::npos) << refusal(other);
  write_trace(path, 3);
  expect_trace(*TraceReader::open(path), 3);
}

/// Sixty-four steps behind a name like a part's, and one flipped byte: nobody may be told to remove them.
TEST(TraceInterrupted, ADamagedTraceUnderSuchANameKeepsItsOwnError) {
  const Folder folder;
  const auto plain = folder / "survey.h5", part = folder / "survey.part-3";
  write_trace(plain, 64);
  std::filesystem::copy_file(plain, part);
  expect_trace(*TraceReader::open(part), 64);
  std::filesystem::resize_file(plain, std::filesystem::file_size(plain) / 2);
  std::filesystem::copy_file(plain, part, std::filesystem::copy_options::overwrite_existing);
  const std::string own = refusal(plain), line = refusal(part);
  EXPECT_EQ(line.find("may be removed"), std::string::npos) << line;
  EXPECT_NE(line.find(own.substr(own.find("expected"))), std::string::npos) << line << "\n" << own;
  EXPECT_NE(line.find("by its name"), std::string::npos) << line;
  std::ofstream(part) << "somebody's own";
  EXPECT_EQ(refusal(part).find("may be removed"), std::string::npos) << refusal(part);
  EXPECT_NE(refusal(part).find("HDF5"), std::string::npos) << refusal(part);
  std::filesystem::create_directory(folder / "b.part-4");
  EXPECT_EQ(refusal(folder / "b.part-4").find("may be removed"), std::string::npos);
  EXPECT_NE(refusal("").find("\"\": expected a trace"), std::string::npos) << refusal("");
}

TEST(TraceInterrupted, RepairRefusesALiveTraceAndKeepsAnExistingFile) {
  const Folder folder;
  TraceWriter writer(folder / "a.h5", false);
  write_prompt(writer);
  EXPECT_THROW(repair_trace(folder / "a.h5", folder / "b.h5", false), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "b.h5"));
  write_trace(folder / "c.h5", 2);
  EXPECT_THROW(repair_trace(folder / "c.h5", folder / "c.h5", false), Error);
  expect_trace(*TraceReader::open(folder / "c.h5"), 2);
}

/// The file-size limit stands for a full disk: the same write() calls fail at the same places.
TEST(TraceInterrupted, FullDiskIsNamedAndFinishedStepsStayReadable) {
  constexpr int32_t kSteps = 400;
  const Folder sizes;
  write_trace(sizes / "a.h5", 0, 8);
  const auto empty = static_cast<int64_t>(std::filesystem::file_size(sizes / "a.h5"));
  write_trace(sizes / "a.h5", kSteps, 8);
  const auto full = static_cast<int64_t>(std::filesystem::file_size(sizes / "a.h5"));
  int stopped_in_steps = 0;
  for (int i = 0; i < 16; ++i) {
    // From a fifth of what the prompt takes to almost everything that the steps take.
    const int64_t limit = i < 4 ? empty * (i + 1) / 5 : empty + (full - empty) * (i - 3) / 13;
    const Folder folder;
    const auto path = folder / "a.h5";
    const Child child([&](int out) {
      signal(SIGXFSZ, SIG_IGN);
      const rlimit most{static_cast<rlim_t>(limit), static_cast<rlim_t>(limit)};
      setrlimit(RLIMIT_FSIZE, &most);
      int32_t committed = -1;
      try {
        TraceWriter writer(path, false);
        write_prompt(writer, 8);
        committed = 0;
        for (int32_t t = 1; t <= kSteps; ++t) {
          writer.append(step(t));
          writer.commit();
          committed = t;
        }
        writer.close();
      } catch (const Error& error) {
        const std::string line = error.what();
        const bool good = line.find("free some space") != std::string::npos && line.find('\n') == std::string::npos;
        if (!good) fprintf(stderr, "%s\n", line.c_str());
        report(out, good ? 1 : 0);
      }
      report(out, committed);
    });
    const int32_t named = child.next(), committed = child.next();
    const int status = child.wait();
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "limit " << limit << ", status " << status;
    ASSERT_EQ(named, 1) << "limit " << limit;
    if (committed < 0) {
      EXPECT_FALSE(std::filesystem::exists(path)) << "limit " << limit;
      continue;
    }
    ++stopped_in_steps;
    const auto trace = TraceReader::open(path);
    EXPECT_GE(trace->info().n_step, committed);
    expect_trace(*trace, trace->info().n_step);
  }
  EXPECT_GE(stopped_in_steps, 10);
}

}  // namespace
}  // namespace reattend
