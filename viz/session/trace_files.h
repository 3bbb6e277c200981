// The files that lie beside a trace with what the engine found on it, by their names.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "replay/replay.h"
#include "tune/tune.h"

namespace reattend::viz {

/// What an engine measured of a setting along the recorded tokens.
struct MeasuredSetting {
  Settings settings;
  Score measured;
  /// What had been predicted by the studies and the trace's calibration alone, before anything was measured; nan where
  /// it is not known.
  double predicted_kl = Score::kNone, predicted_ms = Score::kNone;
  std::string from;  ///< the file's name
};

/// A sweep of `reattend tune --json` on this trace alone.
struct TunedFile {
  std::string estimate;  ///< that its settings were ranked by
  bool calibrated = false;
  double full_cost = 0;
  Correction correction;                             ///< its numbers have it
  std::vector<std::pair<Settings, Metrics>> points;  ///< those that were replayed on all layers
};

/// All that was found beside a trace.
struct TraceFiles {
  std::string fingerprint;
  std::vector<int32_t> tokens;                        ///< [n_prompt + n_step + 1] of the trace
  std::vector<VerifiedSetting> verified;              ///< what predictions are corrected by
  std::vector<std::filesystem::path> verified_files;  ///< parallel
  std::vector<MeasuredSetting>
      measured;  ///< on this very trace; of a setting the last verified one, else a tuner's, else a comparison's
  TunedFile tuned;
  std::vector<std::string> complaints;  ///< a line for each file that could not be used
};

/// TRACE.tune.json, TRACE.tune.html, TRACE.tuned.toml, TRACE.compare.json.
std::filesystem::path tune_json_of(const std::filesystem::path& trace);
std::filesystem::path tune_report_of(const std::filesystem::path& trace);
std::filesystem::path tuned_settings_of(const std::filesystem::path& trace);
std::filesystem::path compare_json_of(const std::filesystem::path& trace);
/// TRACE.verified.N.json: that of the setting if it has been verified on this trace, else the first free one.
std::filesystem::path verified_file_for(const std::filesystem::path& trace, const Settings& settings,
                                        const TraceFiles& known);

/// Reads them; what is damaged, too large, or of another trace or model becomes a complaint. Nothing is found where
/// there is no such trace file. Throws Cancelled.
TraceFiles read_trace_files(const std::filesystem::path& trace, const Cancel& cancel);

}  // namespace reattend::viz
