// Saves a range of a trace's steps as a trace of its own, on the background thread.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "traces/write/edit.h"
#include "viz/session/provider.h"

namespace reattend::viz {

class SliceSaver final : public Provider {
 public:
  SliceSaver(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}
  /// Goes on where the same trace is opened anew; what is being saved does not depend on what is looked at.
  void enter(std::shared_ptr<Replayer> /*replayer*/) override {}
  void update(const Session& session) override;
  bool idle() const override;

  /// An existing target is replaced where `force`, and is otherwise an error. One that is being saved is given up.
  /// Packs with the threads of `pool`, which outlives the queue.
  void save(const std::filesystem::path& source, const std::filesystem::path& target, const TraceSlice& slice,
            bool force, ThreadPool& pool);
  void cancel();
  bool saving() const { return tasks_.waiting_for(kind_); }
  /// How the last one ended: "saved a.h5, 41 steps", or why it failed; empty while it runs, or before.
  const std::string& result() const { return result_; }
  bool failed() const { return failed_; }

 private:
  struct Ended {
    bool failed = false;
    std::string text;
  };
  BackgroundTasks& tasks_;
  const int kind_;
  std::string result_;
  bool failed_ = false;
  std::shared_ptr<Ended> ended_ = std::make_shared<Ended>();  ///< guarded by tasks_; shared with its task
};

/// "trace-100-140.h5" beside a trace.h5.
std::filesystem::path slice_path(const std::filesystem::path& source, Steps steps);

}  // namespace reattend::viz
