// What a tuner found: lines for a terminal, JSON, and a report that a colleague can read, use and check.
#pragma once
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "report/document.h"
#include "tune/tune.h"

namespace reattend::cli {

/// The Pareto front, fastest first, the choice with its reason, and where there are several traces or held-out ones the
/// choice on each.
std::string to_text(const TuneResult& tuned);
nlohmann::json to_json(const Candidate& candidate);
nlohmann::json to_json(const TuneResult& tuned);

struct TuneReport {
  const TuneResult& tuned;
  std::string settings_file;
  std::string times_from;             ///< which machine times are predicted for, in words
  bool datasheet = false;             ///< it is known by its data sheet alone, nothing was measured
  std::vector<std::string> verified;  ///< files of `reattend verify` that predictions are corrected by
  std::string version, command_line;
};

/// Names of the charts that it may have.
std::vector<std::string> tune_charts();
Document tune_document(const TuneReport& report);
/// Its end: where numbers come from, what they mean, how it was made.
void add_appendix(Document& document, const TuneReport& report);

/// Cost against predicted damage, with what was measured; the bounds; the choice. Of several policies a line each, of
/// one every setting.
Chart front_chart(const TuneResult& tuned);
/// Damage against budget, and cost against stride or threshold (or budget, where the policy has neither), of the swept
/// settings of a policy in which a threshold decides, or of those in which none does; no panels where none was swept.
Chart sweep_chart(const TuneResult& tuned, const PolicyInfo& policy, bool gated);

}  // namespace reattend::cli
