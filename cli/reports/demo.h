// What the demo found, as a document (for the terminal and for its report) and as JSON.
#pragma once
#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "report/document.h"
#include "tune/tune.h"

namespace reattend::cli {

struct DemoReport {
  std::string model, text;
  int threads = 0;
  size_t n_prompt = 0;
  int64_t n_step = 0;
  std::string trace, settings_file, picture, report;
  double prefill_seconds = 0;
  double full_ms = 0;  ///< ms/token of full attention on the recorded tokens, without recording
  double free_ms = 0;  ///< of the free run under the chosen settings
  TuneResult tuned;
  std::string full_text, tuned_text;
  std::string no_picture;  ///< why there is none; empty if there is
  double seconds = 0;      ///< of the whole job
};

/// `sweep`: with the Pareto front, which a terminal is spared.
Document demo_document(const DemoReport& report, bool sweep);
nlohmann::json to_json(const DemoReport& report);

}  // namespace reattend::cli
