// Writes the text of reattend.toml.
#include "tune/settings_file.h"

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

std::string trace_lines(const TraceInfo& info) {
  return fmt::format("trace = {}\nn_prompt = {}\nn_step = {}\n", quoted(info.path.string()), info.n_prompt,
                     info.n_step);
}

std::string predicted_lines(const Metrics& of, double full_cost, const TuneResult& result) {
  const char* const unit = result.calibrated ? "ms" : "mb";
  std::string text;
  if (!std::isnan(of.cost)) {
    text += line(fmt::format("{}_per_token", unit).c_str(), of.cost) +
            line(fmt::format("{}_per_token_full", unit).c_str(), full_cost) + line("speed_up", of.speed_up);
  }
  text += line("lost_mass", of.lost) + line("recovered_mass", of.recovered);
  text += line("normalised_mass", of.normalised);
  if (!std::isnan(of.output_error_mean)) {
    text += line("output_error_mean", of.output_error_mean) + line("output_error_p95", of.output_error_p95);
  }
  text += line("effective_stride", of.effective_stride) + line("positions", of.positions);
  if (!std::isnan(of.estimate)) {
    text += fmt::format("estimate = {}\n", quoted(result.prediction.estimate)) + line("estimate_value", of.estimate);
  }
  if (!std::isnan(of.predicted_kl)) text += line("mean_kl", of.predicted_kl);
  return text;
}

std::string measured_lines(const Score& measured) {
  std::string text = line("mean_kl", measured.kl) + line("top1_agreement", measured.agreement);
  if (std::isnan(measured.ms)) return text;
  text += line("ms_per_token", measured.ms);
  return measured.full_ms > 0 ? text + line("ms_per_token_full", measured.full_ms) : text;
}

/// An entry of a list of traces, with the choice's numbers there.
std::string trace_tables(const std::string& list, const TunedTrace& trace, const Metrics& metrics,
                         const TuneResult& result) {
  std::string text = fmt::format("\n[[{}]]\n{}[{}.predicted]\n{}", list, trace_lines(trace.info), list,
                                 predicted_lines(metrics, trace.full_cost, result));
  if (metrics.measured) text += fmt::format("[{}.measured]\n{}", list, measured_lines(*metrics.measured));
  return text;
}

}  // namespace

std::string settings_file(const TuneResult& result, const EvidenceWords& words) {
  const Candidate& best = result.best();
  const TraceInfo& info = result.traces.front().info;
  std::string text = "# Written by `reattend tune`; use it with --settings. Only [policy] is read back.\n";
  text += best.settings.to_toml();
  text += fmt::format("\n[evidence]\n{}n_settings = {}\nreason = {}\n",
                      result.traces.size() == 1 ? trace_lines(info) : std::string(), result.candidates.size(),
                      quoted(words.reason));
  if (const std::string sha = info.attribute("model_sha256"); !sha.empty()) {
    text += fmt::format("model_sha256 = {}\n", quoted(sha));
  }
  text += "\n[evidence.predicted]\n" + predicted_lines(best, result.full_cost, result);
  if (!words.times_from.empty()) text += fmt::format("times_from = {}\n", quoted(words.times_from));
  if (best.measured) text += "\n[evidence.measured]\n" + measured_lines(*best.measured);
  text += "\n[evidence.bounds]\n";
  const TuneBounds& bounds = result.bounds;
  if (bounds.max_output_error) text += line("max_output_error_p95", *bounds.max_output_error);
  if (bounds.max_lost_mass) text += line("max_lost_mass", *bounds.max_lost_mass);
  if (best.measured || !std::isnan(best.predicted_kl)) text += line("max_mean_kl", bounds.max_kl);
  if (bounds.min_agreement) text += line("min_top1_agreement", *bounds.min_agreement);
  if (bounds.max_ms) text += line("max_ms_per_token", *bounds.max_ms);
  for (size_t i = 0; result.traces.size() > 1 && i < result.traces.size(); ++i) {
    const TunedTrace& trace = result.traces[i];
    text += trace_tables("evidence.traces", trace, best.traces[i], result);
  }
  for (const HeldOutTrace& held : result.held_out) {
    const Gap gap = gap_of(held, result);
    text += trace_tables("evidence.held_out", held, held.metrics, result);
    text += fmt::format("[evidence.held_out.gap]\nof = {}\n", quoted(gap.of));
    if (!std::isnan(gap.to_tuned)) text += line("to_worst_tuned_on", gap.to_tuned);
    if (!std::isnan(gap.to_bound)) text += line("to_bound", gap.to_bound);
  }
  return text;
}

std::string settings_file(const Settings& settings, const ReplaySummary& total, const TraceInfo& info) {
  std::string text =
      "# Written from the window; use it with --settings. Only [policy] is read back.\n" + settings.to_toml();
  text += fmt::format("\n[evidence]\n{}\n[evidence.predicted]\n", trace_lines(info));
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
