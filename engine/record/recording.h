// Makes one recorded run: prefill, calibration, decoding with a recorder.
#pragma once
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/prompt_cache.h"
#include "engine/text/tokenizer.h"
#include "traces/write/trace_header.h"

namespace reattend {

/// Which of a run's rows and layers its trace has.
struct StoredParts {
  Maps maps = Maps::top;
  int32_t n_map = TraceInfo::kUsualMap;    ///< positions of a row's map where maps are `top`
  int32_t map_bin = TraceInfo::kUsualBin;  ///< positions a bin where they are `binned`
  int32_t measure_every = 1;               ///< rows over everything are computed at every so many steps; 0: at none
  std::vector<int32_t> layers{};           ///< ascending, none with a window; empty: all without one
};

struct RecordingOptions {
  std::filesystem::path path;
  bool force = false;
  Settings settings;
  bool shadow = false;
  StoredParts stored;
  int32_t first_step = 1, last_step = 0;  ///< counted from 1; those before the first count as prompt
  int32_t n_ctx = 0;
  PromptCacheFile prompt_cache;
  BackendOptions device;
  bool values = true;    ///< without them there is no output error to replay
  bool row_sums = true;  ///< of all prompt queries: what h2o needs in a replay
  bool calibration = true;
  NextTokenFn next_token;
  std::string command_line;
  std::span<Observer* const> observers{};  ///< that watch the run beside the recorder
};

struct Recording {
  CachedPrefill prefilled;  ///< untouched by the run, for continuing under other policies; holds the steps that came
                            ///< before the first one recorded as part of its prompt
  Generated run;
  std::string uncalibrated;  ///< what is missing of the calibration that was asked for, and why; empty: nothing
};

/// Throws Error before the prefill when the trace can't be written. A raised `cancel` during decoding ends the run; the
/// trace then holds the finished steps.
Recording record_run(Backend& backend, const Model& model, const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                     const RecordingOptions& options, ThreadPool& pool, const ProgressFn& progress,
                     const Cancel& cancel);

}  // namespace reattend
