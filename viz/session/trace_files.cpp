// Tells by the trace's fingerprint whose findings a file holds.
#include "viz/session/trace_files.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json_text.h"
#include "traces/read/fingerprint.h"
#include "tune/metrics_json.h"
#include "tune/prediction.h"

namespace reattend::viz {
namespace {

namespace fs = std::filesystem;

/// More verified settings than anybody makes.
constexpr size_t kMostFiles = 1000;
constexpr int kMostEntries = 100000;  ///< of a folder that are looked through
constexpr size_t kMostBytes = size_t{64} << 20;

fs::path beside(const fs::path& trace, const std::string& ending) {
  return trace.string() + ending;
}

std::string verified_ending(size_t number) {
  return fmt::format(".verified.{}.json", number);
}

/// N of TRACE.verified.N.json; 0 for other names.
size_t number_of(const std::string& name, const std::string& trace) {
  constexpr std::string_view kAfter = ".json";
  const std::string before = trace + ".verified.";
  if (!name.starts_with(before) || !name.ends_with(kAfter) || name.size() <= before.size() + kAfter.size()) return 0;
  const std::string digits = name.substr(before.size(), name.size() - before.size() - kAfter.size());
  constexpr size_t kMostDigits = 6;
  if (digits.size() > kMostDigits || digits.front() == '0' ||
      digits.find_first_not_of("0123456789") != std::string::npos) {
    return 0;
  }
  return std::stoul(digits);
}

/// By their numbers, the oldest first.
std::map<size_t, fs::path> verified_files(const fs::path& trace) {
  std::map<size_t, fs::path> out;
  std::error_code error;
  const fs::path folder = trace.parent_path().empty() ? fs::path(".") : trace.parent_path();
  int n_entry = 0;
  for (fs::directory_iterator at(folder, error), end;
       !error && at != end && out.size() < kMostFiles && ++n_entry <= kMostEntries; at.increment(error)) {
    const size_t number = number_of(at->path().filename().string(), trace.filename().string());
    if (number > 0) out.emplace(number, beside(trace, verified_ending(number)));
  }
  return out;
}

/// In place of what was added of the setting before.
void add_measured(TraceFiles& to, MeasuredSetting measured) {
  std::erase_if(to.measured, [&](const MeasuredSetting& each) { return each.settings == measured.settings; });
  to.measured.push_back(std::move(measured));
}

void read_one_verified(const fs::path& file, const TraceInfo& info, const Prediction& studied, TraceFiles& to) {
  VerifiedSetting verified = read_verified(file);
  const std::string model = info.attribute("model_sha256");
  if (!is_of_model(verified, model)) {
    fail({.where = file.string(),
          .expected = "a setting that was verified on this trace's model",
          .got = fmt::format("one of another model (SHA-256 {}...)", verified.model_sha256.substr(0, 12)),
          .remedy = "remove the file"});
  }
  keep_times_of(verified, {&to.fingerprint, 1});
  if (verified.trace == to.fingerprint) {
    MeasuredSetting measured = {
        .settings = verified.settings, .measured = verified.measured, .from = file.filename().string()};
    const auto estimate = verified.estimates.find(studied.estimate);
    if (estimate != verified.estimates.end()) measured.predicted_kl = studied.kl(estimate->second);
    if (verified.predicted_ms > 0) measured.predicted_ms = verified.predicted_ms;
    add_measured(to, std::move(measured));
  }
  to.verified.push_back(std::move(verified)), to.verified_files.push_back(file);
}

/// The JSON object in a file that one of our programs printed; null where there is no file.
nlohmann::json read_json(const fs::path& file, const std::string& expected) {
  std::error_code error;
  if (!fs::exists(file, error)) return nullptr;
  const Complaint wanted = {
      .where = file.string(), .expected = expected, .got = "something else", .remedy = "remove it, or make it again"};
  nlohmann::json json = nlohmann::json::parse(read_text(file, wanted, kMostBytes), nullptr, false);
  if (!json.is_object()) fail(wanted);
  return json;
}

[[noreturn]] void refuse_other_trace(const fs::path& file) {
  fail({.where = file.string(),
        .expected = "what was found on this trace",
        .got = "what was found on another one, or on several",
        .remedy = "remove it, or make it again"});
}

void read_tuned(const fs::path& file, const Prediction& studied, TraceFiles& to) {
  const nlohmann::json json = read_json(file, "what `reattend tune --json` prints");
  if (json.is_null()) return;
  const nlohmann::json& traces = json.at("traces");
  if (traces.size() != 1 || traces.at(0).value("fingerprint", "") != to.fingerprint) refuse_other_trace(file);
  TunedFile out;
  out.estimate = json.at("estimate"), out.calibrated = json.at("cost_unit") == "ms per token";
  out.full_cost = json.at("full_cost");
  const nlohmann::json& correction = json.at("correction");
  out.correction.ms = correction.at("ms"), out.correction.full_ms = correction.at("full_ms");
  out.correction.kl = correction.at("kl");
  if (!(out.correction.ms > 0) || !(out.correction.full_ms > 0)) {
    fail({.where = file.string(),
          .expected = "corrections above 0",
          .got = json_text(correction),
          .remedy = "remove it"});
  }
  for (const nlohmann::json& point : json.at("points")) {
    if (!point.at("all_layers").get<bool>()) continue;
    const Settings settings = Settings::from_json(point.at("settings"), file.string());
    out.points.emplace_back(settings, metrics_from_json(point, file.string()));
    const Metrics& found = out.points.back().second;
    if (!found.measured) continue;
    MeasuredSetting measured = {.settings = settings, .measured = *found.measured, .from = file.filename().string()};
    if (out.estimate == studied.estimate) measured.predicted_kl = studied.kl(found.estimate);
    if (out.calibrated) measured.predicted_ms = found.cost / out.correction.ms;
    add_measured(to, std::move(measured));
  }
  to.tuned = std::move(out);
}

void read_compared(const fs::path& file, TraceFiles& to) {
  const nlohmann::json json = read_json(file, "what `reattend compare --prompt-trace TRACE --json` prints");
  if (json.is_null()) return;
  if (json.value("fingerprint", "") != to.fingerprint) refuse_other_trace(file);
  const nlohmann::json& policies = json.at("policies");
  const auto number = [](const nlohmann::json& of, const char* key) {
    const nlohmann::json& value = of.at(key);
    return value.is_null() ? Score::kNone : value.get<double>();
  };
  const double full_ms = number(policies.at(0), "ms_per_token");
  for (const nlohmann::json& each : policies) {
    Settings settings = Settings::from_json(each.at("settings"), file.string());
    if (settings.is_full()) continue;
    add_measured(to, {.settings = std::move(settings),
                      .measured = {.kl = number(each, "kl"),
                                   .agreement = number(each, "agreement"),
                                   .ms = number(each, "ms_per_token"),
                                   .full_ms = full_ms},
                      .from = file.filename().string()});
  }
}

/// A complaint of what `read` throws.
template <class Read>
void try_to(TraceFiles& to, const fs::path& file, const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    to.complaints.emplace_back(error.what());
  } catch (const nlohmann::json::exception& error) {
    to.complaints.push_back(
        to_line({file.string(), "what a program of this version prints", error.what(), "remove it, or make it again"}));
  }
}

}  // namespace

fs::path tune_json_of(const fs::path& trace) {
  return beside(trace, ".tune.json");
}

fs::path tune_report_of(const fs::path& trace) {
  return beside(trace, ".tune.html");
}

fs::path tuned_settings_of(const fs::path& trace) {
  return beside(trace, ".tuned.toml");
}

fs::path compare_json_of(const fs::path& trace) {
  return beside(trace, ".compare.json");
}

fs::path verified_file_for(const fs::path& trace, const Settings& settings, const TraceFiles& known) {
  for (size_t i = 0; i < known.verified.size(); ++i) {
    if (known.verified[i].settings == settings && known.verified[i].trace == known.fingerprint)
      return known.verified_files[i];
  }
  std::error_code error;
  size_t number = 1;
  while (number < kMostFiles && fs::exists(beside(trace, verified_ending(number)), error)) ++number;
  return beside(trace, verified_ending(number));
}

TraceFiles read_trace_files(const fs::path& trace, const Cancel& cancel) {
  TraceFiles out;
  std::error_code error;
  if (!fs::is_regular_file(trace, error)) return out;
  const std::shared_ptr<TraceReader> reader = TraceReader::open(trace);
  const TraceInfo& info = reader->info();
  out.tokens = reader->tokens(), out.fingerprint = fingerprint(*reader);
  const Prediction studied = make_prediction(info, {}, {});
  const fs::path compared = compare_json_of(trace), tuned = tune_json_of(trace);
  try_to(out, compared, [&] { read_compared(compared, out); });
  try_to(out, tuned, [&] { read_tuned(tuned, studied, out); });
  for (const auto& [number, file] : verified_files(trace)) {
    cancel.check();
    try_to(out, file, [&] { read_one_verified(file, info, studied, out); });
  }
  return out;
}

}  // namespace reattend::viz
