// Many policies on one continuation: quality of each step, and time in rounds, from forks of one prefill.
#pragma once
#include <cstdint>
#include <vector>

#include "evals/teacher_forced.h"
#include "tune/score.h"

namespace reattend {

struct CompareOptions {
  int32_t repeats = 3;  ///< rounds of timing; 0: none
  bool mass = true;     ///< recovered mass is measured
  ProgressFn progress;
  Cancel cancel;
};

struct ComparedPolicy {
  Settings settings;
  TeacherForced run;
  Score score;  ///< of all its steps; times where a round was finished
};

struct Compared {
  std::vector<ComparedPolicy> policies;  ///< full attention first, then those that were asked for, as far as it got
  bool stopped = false;                  ///< cancelled on the way; what stands here is finished
};

/// Full attention and the policies, each along the reference's tokens. First every one is measured, then all are timed,
/// in rounds.
Compared compare(Backend& backend, const Model& model, const Prefilled& prefilled, const ReferenceRun& full,
                 const std::vector<Settings>& policies, const CompareOptions& options);

/// Steps that one number stands for in a table by generated position: a power of two that makes at most eight.
int32_t bucket_width(int32_t n_step);

}  // namespace reattend
