// What a study found, as a document, as JSON and as scatter plots.
#pragma once
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "evals/study.h"
#include "report/document.h"

namespace reattend::cli {

/// The prompts; predicted against measured mass and time; every estimate's correlations, regret and held-out score,
/// and in words what was reached; `settings`: also each setting's numbers under the best estimate. `pictures`: files
/// beside the report that the charts are in.
Document study_document(const std::vector<const StudyPrompt*>& prompts, bool settings,
                        const std::vector<Picture>& pictures);
nlohmann::json study_to_json(const std::vector<const StudyPrompt*>& prompts);
/// KL against one estimate, a colour for each prompt; its name in the title.
Chart scatter(const std::vector<const StudyPrompt*>& prompts, const std::vector<size_t>& estimates);
/// Predicted against measured mass, and predicted against measured time where there is some.
Chart predicted_chart(const std::vector<const StudyPrompt*>& prompts);

}  // namespace reattend::cli
