// Two tables of keys, by which numbers are written and read.
#include "tune/metrics_json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_number.h"

namespace reattend {
namespace {

template <class Of>
struct Field {
  std::string_view key;
  double Of::*of;
};
constexpr std::array<Field<Metrics>, 11> kPredicted = {{{"cost", &Metrics::cost},
                                                        {"speed_up", &Metrics::speed_up},
                                                        {"predicted_kl", &Metrics::predicted_kl},
                                                        {"estimate", &Metrics::estimate},
                                                        {"lost", &Metrics::lost},
                                                        {"output_error_mean", &Metrics::output_error_mean},
                                                        {"output_error_p95", &Metrics::output_error_p95},
                                                        {"recovered", &Metrics::recovered},
                                                        {"normalised", &Metrics::normalised},
                                                        {"effective_stride", &Metrics::effective_stride},
                                                        {"positions", &Metrics::positions}}};
constexpr std::array<Field<Score>, 4> kMeasured = {{{"kl", &Score::kl},
                                                    {"agreement", &Score::agreement},
                                                    {"ms_per_token", &Score::ms},
                                                    {"ms_per_token_full", &Score::full_ms}}};
constexpr std::string_view kMeasuredKey = "measured";

double number_in(const nlohmann::json& json, std::string_view key, const std::string& where) {
  const auto at = json.find(key);
  if (at == json.end() || at->is_null()) return std::nan("");
  if (at->is_number()) return at->get<double>();
  fail({.where = where + ": " + std::string(key), .expected = "a number", .got = at->type_name(), .remedy = {}});
}

template <class Of, size_t n>
std::string key_in(const std::array<Field<Of>, n>& fields, double Of::*number) {
  return std::string(std::ranges::find(fields, number, &Field<Of>::of)->key);
}

}  // namespace

std::string key_of(double Metrics::*number) {
  return key_in(kPredicted, number);
}

std::string key_of(double Score::*number) {
  return key_in(kMeasured, number);
}

nlohmann::json to_json(const Metrics& metrics) {
  nlohmann::json json;
  for (const auto& [key, of] : kPredicted) json[key] = json_number(metrics.*of);
  if (!metrics.measured) return json;
  nlohmann::json& measured = json[kMeasuredKey];
  for (const auto& [key, of] : kMeasured) measured[key] = json_number((*metrics.measured).*of);
  if (!(metrics.measured->full_ms > 0)) measured.erase(key_of(&Score::full_ms));
  return json;
}

Metrics metrics_from_json(const nlohmann::json& json, const std::string& where) {
  Metrics out;
  if (!json.is_object()) fail({.where = where, .expected = "an object", .got = json.type_name(), .remedy = {}});
  for (const auto& [key, of] : kPredicted) out.*of = number_in(json, key, where);
  const auto measured = json.find(kMeasuredKey);
  if (measured == json.end() || !measured->is_object()) return out;
  out.measured.emplace();
  for (const auto& [key, of] : kMeasured) (*out.measured).*of = number_in(*measured, key, where);
  return out;
}

}  // namespace reattend
