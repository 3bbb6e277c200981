// The setting that the one under trial is held against, on this trace or on a second one, and what a replay of it says.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "replay/async.h"
#include "viz/session/goal.h"
#include "viz/session/provider.h"
#include "viz/session/step_figures.h"

namespace reattend::viz {

/// Replays what is pinned with an AsyncReplayer of its own, behind all that the setting under trial asks for.
class Baseline final : public Provider {
 public:
  static constexpr int kKinds = 7;  ///< opening a second trace, four of the replay, judging, figures of steps

  Baseline(BackgroundTasks& tasks, int kind);
  ~Baseline() override;
  void enter(std::shared_ptr<Replayer> replayer) override;
  void update(const Session& session) override;
  bool idle() const override;

  /// What is pinned: a setting, and the second trace that it is replayed on.
  struct Pinned {
    Settings settings;
    std::filesystem::path trace;  ///< empty: the open one
    bool operator==(const Pinned&) const = default;
  };
  /// Another trace keeps the settings and drops a second one; the open one, opened anew because it has grown, keeps
  /// both.
  void pin(const Pinned& pinned);
  /// The second trace under the setting that the next trace to be opened starts with.
  void pin_when_open(const std::filesystem::path& trace) { awaited_ = trace; }
  void clear();
  /// Nothing: there is no baseline.
  const std::optional<Pinned>& pinned() const { return pinned_; }
  bool on_this_trace() const { return pinned_ && pinned_->trace.empty(); }

  /// As far as it is; null until there is something.
  const std::shared_ptr<const AsyncAnswer>& answer() const { return answer_; }
  const Judged* judged() const { return judged_.get(); }
  /// Of its own steps; null until all layers are replayed.
  const std::shared_ptr<const StepBands>& bands() const { return bands_; }
  /// Of the trace that it is replayed on; null until that is open.
  const TuneResult* tuning() const { return tuning_.get(); }
  /// Why it could not be replayed; empty if it could.
  const std::string& error() const { return error_; }

 private:
  /// What opening a second trace gives, on the way to the drawing thread.
  struct Opened {
    std::shared_ptr<Replayer> replayer;
    std::shared_ptr<const TuneResult> tuning;
    std::string error;
  };
  /// Guarded by the queue's lock, shared with its tasks.
  struct Found {
    std::optional<Opened> opened;
    std::shared_ptr<const Judged> judged;
    std::shared_ptr<const StepBands> bands;
  };
  void open_second(const Session& session);
  void begin(const Session& session, std::shared_ptr<Replayer> replayer);
  void take(const Session& session);
  void drop_tasks();
  void judge(const Session& session, std::shared_ptr<const Judged> found);
  void find_bands();

  BackgroundTasks& tasks_;
  const int kind_;
  std::shared_ptr<Replayer> own_;  ///< of the open trace; the queue's
  /// The open trace's replay leaves memory for a second trace; the queue's.
  std::shared_ptr<bool> room_made_ = std::make_shared<bool>(false);
  std::filesystem::path awaited_;  ///< that is pinned as soon as there is a setting
  std::optional<Pinned> pinned_;
  std::filesystem::path path_;  ///< of the open trace
  bool carried_ = false;        ///< the second trace was pinned before the open one was opened
  bool begun_ = false;          ///< its replay, or the opening of its trace
  std::unique_ptr<AsyncReplayer> replayer_;
  std::shared_ptr<const TuneResult> tuning_;
  std::shared_ptr<const AsyncAnswer> answer_;
  std::shared_ptr<const Judged> judged_;
  bool asked_to_judge_ = false;
  std::shared_ptr<const StepBands> bands_;
  std::shared_ptr<const AsyncAnswer> bands_of_;  ///< that they were asked of last
  std::string error_;
  std::shared_ptr<Found> found_ = std::make_shared<Found>();
};

}  // namespace reattend::viz
