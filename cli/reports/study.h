// What a study found, as Markdown tables, as JSON and as scatter plots.
#pragma once
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "evals/study.h"
#include "report/chart.h"

namespace reattend::cli {

/// Tables: the prompts; every estimate's correlations, regret and held-out score; predicted against measured mass and
/// time. Says in words what was reached.
std::string to_markdown(const std::vector<const StudyPrompt*>& prompts);
/// The setting by setting figures of every prompt under the best estimate.
std::string settings_table(const std::vector<const StudyPrompt*>& prompts);
nlohmann::json study_to_json(const std::vector<const StudyPrompt*>& prompts);
/// KL against one estimate, a colour for each prompt; its name in the title.
Chart scatter(const std::vector<const StudyPrompt*>& prompts, const std::vector<size_t>& estimates);
/// Predicted against measured mass, and predicted against measured time where there is some.
Chart predicted_chart(const std::vector<const StudyPrompt*>& prompts);

}  // namespace reattend::cli
