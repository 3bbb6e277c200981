// What a tuner found, as a report that a colleague can read, use and check.
#pragma once
#include <string>
#include <vector>

#include "report/document.h"
#include "tune/tune.h"

namespace reattend::cli {

struct TuneReport {
  const TuneResult& tuned;
  std::string settings_file;
  std::string times_from;             ///< which machine times are predicted for, in words
  bool on_paper = false;              ///< it was not measured
  std::vector<std::string> verified;  ///< files of `reattend verify` that predictions are corrected by
  std::string version, command_line;
};

/// Names of the figures that it may have.
std::vector<std::string> tune_figures();
Document tune_document(const TuneReport& report);
/// Its end: where numbers come from, what they mean, how it was made.
void add_appendix(Document& document, const TuneReport& report);

/// Cost against predicted damage, with what was measured; the bounds; the choice.
Chart front_chart(const TuneResult& tuned);
/// Damage against budget, and cost against stride or threshold (or budget, where the policy has neither), of the swept
/// settings in which a threshold decides, or of those in which none does; no panels where none was swept.
Chart sweep_chart(const TuneResult& tuned, bool gated);

}  // namespace reattend::cli
