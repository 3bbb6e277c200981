// Reads verified settings, and takes a correction from their ratios of measured to predicted.
#include "tune/verified.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/statistics.h"

namespace reattend {
namespace {

/// Milliseconds and nats: no step and no text has as many, and a mean with one of them would be nothing else.
constexpr double kMost = 1e6;

/// Where the trace is not known, equal KL and estimates tell.
bool is_same(const VerifiedSetting& a, const VerifiedSetting& b) {
  if (a.settings != b.settings || a.trace != b.trace) return false;
  return !a.trace.empty() || (a.measured.kl == b.measured.kl && a.estimates == b.estimates);
}

std::vector<VerifiedSetting> distinct(const std::vector<VerifiedSetting>& all) {
  std::vector<VerifiedSetting> out;
  for (const VerifiedSetting& verified : all) {
    const bool seen =
        std::any_of(out.begin(), out.end(), [&](const VerifiedSetting& other) { return is_same(verified, other); });
    if (!seen) out.push_back(verified);
  }
  return out;
}

}  // namespace

nlohmann::json to_json(const VerifiedSetting& verified) {
  nlohmann::json values = nlohmann::json::object();
  for (const auto& [name, value] : verified.estimates) {
    if (std::isfinite(value)) values[name] = value;
  }
  return {{"settings", verified.settings.to_json()},
          {"summary", verified.settings.summary()},
          {"estimates", values},
          {"kl", verified.measured.kl},
          {"agreement", verified.measured.agreement},
          {"predicted_ms", verified.predicted_ms},
          {"ms", or_zero(verified.measured.ms)},
          {"predicted_full_ms", verified.predicted_full_ms},
          {"full_ms", or_zero(verified.measured.full_ms)},
          {"trace", verified.trace},
          {"model_sha256", verified.model_sha256}};
}

VerifiedSetting read_verified(const std::filesystem::path& path) {
  const std::string where = "--verified " + path.string();
  Complaint wanted = {.where = where,
                      .expected = "a file that `reattend verify --out` wrote",
                      .got = {},
                      .remedy = "run `reattend verify TRACE --settings FILE --out FILE`"};
  const auto refuse = [&wanted](const std::string& got) {
    wanted.got = got;
    fail(wanted);
  };
  constexpr size_t kMostBytes = 1 << 20;
  const nlohmann::json json = nlohmann::json::parse(read_text(path, wanted, kMostBytes), nullptr, false);
  if (json.is_discarded() || !json.is_object()) refuse("something that is not a JSON object");
  VerifiedSetting out;
  try {
    const nlohmann::json& verified = json.at("verified");
    out.settings = Settings::from_json(verified.at("settings"), where);
    out.estimates = verified.at("estimates").get<std::map<std::string, double>>();
    out.measured = {.kl = verified.at("kl"),
                    .agreement = verified.at("agreement"),
                    .ms = verified.at("ms"),
                    .full_ms = verified.at("full_ms")};
    out.predicted_ms = verified.at("predicted_ms"), out.predicted_full_ms = verified.at("predicted_full_ms");
    out.trace = verified.value("trace", ""), out.model_sha256 = verified.value("model_sha256", "");
  } catch (const nlohmann::json::exception& error) {
    refuse(error.what());
  }
  Score& found = out.measured;
  for (const double x : {found.kl, found.agreement, found.ms, found.full_ms, out.predicted_ms, out.predicted_full_ms}) {
    if (!std::isfinite(x) || x < 0 || x > kMost) refuse(fmt::format("{}, not a number from 0 to {:.0f}", x, kMost));
  }
  if (found.agreement > 1) refuse(fmt::format("an agreement of {}", found.agreement));
  found.ms = from_zero(found.ms), found.full_ms = from_zero(found.full_ms);
  return out;
}

bool is_of_model(const VerifiedSetting& verified, const std::string& model_sha256) {
  return model_sha256.empty() || verified.model_sha256.empty() || model_sha256 == verified.model_sha256;
}

void keep_times_of(VerifiedSetting& verified, std::span<const std::string> fingerprints) {  // [n_trace]
  if (verified.trace.empty() || std::ranges::find(fingerprints, verified.trace) != fingerprints.end()) return;
  verified.predicted_ms = verified.predicted_full_ms = 0;
}

Correction correction_from(const std::vector<VerifiedSetting>& all, const std::string& estimate, const KlCurve& curve) {
  const std::vector<VerifiedSetting> settings = distinct(all);
  Correction out = {.n = static_cast<int64_t>(settings.size())};
  std::vector<double> times, full_times;
  double sum = 0, n = 0;
  for (const VerifiedSetting& verified : settings) {
    const Score& found = verified.measured;
    if (found.ms > 0 && verified.predicted_ms > 0) times.push_back(found.ms / verified.predicted_ms);
    if (found.full_ms > 0 && verified.predicted_full_ms > 0)
      full_times.push_back(found.full_ms / verified.predicted_full_ms);
    const auto named = verified.estimates.find(estimate);
    const double curve_kl = named == verified.estimates.end() ? 0 : curve.at(named->second);
    if (curve.exists() && found.kl > 0 && curve_kl > 0) sum += std::log(found.kl / curve_kl), ++n;
  }
  out.n_timed = static_cast<int64_t>(times.size());
  if (!times.empty()) out.ms = median(times);
  if (!full_times.empty()) out.full_ms = median(full_times);
  if (n > 0) out.kl = std::exp(sum / n);
  return out;
}

}  // namespace reattend
