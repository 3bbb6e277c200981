// How long a replay takes to answer each kind of change that a user makes, beside what it should take.
#pragma once
#include <string>
#include <vector>

#include "replay/replay.h"

namespace reattend {

struct ReplayTime {
  std::string change;
  double target_ms = 0;  ///< 0: there is none
  int n = 0;             ///< how often it was timed
  double ms = 0;         ///< median by the clock
  double cpu_ms = 0;     ///< median of the time of all threads
  bool met() const { return target_ms == 0 || ms < target_ms; }
};

struct ReplayTimes {
  int32_t n_layer = 0, n_kv_head = 0, n_prompt = 0, n_step = 0, threads = 0;
  std::vector<ReplayTime> times;
  int64_t memory_limit = 0, held = 0;  ///< bytes: what may be held, what is
  int64_t peak = 0;                    ///< bytes of memory that the process has had at most
  bool stopped = false;                ///< interrupted: what stands here is finished
};

struct ReplayTimesOptions {
  int64_t memory_limit = kReplayMemory;
  int repeats = 5;
  ProgressFn progress;
  Cancel cancel;
};

/// Targets are those of traces of the size of SmolLM2's, 512 steps that end at 8K; others are timed alike.
ReplayTimes time_replay(std::shared_ptr<ReplaySource> source, ThreadPool& pool, const ReplayTimesOptions& options);

}  // namespace reattend
