// The engine from the window: jobs that are started as child processes, one at a time, and what became of them.
#pragma once
#include <deque>
#include <memory>
#include <string>

#include "viz/session/engine_run.h"
#include "viz/session/provider.h"
#include "viz/session/two_texts.h"

namespace reattend::viz {

class Engine final : public Provider {
 public:
  /// Jobs that are remembered.
  static constexpr size_t kMostRuns = 50;

  Engine(BackgroundTasks& tasks, int kind);
  void enter(std::shared_ptr<Replayer> replayer) override;
  void update(const Session& session) override;
  /// No job runs, and update() has seen how the last one ended.
  bool idle() const override;

  /// Where `reattend` is; empty: beside this very program. What is started from now on is that one.
  void set_program(const std::filesystem::path& program);
  /// Empty where there was none when it was looked for last: by set_program() and start().
  const std::filesystem::path& program() const { return program_; }
  /// How long a program that was asked to end is left to itself before the next signal.
  void set_grace(std::chrono::milliseconds grace) { grace_ = grace; }

  /// --model of the open trace's jobs, to be typed over.
  const ModelPlace& model() const { return model_; }
  void set_model(const std::string& model);

  /// The command lines that start() is given unless somebody edits them.
  std::string command_text(const Session& session, EngineJob job) const;
  /// Runs the command lines one after the other. Throws Error where a job still runs, there is no program, or a line is
  /// none.
  void start(const Session& session, EngineJob job, const std::string& commands);
  void stop();

  /// The oldest first; the last one may be running.
  const std::deque<std::unique_ptr<EngineRun>>& runs() const { return runs_; }
  bool running() const { return !runs_.empty() && runs_.back()->state() == RunState::running; }
  /// What was generated last for the open trace; null where nothing was.
  const TwoTexts* texts() const { return texts_.get(); }
  /// Changes with texts().
  uint64_t texts_version() const { return texts_version_; }

 private:
  BackgroundTasks& tasks_;
  std::filesystem::path given_, program_;
  std::chrono::milliseconds grace_{2000};
  ModelPlace model_;
  bool entered_ = false;  ///< another trace, whose model was not looked for yet
  /// Of the trace whose job made them, which need not be open any more.
  std::filesystem::path texts_of_;
  std::shared_ptr<const TwoTexts> texts_;
  std::shared_ptr<std::shared_ptr<const TwoTexts>> made_;  ///< guarded by the run: taken once it has ended
  uint64_t texts_version_ = 0;
  bool seen_ = true;                             ///< how the last job ended
  std::deque<std::unique_ptr<EngineRun>> runs_;  ///< last: their threads end before what they use
};

}  // namespace reattend::viz
