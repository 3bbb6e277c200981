// Shows a verification: the engine beside the replay, in numbers and in sentences.
#include "cli/reports/verify.h"

#include <algorithm>
#include <cmath>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_number.h"
#include "report/table.h"

namespace reattend::cli {
namespace {

const Score& measured(const Verification& v) {
  return v.verified.measured;
}

/// What was predicted, measured and seen running free, downwards.
Table numbers_table(const Verification& v) {
  const auto time = [](double ms) { return ms > 0 ? Cell(ms) : Cell(); };
  return transposed(
      {.columns = {{.key = "of"},
                   {.key = "full steps, %", .digits = 1, .scale = 100},
                   {.key = "positions", .digits = 1},
                   {.key = "recovered mass", .digits = 4},
                   {.key = "KL to full attention", .digits = 4},
                   {.key = "top-1 agreement"},
                   {.key = "ms/token", .digits = 2},
                   {.key = "ms/token, full attention", .digits = 2}},
       .rows = {{std::string("predicted"),
                 v.predicted_full,
                 v.predicted.positions,
                 v.predicted.recovered,
                 {},
                 {},
                 time(v.verified.predicted_ms),
                 time(v.verified.predicted_full_ms)},
                {std::string("measured"), measured(v).full, measured(v).positions, measured(v).recovered,
                 measured(v).kl, measured(v).agreement, time(measured(v).ms), time(measured(v).full_ms)},
                {std::string("running free"), v.free.full, v.free.positions, v.free.mass, {}, {}, {}, {}}}});
}

/// The layer with the least of something.
const LayerCheck& least(const Verification& v, double LayerCheck::*field) {
  return *std::min_element(v.layers.begin(), v.layers.end(),
                           [&](const LayerCheck& a, const LayerCheck& b) { return a.*field < b.*field; });
}

constexpr double kAll = 1 - 1e-9;  // means of ones

/// Whether a step of the policy is ever full: where none was predicted or made, equal decisions say nothing.
bool any_full(const Verification& v) {
  return v.predicted_full > 0 || measured(v).full > 0;
}

std::string decisions_in_words(const Verification& v) {
  if (!any_full(v)) {
    return "Decisions: none to check, for no step of this policy is full; what it chose stands in the sets below.";
  }
  if (std::min(v.predicted_full, measured(v).full) > kAll) {
    return "Decisions: none to check, for every step attends to everything.";
  }
  if (v.decisions_equal > kAll) return "Decisions: right, every step and head was full or partial as predicted.";
  const LayerCheck& bad = least(v, &LayerCheck::decisions_equal);
  return fmt::format(
      "Decisions: {:.1f} % as predicted; {:.1f} % of steps and heads were full where the replay had said {:.1f} %. "
      "Least in layer {} ({:.1f} %).",
      100 * v.decisions_equal, 100 * measured(v).full, 100 * v.predicted_full, bad.layer, 100 * bad.decisions_equal);
}

std::string sets_in_words(const Verification& v) {
  const std::string sizes = fmt::format(" {:.1f} positions a step and head predicted, {:.1f} measured.",
                                        v.predicted.positions, measured(v).positions);
  if (v.identical > kAll) return "Attended sets: right, all of them." + sizes;
  const LayerCheck& bad = least(v, &LayerCheck::jaccard);
  const size_t part = std::max<size_t>(1, v.jaccard_of_step.size() / 4);
  const auto mean = [](std::span<const double> steps) {  // [n]
    double sum = 0;
    for (const double each : steps) sum += each;
    return sum / static_cast<double>(steps.size());
  };
  return fmt::format(
      "Attended sets: mean Jaccard {:.3f} ({:.3f} over the first {} steps, {:.3f} over the last), {:.0f} % identical; "
      "least alike in layer {} ({:.3f}).{}",
      v.jaccard, mean(std::span(v.jaccard_of_step).first(part)), part, mean(std::span(v.jaccard_of_step).last(part)),
      100 * v.identical, bad.layer, bad.jaccard, sizes);
}

std::string mass_in_words(const Verification& v) {
  const double off = v.predicted.recovered - measured(v).recovered;
  return fmt::format("Recovered mass: {:.4f} predicted, {:.4f} measured: {}.", v.predicted.recovered,
                     measured(v).recovered,
                     std::abs(off) <= 1e-3 ? "right within 0.001"
                     : off > 0             ? fmt::format("{:.4f} too hopeful", off)
                                           : fmt::format("{:.4f} too cautious", -off));
}

std::string time_in_words(const Verification& v) {
  if (!(measured(v).ms > 0)) return "Time: not measured.";
  if (v.verified.predicted_ms <= 0) {
    return fmt::format("Time: {:.2f} ms/token (full attention {:.2f}); the trace has no calibration to predict it.",
                       measured(v).ms, measured(v).full_ms);
  }
  const double wrong = v.verified.predicted_ms / measured(v).ms - 1,
               full_wrong = v.verified.predicted_full_ms / measured(v).full_ms - 1;
  return fmt::format(
      "Time: {:.2f} ms/token predicted, {:.2f} measured ({:+.0f} %); full attention {:.2f} and {:.2f} ({:+.0f} %). {}",
      v.verified.predicted_ms, measured(v).ms, 100 * wrong, v.verified.predicted_full_ms, measured(v).full_ms,
      100 * full_wrong, std::abs(wrong) <= 0.1 ? "Right within 10 %." : "Wrong by more than 10 %.");
}

std::string recalibrated_time_in_words(const Verification& v) {
  return fmt::format(
      "Time, recalibrated between the timed runs: {:.2f} ms/token ({:+.0f} %); full attention {:.2f} ({:+.0f} %). {}",
      v.recalibrated_ms, 100 * (v.recalibrated_ms / measured(v).ms - 1), v.recalibrated_full_ms,
      100 * (v.recalibrated_full_ms / measured(v).full_ms - 1),
      v.n_prompt < Calibrator::kFewestTokens
          ? fmt::format("Of a prompt below {} tokens it knows weights and plain reading alone.",
                        Calibrator::kFewestTokens)
          : "What the trace's calibration is off beyond that is the machine, not the model.");
}

}  // namespace

std::vector<std::string> findings(const Verification& v) {
  std::vector<std::string> out = {decisions_in_words(v)};
  if (!v.jaccard_of_step.empty() || v.identical > kAll) out.push_back(sets_in_words(v));
  out.push_back(mass_in_words(v));
  out.push_back(fmt::format(
      "Quality on the recorded tokens: KL {:.4f}, top-1 agreement {:.3f}; the replay knows neither, only estimates.",
      measured(v).kl, measured(v).agreement));
  out.push_back(time_in_words(v));
  if (v.recalibrated_ms > 0 && measured(v).ms > 0) out.push_back(recalibrated_time_in_words(v));
  out.push_back(
      fmt::format("Running free (greedy): the first {} of {} tokens are full attention's own; mass {:.4f}, "
                  "{:.1f} % full.",
                  v.free.n_common, v.free.n_step, v.free.mass, 100 * v.free.full));
  return out;
}

std::string to_text(const Verification& v, const std::string& trace) {
  std::string out =
      fmt::format("{}\n{}: {} tokens of prompt, {} steps\n\n", v.settings.summary(), trace, v.n_prompt, v.n_step);
  out += to_text(numbers_table(v)) + "\n";
  for (const std::string& line : findings(v)) out += line + "\n";
  return out;
}

nlohmann::json to_json(const Verification& v, const std::string& trace) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerCheck& each : v.layers) {
    layers.push_back({{"layer", each.layer},
                      {"decisions_equal", each.decisions_equal},
                      {"jaccard", each.jaccard},
                      {"predicted_mass", json_number(each.predicted_mass)},
                      {"measured_mass", json_number(each.measured_mass)}});
  }
  return {{"trace", trace},
          {"n_prompt", v.n_prompt},
          {"n_step", v.n_step},
          {"settings", v.settings.to_json()},
          {"summary", v.settings.summary()},
          {"decisions_equal", v.decisions_equal},
          {"predicted_full_share", v.predicted_full},
          {"measured_full_share", measured(v).full},
          {"jaccard", v.jaccard},
          {"identical_sets", v.identical},
          {"jaccard_of_step", v.jaccard_of_step},
          {"predicted_mass", json_number(v.predicted.recovered)},
          {"measured_mass", json_number(measured(v).recovered)},
          {"kl", json_number(measured(v).kl)},
          {"kl_p95", json_number(measured(v).kl_p95)},
          {"agreement", json_number(measured(v).agreement)},
          {"layers", layers},
          {"free",
           {{"n_step", v.free.n_step},
            {"n_common", v.free.n_common},
            {"mass", json_number(v.free.mass)},
            {"full_share", v.free.full},
            {"positions", v.free.positions}}},
          {"recalibrated_ms", v.recalibrated_ms},
          {"recalibrated_full_ms", v.recalibrated_full_ms},
          {"findings", findings(v)},
          {"verified", reattend::to_json(v.verified)}};
}

}  // namespace reattend::cli
