// Measurements that are compared: each of them once in every round, so that a busy moment of the machine meets all.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/progress.h"

namespace reattend {

/// The one loop of timings that stand beside each other. What is added need not be a timing itself: a calibration, or
/// another program that is timed beside ours, has its place in each round like the rest.
class Rounds {
 public:
  /// What comes next, for a line of progress.
  struct Next {
    const std::string& name;
    int32_t round, n_round;  ///< round counts from 1
    size_t done, total;      ///< runs in all rounds
  };
  using TellFn = std::function<void(const Next&)>;

  /// Runs once in every round, after those that were added before.
  void add(std::string name, std::function<void()> run) { entries_.push_back({std::move(name), std::move(run)}); }
  /// `round_done` is called after each whole round: a cancelled run leaves those before it. Throws Cancelled between
  /// two runs, and whatever a run throws.
  void run(int32_t n_round, const TellFn& tell, const Cancel& cancel, const std::function<void()>& round_done = {});

 private:
  struct Entry {
    std::string name;
    std::function<void()> run;
  };
  std::vector<Entry> entries_;
};

/// A TellFn that reports all runs as one piece of work: `what`, and the name of what runs.
Rounds::TellFn report_rounds(const ProgressFn& progress, const std::string& what);

}  // namespace reattend
