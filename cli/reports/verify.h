// What `reattend verify` found: predicted beside measured, for people and as JSON.
#pragma once
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "evals/verify.h"

namespace reattend::cli {

std::string to_text(const Verification& found, const std::string& trace);
nlohmann::json to_json(const Verification& found, const std::string& trace);

/// What the replay got right and wrong, a sentence for each of decisions, sets, mass, KL and time.
std::vector<std::string> findings(const Verification& found);

}  // namespace reattend::cli
