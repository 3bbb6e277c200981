// Ratios of measured to predicted, and the file they come from.
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
bool is_same(const VerifiedPoint& a, const VerifiedPoint& b) {
  if (a.settings != b.settings || a.trace != b.trace) return false;
  return !a.trace.empty() || (a.measured.kl == b.measured.kl && a.estimates == b.estimates);
}

std::vector<VerifiedPoint> distinct(const std::vector<VerifiedPoint>& points) {
  std::vector<VerifiedPoint> out;
  for (const VerifiedPoint& point : points) {
    const bool seen =
        std::any_of(out.begin(), out.end(), [&](const VerifiedPoint& other) { return is_same(point, other); });
    if (!seen) out.push_back(point);
  }
  return out;
}

}  // namespace

nlohmann::json to_json(const VerifiedPoint& point) {
  nlohmann::json values = nlohmann::json::object();
  for (const auto& [name, value] : point.estimates) {
    if (std::isfinite(value)) values[name] = value;
  }
  return {{"settings", point.settings.to_json()},
          {"summary", point.settings.summary()},
          {"estimates", values},
          {"kl", point.measured.kl},
          {"agreement", point.measured.agreement},
          {"predicted_ms", point.predicted_ms},
          {"ms", or_zero(point.measured.ms)},
          {"predicted_full_ms", point.predicted_full_ms},
          {"full_ms", or_zero(point.measured.full_ms)},
          {"trace", point.trace},
          {"model_sha256", point.model_sha256}};
}

VerifiedPoint read_verified(const std::filesystem::path& path) {
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
  VerifiedPoint out;
  try {
    const nlohmann::json& point = json.at("verified");
    out.settings = Settings::from_json(point.at("settings"), where);
    out.estimates = point.at("estimates").get<std::map<std::string, double>>();
    out.measured = {
        .kl = point.at("kl"), .agreement = point.at("agreement"), .ms = point.at("ms"), .full_ms = point.at("full_ms")};
    out.predicted_ms = point.at("predicted_ms"), out.predicted_full_ms = point.at("predicted_full_ms");
    out.trace = point.value("trace", ""), out.model_sha256 = point.value("model_sha256", "");
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

Correction correction_from(const std::vector<VerifiedPoint>& all, const std::string& estimate, const KlCurve& curve) {
  const std::vector<VerifiedPoint> points = distinct(all);
  Correction out = {.n = static_cast<int64_t>(points.size())};
  std::vector<double> times, full_times;
  double sum = 0, n = 0;
  for (const VerifiedPoint& point : points) {
    const Score& found = point.measured;
    if (found.ms > 0 && point.predicted_ms > 0) times.push_back(found.ms / point.predicted_ms);
    if (found.full_ms > 0 && point.predicted_full_ms > 0) full_times.push_back(found.full_ms / point.predicted_full_ms);
    const auto named = point.estimates.find(estimate);
    const double curve_kl = named == point.estimates.end() ? 0 : curve.at(named->second);
    if (curve.exists() && found.kl > 0 && curve_kl > 0) sum += std::log(found.kl / curve_kl), ++n;
  }
  out.n_timed = static_cast<int64_t>(times.size());
  if (!times.empty()) out.ms = median(times);
  if (!full_times.empty()) out.full_ms = median(full_times);
  if (n > 0) out.kl = std::exp(sum / n);
  return out;
}

std::string to_text(const Correction& correction) {
  if (correction.n == 0) return {};
  std::string text = fmt::format("corrected by {} verified setting{}: ", correction.n, correction.n == 1 ? "" : "s");
  if (correction.n_timed > 0) {
    text += fmt::format("predicted times x {:.2f} (full attention's x {:.2f}), ", correction.ms, correction.full_ms);
  }
  return text + fmt::format("KL x {:.2f}", correction.kl);
}

}  // namespace reattend
