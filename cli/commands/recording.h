// One recorded run: prefill, calibration, decoding with a recorder; `record` and `demo` share it.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "cli/options/prompt_cache_option.h"
#include "cli/options/recording_options.h"
#include "engine/generate.h"
#include "engine/text/tokenizer.h"

namespace reattend::cli {

struct RecordingOptions {
  std::filesystem::path path;
  bool force = false;
  Settings settings;
  bool shadow = false;
  StorageOptions storage;  ///< its steps included
  int32_t n_ctx = 0;
  PromptCacheOption prompt_cache;
  BackendOptions device;
  bool values = true;    ///< without them there is no output error to replay
  bool row_sums = true;  ///< of all prompt queries: what h2o needs in a replay
  bool calibration = true;
  std::function<int32_t(int32_t t, std::span<const float> logits)> next_token;
  std::string command_line;
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

}  // namespace reattend::cli
