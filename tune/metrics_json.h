// A setting's numbers as JSON: what `reattend tune --json` prints and whoever reads it takes.
#pragma once
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "tune/candidate.h"

namespace reattend {

/// The name of a number in JSON and tables; there is one of each that JSON holds.
std::string key_of(double Metrics::*number);
std::string key_of(double Score::*number);

/// Predicted, and measured where it was; null for what is not known. Layers are left out.
nlohmann::json to_json(const Metrics& metrics);
/// nan for null and for what is not there. Throws Error naming `where` for what is no number.
Metrics metrics_from_json(const nlohmann::json& json, const std::string& where);

}  // namespace reattend
