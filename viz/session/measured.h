// What an engine measured on the open trace, from the files beside it, with what had been predicted of the same
// settings.
#pragma once
#include <memory>
#include <unordered_map>

#include "viz/session/provider.h"
#include "viz/session/trace_files.h"

namespace reattend::viz {

class Measured final : public Provider {
 public:
  Measured(BackgroundTasks& tasks, int kind);
  ~Measured() override;
  void enter(std::shared_ptr<Replayer> replayer) override;
  void update(const Session& session) override;
  bool idle() const override;

  /// The files are read again: one of them has been written.
  void look_again() { wanted_ = true; }
  /// Empty until they have been read.
  const TraceFiles& files() const { return *files_; }
  /// Changes with files().
  uint64_t version() const { return version_; }
  /// Null where nobody measured the setting on this trace.
  const MeasuredSetting* find(const Settings& settings) const;
  /// What `reattend tune` found of the setting on this trace, as it is under what is verified now; null where it has
  /// not tried the setting, or under another law or calibration.
  const Metrics* tuned(const Settings& settings) const;
  /// Changes with what tuned() gives.
  uint64_t tuned_version() const { return tuned_version_; }

 private:
  void judge_tuned(const TuneResult& now);

  BackgroundTasks& tasks_;
  const int kind_;
  std::shared_ptr<Replayer> replayer_;  ///< the queue's
  bool wanted_ = false;
  std::shared_ptr<const TraceFiles> files_ = std::make_shared<const TraceFiles>();
  uint64_t version_ = 0, tuned_version_ = 0;
  std::shared_ptr<const TuneResult> judged_under_;  ///< of tuned_
  std::unordered_map<std::string, Metrics> tuned_;  ///< by policy_entry()
  /// Guarded by tasks_; shared with its task.
  std::shared_ptr<std::shared_ptr<const TraceFiles>> found_ = std::make_shared<std::shared_ptr<const TraceFiles>>();
};

}  // namespace reattend::viz
