// Writes the text of reattend.toml.
#include "traces/export/settings_file.h"

#include <cmath>

#include <fmt/format.h>

#include "base/error.h"

namespace reattend {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += fmt::format("\\{}", c);
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

/// TOML has inf and nan as numbers.
std::string line(const char* key, double value) {
  return std::isfinite(value) ? fmt::format("{} = {:#.6g}\n", key, value)
                              : fmt::format("{} = {}\n", key,
                                            std::isnan(value) ? "nan"
                                            : value > 0       ? "inf"
                                                              : "-inf");
}

}  // namespace

std::string settings_file(const TuneResult& result, const TraceInfo& info) {
  const TunePoint& best = result.best();
  std::string text = "# Written by `reattend tune`; use it with --settings. Only [policy] is read back.\n";
  text += best.settings.to_toml();
  text +=
      fmt::format("\n[evidence]\ntrace = {}\nn_prompt = {}\nn_step = {}\nn_settings = {}\nreason = {}\n",
                  quoted(info.path.string()), info.n_prompt, info.n_step, result.points.size(), quoted(result.reason));
  if (const auto sha = info.attributes.find("model_sha256"); sha != info.attributes.end()) {
    text += fmt::format("model_sha256 = {}\n", quoted(sha->second));
  }
  text += "\n[evidence.predicted]\n";
  if (result.calibrated) {
    text += line("ms_per_token", best.cost) + line("ms_per_token_full", result.full_cost);
  } else {
    text += line("mb_per_token", best.cost) + line("mb_per_token_full", result.full_cost);
  }
  text += line("speed_up", best.speed_up) + line("lost_mass", best.lost) + line("recovered_mass", best.recovered);
  text += line("normalised_mass", best.normalised);
  if (result.has_values) {
    text += line("output_error_mean", best.output_error_mean) + line("output_error_p95", best.output_error_p95);
  }
  text += line("effective_stride", best.effective_stride) + line("positions", best.positions);
  if (!std::isnan(best.estimate)) {
    text += fmt::format("estimate = {}\n", quoted(result.prediction.estimate)) + line("estimate_value", best.estimate);
  }
  if (!std::isnan(best.predicted_kl)) text += line("mean_kl", best.predicted_kl);
  if (best.measured) {
    text += "\n[evidence.measured]\n" + line("mean_kl", best.measured->kl) +
            line("top1_agreement", best.measured->agreement) + line("ms_per_token", best.measured->ms_per_token);
  }
  text += "\n[evidence.bounds]\n";
  const TuneBounds& bounds = result.bounds;
  if (bounds.max_output_error) text += line("max_output_error_p95", *bounds.max_output_error);
  if (bounds.max_lost_mass) text += line("max_lost_mass", *bounds.max_lost_mass);
  if (best.measured || !std::isnan(best.predicted_kl)) text += line("max_mean_kl", bounds.max_kl);
  if (bounds.min_agreement) text += line("min_top1_agreement", *bounds.min_agreement);
  if (bounds.max_ms) text += line("max_ms_per_token", *bounds.max_ms);
  return text;
}

std::string settings_file(const Settings& settings, const ReplaySummary& total, const TraceInfo& info) {
  std::string text =
      "# Written from the window; use it with --settings. Only [policy] is read back.\n" + settings.to_toml();
  text += fmt::format("\n[evidence]\ntrace = {}\nn_prompt = {}\nn_step = {}\n\n[evidence.predicted]\n",
                      quoted(info.path.string()), info.n_prompt, info.n_step);
  if (total.ms_per_token > 0) {
    text += line("ms_per_token", total.ms_per_token) + line("ms_per_token_full", total.ms_per_token_full) +
            line("speed_up", total.ms_per_token_full / total.ms_per_token);
  }
  text += line("lost_mass", total.lost) + line("recovered_mass", total.recovered) +
          line("normalised_mass", total.normalised);
  if (info.has_values) {
    text += line("output_error_mean", total.output_error_mean) + line("output_error_p95", total.output_error_p95);
  }
  return text + line("effective_stride", total.effective_stride) + line("positions", total.positions);
}

}  // namespace reattend
