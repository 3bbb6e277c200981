// Shows a tuner's result as lines for a terminal and as JSON.
#include "cli/reports/tune.h"

#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/json_number.h"
#include "cli/reports/replay.h"
#include "cli/reports/tune_tables.h"
#include "cli/reports/tune_words.h"
#include "replay/estimates.h"
#include "tune/by_policy.h"
#include "tune/metrics_json.h"

namespace reattend::cli {
namespace {

nlohmann::json to_json(const TunedTrace& trace) {
  return {{"trace", trace.info.path.string()},
          {"n_prompt", trace.info.n_prompt},
          {"n_step", trace.info.n_step},
          {"full_cost", json_number(trace.full_cost)}};
}

nlohmann::json to_json(const HeldOutTrace& held, const TuneResult& tuned) {
  nlohmann::json json = to_json(static_cast<const TunedTrace&>(held));
  json.update(reattend::to_json(held.metrics));
  const Gap gap = gap_of(held, tuned);
  json["gap"] = {
      {"of", gap.of}, {"to_worst_tuned_on", json_number(gap.to_tuned)}, {"to_bound", json_number(gap.to_bound)}};
  const std::optional<bool> keeps = keeps_bounds(held, tuned);
  json["keeps_bounds"] = keeps ? nlohmann::json(*keeps) : nlohmann::json(nullptr);
  if (held.metrics.measured) json["keeps_max_kl"] = held.metrics.measured->kl <= tuned.bounds.max_kl;
  return json;
}

nlohmann::json to_json(const PolicyBest& best, const TuneResult& tuned) {
  nlohmann::json json = {{"policy", best.policy->name},
                         {"n_tried", best.n_tried},
                         {"n_all_layers", best.n_whole},
                         {"n_within_bounds", best.n_within},
                         {"best", nullptr}};
  if (best.candidate) json["best"] = cli::to_json(tuned.candidates[*best.candidate]);
  return json;
}

/// Whether the table of each policy's best shows all that was measured.
bool bests_show_all_measured(const TuneResult& tuned) {
  if (tuned.policies.size() < 2) return false;
  std::set<size_t> bests;
  for (const PolicyBest& best : best_of_policies(tuned)) {
    if (best.candidate) bests.insert(*best.candidate);
  }
  for (size_t i = 0; i < tuned.candidates.size(); ++i) {
    if (tuned.candidates[i].measured && !bests.contains(i)) return false;
  }
  return true;
}

}  // namespace

nlohmann::json to_json(const Candidate& candidate) {
  nlohmann::json json = to_json(static_cast<const Metrics&>(candidate));
  json["settings"] = candidate.settings.to_json();
  json["summary"] = candidate.settings.summary();
  if (candidate.schedule > 0) json["schedule"] = candidate.schedule;
  json["all_layers"] = candidate.whole;
  json["within_bounds"] = candidate.within_bounds;
  json["on_front"] = candidate.on_front;
  if (candidate.traces.size() < 2) return json;
  for (const Metrics& each : candidate.traces) json["traces"].push_back(to_json(each));
  return json;
}

nlohmann::json to_json(const TuneResult& tuned) {
  nlohmann::json points = nlohmann::json::array(), traces = points, held_out = points, policies = points;
  for (const Candidate& candidate : tuned.candidates) points.push_back(to_json(candidate));
  for (const TunedTrace& trace : tuned.traces) traces.push_back(to_json(trace));
  for (const HeldOutTrace& held : tuned.held_out) held_out.push_back(to_json(held, tuned));
  for (const PolicyBest& best : best_of_policies(tuned)) policies.push_back(to_json(best, tuned));
  nlohmann::json json = traces.front();
  json.update({{"traces", traces},
               {"cost_unit", tuned.calibrated ? "ms per token" : "MB per token"},
               {"full_cost", json_number(tuned.full_cost)},
               {"bounds",
                {{"max_output_error", json_number(tuned.bounds.max_output_error)},
                 {"max_lost_mass", json_number(tuned.bounds.max_lost_mass)},
                 {"max_kl", tuned.bounds.max_kl},
                 {"min_agreement", json_number(tuned.bounds.min_agreement)},
                 {"max_ms", json_number(tuned.bounds.max_ms)}}},
               {"correction",
                {{"ms", tuned.prediction.correction.ms},
                 {"full_ms", tuned.prediction.correction.full_ms},
                 {"kl", tuned.prediction.correction.kl}}},
               {"estimate", tuned.prediction.estimate},
               {"estimate_evidence", prediction_in_words(tuned.prediction)},
               {"chosen", to_json(tuned.best())},
               {"reason", reason_in_words(tuned)},
               {"points", points},
               {"policies", policies},
               {"held_out", held_out}});
  if (tuned.policies.size() > 1) json["policies_in_words"] = policies_in_words(tuned);
  return json;
}

std::string to_text(const TuneResult& tuned) {
  const bool several = tuned.traces.size() > 1;
  std::string text;
  for (const TunedTrace& trace : tuned.traces) text += trace_line(trace.info);
  text += fmt::format("full attention: {:.2f} {} per token (predicted{})\n\n", tuned.full_cost,
                      tuned.calibrated ? "ms" : "MB", several ? ", mean" : "");
  text += to_text(front_table(tuned, Names::brief, false));
  if (any_measured(tuned) && !bests_show_all_measured(tuned))
    text += "\n" + to_text(measured_table(tuned, Names::brief));
  if (tuned.policies.size() > 1) {
    text += "\n" + to_text(policies_table(tuned));
    for (const std::string& line : policies_in_words(tuned)) text += line + "\n";
  }
  text += fmt::format(
      "\nestimate: {} ({}); {}\n", tuned.prediction.estimate, find_estimate(tuned.prediction.estimate)->description,
      tuned.prediction.curve.exists() ? "KL is predicted from it" : "no KL is predicted for this model");
  text += fmt::format("\n* {}\n{}\n", name_of(tuned.best()), reason_in_words(tuned));
  const Table schedule = schedule_table(tuned.best().settings, tuned.traces.front().info);
  if (!schedule.rows.empty()) text += "\n" + to_text(schedule) + "\n";
  if (!tuned.has_values)
    text += fmt::format("{} no values: output errors are unknown, and lost mass alone ranks settings wrongly.\n",
                        several ? "A trace has" : "The trace has");
  if (const std::string warning = time_warning(tuned); !warning.empty()) text += warning + "\n";
  if (several || !tuned.held_out.empty()) text += "\n" + to_text(traces_table(tuned));
  for (const std::string& line : held_out_in_words(tuned)) text += line + "\n";
  return text;
}

}  // namespace reattend::cli
