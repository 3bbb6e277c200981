// What a comparison found, as a table, as JSON, as two kinds of CSV and as a chart.
#pragma once
#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "evals/compare.h"
#include "report/chart.h"

namespace reattend::cli {

struct CompareReport {
  std::string model, device;
  std::string along;  ///< where the continuation comes from
  int threads = 0;
  int32_t n_prompt = 0, n_step = 0, repeats = 0;
  std::string prefill;  ///< how the prompt came about, one line
  Compared compared;
};

/// Two tables: a row for each policy, and KL by generated position.
std::string to_text(const CompareReport& report);
nlohmann::json to_json(const CompareReport& report);
/// A row for each policy.
std::string to_csv(const CompareReport& report);
/// A row for each policy and step.
std::string steps_to_csv(const CompareReport& report);
/// Left: KL along the generated positions. Right: KL against time, or against positions read where nothing was timed.
Chart to_chart(const CompareReport& report);

}  // namespace reattend::cli
