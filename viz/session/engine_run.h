// A job of the engine under way or done: child processes, one after the other, on a thread that reads what they print.
#pragma once
#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/piped_program.h"
#include "viz/session/engine_command.h"

namespace reattend::viz {

enum class RunState : uint8_t { running, done, failed, stopped };

const char* word_of(RunState state);

/// How far it is, as the program last said.
struct RunProgress {
  std::string what, unit;
  double done = 0, total = 0, seconds = 0;
};

/// What is started, and for what.
struct RunPlan {
  EngineJob job = EngineJob::verify;
  std::filesystem::path program;
  std::vector<std::vector<std::string>> commands;  ///< without the program
  std::filesystem::path trace;
  Settings settings;
  std::filesystem::path keep;  ///< file for what the last command prints; empty: it is not kept
  /// On the run's thread, with what each command printed, JSON all of it: takes what it wants and returns lines for the
  /// log. May throw Error for what is not what it should be.
  std::function<std::vector<std::string>(const std::vector<std::string>& outputs)> finish{};
  std::chrono::milliseconds grace{2000};
};

/// Starts at once. Its methods never wait but for the destructor, which ends what still runs.
class EngineRun {
 public:
  /// Lines of the log that are kept, the newest.
  static constexpr size_t kMostLines = 10'000;

  /// `wake` is called from the run's thread, at most about ten times a second, and when it has ended.
  EngineRun(RunPlan plan, std::function<void()> wake);
  ~EngineRun();
  EngineRun(const EngineRun&) = delete;
  EngineRun& operator=(const EngineRun&) = delete;

  const RunPlan& plan() const { return plan_; }
  /// Asks the program to end; run_piped() says how it is made to.
  void stop() { cancel_.raise(); }

  RunState state() const;
  RunProgress progress() const;
  /// How it ended, with the program's own last words where it failed; empty while it runs.
  std::string outcome() const;
  /// Runs `look` on the log, oldest line first, and on how many lines before it are gone.
  void look_at_log(const std::function<void(const std::deque<std::string>& lines, size_t n_gone)>& look) const;
  std::chrono::system_clock::time_point begun() const { return begun_; }

 private:
  void work();
  void take_line(std::string_view line);
  std::vector<std::string> run_commands();
  void end(RunState state, std::string outcome);
  void wake_now_and_then();

  const RunPlan plan_;
  const std::function<void()> wake_;
  const std::chrono::system_clock::time_point begun_ = std::chrono::system_clock::now();
  const Cancel cancel_;
  std::chrono::steady_clock::time_point woken_;  ///< the thread's own: when it last woke the other

  mutable std::mutex mutex_;  ///< guards what follows
  RunState state_ = RunState::running;
  RunProgress progress_;
  std::string outcome_;
  std::deque<std::string> lines_;
  size_t n_gone_ = 0;
  std::thread thread_;
};

}  // namespace reattend::viz
