// Declares every number of a setting once: its key in JSON, its heading, its digits, and where it is kept.
#include "cli/reports/tune_tables.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "policies/layer_schedule.h"
#include "policies/policy.h"
#include "policies/value_text.h"
#include "report/words.h"
#include "tune/by_policy.h"
#include "tune/metrics_json.h"

namespace reattend::cli {
namespace {

struct Predicted {
  Column column;
  double Metrics::*of;
};
struct Found {
  Column column;
  double Score::*of;
};

const char* unit(const TuneResult& tuned) {
  return tuned.calibrated ? "ms/token" : "MB/token";
}

std::vector<Predicted> predicted_numbers(const std::string& cost) {
  const std::string group = "predicted";
  return {{{.key = key_of(&Metrics::cost), .title = cost, .digits = 2, .group = group}, &Metrics::cost},
          {{.key = key_of(&Metrics::speed_up), .title = "speed-up", .digits = 2, .group = group}, &Metrics::speed_up},
          {{.key = key_of(&Metrics::predicted_kl), .title = "KL", .digits = 4, .group = group}, &Metrics::predicted_kl},
          {{.key = key_of(&Metrics::estimate), .group = group}, &Metrics::estimate},
          {{.key = key_of(&Metrics::lost), .title = "lost mass", .digits = 4, .group = group}, &Metrics::lost},
          {{.key = key_of(&Metrics::output_error_mean), .digits = 4, .group = group, .hidden = true},
           &Metrics::output_error_mean},
          {{.key = key_of(&Metrics::output_error_p95), .digits = 4, .group = group, .hidden = true},
           &Metrics::output_error_p95},
          {{.key = key_of(&Metrics::recovered), .digits = 4, .group = group, .hidden = true}, &Metrics::recovered},
          {{.key = key_of(&Metrics::normalised), .digits = 4, .group = group, .hidden = true}, &Metrics::normalised},
          {{.key = key_of(&Metrics::effective_stride), .title = "stride", .digits = 1, .group = group},
           &Metrics::effective_stride},
          {{.key = key_of(&Metrics::positions), .digits = 0, .group = group}, &Metrics::positions}};
}

std::vector<Found> measured_numbers() {
  const std::string group = "measured";
  return {{{.key = key_of(&Score::kl), .title = "KL", .digits = 4, .group = group, .strong = true}, &Score::kl},
          {{.key = key_of(&Score::agreement),
            .title = "top-1, %",
            .digits = 1,
            .group = group,
            .scale = 100,
            .strong = true},
           &Score::agreement},
          {{.key = key_of(&Score::ms), .title = "ms/token", .digits = 2, .group = group, .strong = true}, &Score::ms}};
}

/// The columns of a setting's numbers, and their cells in the same order.
class Numbers {
 public:
  /// costs_and_damage: without stride and positions; fewest: cost and KL, or the estimate where none is predicted.
  enum class Choose { all, costs_and_damage, fewest };
  Numbers(const TuneResult& tuned, bool with_measured, Choose choose = Choose::all)
      : with_measured_(with_measured && any_measured(tuned)) {
    const bool has_kl = tuned.prediction.curve.exists();
    for (Predicted& each : predicted_numbers(unit(tuned))) {
      const bool unknown = each.of == &Metrics::predicted_kl && !has_kl;
      const bool is_work = each.of == &Metrics::effective_stride || each.of == &Metrics::positions;
      const bool is_more =
          each.of == &Metrics::speed_up || each.of == &Metrics::lost || (has_kl && each.of == &Metrics::estimate);
      if (unknown || each.column.hidden || (is_work && choose != Choose::all) ||
          (is_more && choose == Choose::fewest)) {
        continue;
      }
      predicted_.push_back(std::move(each));
    }
    for (Found& each : measured_numbers()) {
      if (each.of != &Score::ms || !tuned.other_machine) found_.push_back(std::move(each));
    }
  }
  void add_columns(Table& to) const {
    for (const Predicted& each : predicted_) to.columns.push_back(each.column);
    for (const Found& each : found_) {
      if (with_measured_) to.columns.push_back(each.column);
    }
  }
  void add_cells(std::vector<Cell>& row, const Metrics& on) const {
    for (const Predicted& each : predicted_) row.emplace_back(on.*each.of);
    if (!with_measured_) return;
    for (const Found& each : found_) row.push_back(on.measured ? Cell((*on.measured).*each.of) : Cell());
  }

 private:
  bool with_measured_;
  std::vector<Predicted> predicted_;
  std::vector<Found> found_;
};

std::string name_in(const TuneResult& tuned, size_t i, Names names) {
  const Candidate& candidate = tuned.candidates[i];
  if (names == Names::brief) return short_name(candidate, tuned);
  return name_of(candidate) + (i == tuned.chosen ? " (chosen)" : "");
}

std::string over_traces_in_words(const TuneResult& tuned) {
  return tuned.traces.size() > 1 ? ". Costs are means over the traces, everything else is the worst trace's" : "";
}

}  // namespace

std::string short_name(const Candidate& candidate, const TuneResult& tuned) {
  const Settings& settings = candidate.settings;
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() || part.empty() ? "" : " ") + part; };
  if (tuned.policies.size() > 1 || !tuned.swept(settings.info())) add(settings.policy());
  for (const char* const key : {"S", "K"}) {
    if (settings.takes(key) && !settings.is_auto(key)) add(fmt::format("{}={}", key, ends_text(settings.get(key))));
  }
  if (candidate.schedule > 0) {
    add(fmt::format("by layer #{}", candidate.schedule));
  } else if (const std::optional<double> gate = LayerSchedule(settings).gate(0)) {
    add("> " + to_text(*gate));
  }
  add(rest_of(settings));
  return text.empty() ? name_of(candidate) : text;
}

std::string rest_of(const Settings& settings) {
  const std::string rest = settings.summary({"S", "K", "schedule", "threshold"}).substr(settings.policy().size());
  return rest.substr(std::min<size_t>(rest.size(), 1));
}

bool any_measured(const TuneResult& tuned) {
  return std::any_of(tuned.candidates.begin(), tuned.candidates.end(),
                     [](const Candidate& candidate) { return candidate.measured.has_value(); });
}

Table front_table(const TuneResult& tuned, Names names, bool with_measured) {
  const auto n_whole =
      std::count_if(tuned.candidates.begin(), tuned.candidates.end(), [](auto& each) { return each.whole; });
  Table out = {
      .name = "front",
      .title = fmt::format(
          "Pareto front: of {} ({} replayed on all layers) those that no other beats in cost, estimate and "
          "lost mass, and those that were measured; the fastest first{}",
          plural(static_cast<int64_t>(tuned.candidates.size()), "setting"), n_whole, over_traces_in_words(tuned)),
      .columns = {{.key = "setting", .left = true}}};
  // With the policies' names a line has room for fewer.
  const bool short_of_room = names == Names::brief && tuned.policies.size() > 1;
  const Numbers numbers(tuned, with_measured, short_of_room ? Numbers::Choose::costs_and_damage : Numbers::Choose::all);
  numbers.add_columns(out);
  out.columns.push_back(
      {.key = "within_bounds", .title = names == Names::brief ? "in bounds" : "within the bounds, predicted"});
  for (size_t i = 0; i < tuned.candidates.size(); ++i) {
    const Candidate& candidate = tuned.candidates[i];
    if (!candidate.on_front && !candidate.measured && i != tuned.chosen) continue;
    if (i == tuned.chosen) out.marked.insert(out.rows.size());
    std::vector<Cell>& row = out.rows.emplace_back(std::vector<Cell>{name_in(tuned, i, names)});
    numbers.add_cells(row, candidate);
    row.emplace_back(std::string(candidate.within_bounds ? "yes" : "no"));
  }
  return out;
}

Table measured_table(const TuneResult& tuned, Names names) {
  Table out = {.name = "measured",
               .title = "Measured in the engine" + over_traces_in_words(tuned),
               .columns = {{.key = "setting", .left = true},
                           {.key = {}, .title = "output error p95", .group = "predicted"},
                           {.key = {}, .title = "lost mass", .group = "predicted"},
                           {.key = {}, .title = "KL", .digits = 4, .group = "predicted"},
                           {.key = {}, .title = unit(tuned), .digits = 2, .group = "predicted"}}};
  for (const Found& each : measured_numbers()) out.columns.push_back(each.column);
  for (size_t i = 0; i < tuned.candidates.size(); ++i) {
    const Candidate& candidate = tuned.candidates[i];
    if (!candidate.measured) continue;
    if (i == tuned.chosen) out.marked.insert(out.rows.size());
    std::vector<Cell>& row = out.rows.emplace_back(std::vector<Cell>{
        name_in(tuned, i, names), candidate.output_error_p95, candidate.lost, candidate.predicted_kl, candidate.cost});
    for (const Found& each : measured_numbers()) row.emplace_back((*candidate.measured).*each.of);
  }
  return out;
}

Table policies_table(const TuneResult& tuned) {
  Table out = {
      .name = "policies",
      .title = "Each policy's best: its fastest setting within the bounds as predicted, or the nearest to them" +
               over_traces_in_words(tuned),
      .columns = {{.key = "setting", .left = true}}};
  const Numbers numbers(tuned, true, Numbers::Choose::fewest);
  numbers.add_columns(out);
  out.columns.push_back({.key = "n_within", .title = "faster, in bounds"});
  for (const PolicyBest& each : best_of_policies(tuned)) {
    if (each.candidate == tuned.chosen) out.marked.insert(out.rows.size());
    std::vector<Cell>& row = out.rows.emplace_back();
    row.emplace_back(each.candidate ? short_name(tuned.candidates[*each.candidate], tuned)
                                    : std::string(each.policy->name));
    if (each.candidate) numbers.add_cells(row, tuned.candidates[*each.candidate]);
    row.resize(out.columns.size() - 1);
    row.emplace_back(fmt::format("{} of {}", each.n_within, each.n_whole));
  }
  return out;
}

Table traces_table(const TuneResult& tuned) {
  Table out = {.name = "traces",
               .title = "The choice on each trace",
               .columns = {{.key = "trace", .left = true},
                           {.key = "role", .left = true},
                           {.key = "n_prompt", .title = "prompt"},
                           {.key = "full_cost", .title = "full", .digits = 2, .group = "predicted"}}};
  const Numbers numbers(tuned, true, Numbers::Choose::costs_and_damage);
  numbers.add_columns(out);
  const std::vector<std::string> names = trace_names(tuned);
  const auto add = [&](const std::string& name, const TunedTrace& trace, const Metrics& on, const char* role) {
    std::vector<Cell>& row = out.rows.emplace_back(
        std::vector<Cell>{name, std::string(role), int64_t{trace.info.n_prompt}, trace.full_cost});
    numbers.add_cells(row, on);
  };
  const size_t n = tuned.traces.size();
  for (size_t i = 0; i < n; ++i) add(names[i], tuned.traces[i], tuned.best().traces[i], "tuned on");
  for (size_t i = 0; i < tuned.held_out.size(); ++i) {
    add(names[n + i], tuned.held_out[i], tuned.held_out[i].metrics, "held out");
  }
  return out;
}

Table choice_table(const TuneResult& tuned) {
  const Candidate& best = tuned.best();
  const std::optional<Score>& m = best.measured;
  const TuneBounds& bounds = tuned.bounds;
  const auto found = [&](double Score::*of) { return m ? Cell((*m).*of) : Cell(); };
  const auto limit = [&](const char* sign, const std::optional<double>& x, double scale = 1) {
    return x ? Cell(fmt::format("{} {}", sign, *x * scale)) : Cell();
  };
  const bool beside_full = m && m->full_ms > 0, kl_bound = m || !std::isnan(best.predicted_kl);
  Table out = {.name = "choice",
               .title = tuned.traces.size() > 1
                            ? "The choice on all traces: times are means, everything else is the worst trace's"
                            : "The choice",
               .columns = {{.key = "of"},
                           {.key = fmt::format("{} per token", tuned.calibrated ? "ms" : "MB"), .digits = 2},
                           {.key = "full attention", .digits = 2},
                           {.key = "speed-up", .digits = 2},
                           {.key = "mean KL, nats", .digits = 4},
                           {.key = "top-1, %", .digits = 1, .scale = 100},
                           {.key = "lost attention mass", .digits = 4},
                           {.key = "output error, 95th percentile", .digits = 4, .hidden = !tuned.has_values},
                           {.key = "positions attended to", .digits = 0},
                           {.key = "steps per full step", .digits = 1}}};
  out.rows = {{std::string("predicted"),
               best.cost,
               tuned.full_cost,
               best.speed_up,
               best.predicted_kl,
               {},
               best.lost,
               best.output_error_p95,
               best.positions,
               best.effective_stride},
              {std::string("measured"),
               found(&Score::ms),
               beside_full ? Cell(m->full_ms) : Cell(),
               beside_full ? Cell(m->full_ms / m->ms) : Cell(),
               found(&Score::kl),
               found(&Score::agreement),
               {},
               {},
               {},
               {}},
              {std::string("bound"),
               limit("<=", bounds.max_ms),
               {},
               {},
               kl_bound ? limit("<=", bounds.max_kl) : Cell(),
               limit(">=", bounds.min_agreement, 100),
               limit("<=", bounds.max_lost_mass),
               limit("<=", bounds.max_output_error),
               {},
               {}}};
  out = transposed(out);
  out.columns[2].strong = true;
  return out;
}

Table schedule_table(const Settings& settings, const TraceInfo& model) {
  const LayerSchedule schedule(settings);
  const size_t n = schedule.n_layer();
  const bool has_stride = settings.takes("S"), has_budget = settings.takes("K"), has_gate = settings.takes("threshold");
  Table out = {.name = "schedule",
               .title = "What each layer gets; neighbours that get the same share a row",
               .columns = {{.key = "layers", .left = true}}};
  if (has_stride) out.columns.push_back({.key = "S"});
  if (has_budget) out.columns.push_back({.key = "K"});
  if (has_gate) out.columns.push_back({.key = "threshold"});
  const auto row_of = [&](size_t layer) {
    const auto l = static_cast<int>(layer);
    std::vector<Cell> row;
    if (has_stride) row.emplace_back(to_text(*schedule.stride(l)));
    if (has_budget) row.emplace_back(to_text(*schedule.budget(l)));
    const std::optional<double> gate = schedule.gate(l);
    if (has_gate) row.push_back(gate ? Cell(to_text(*gate)) : Cell());
    return row;
  };
  for (size_t first = 0; first < n;) {
    size_t end = first + 1;
    if (!model.acts(static_cast<int32_t>(first))) {
      first = end;
      continue;
    }
    while (end < n && model.acts(static_cast<int32_t>(end)) && row_of(end) == row_of(first)) ++end;
    std::vector<Cell> row = row_of(first);
    row.insert(row.begin(), end - first == 1 ? std::to_string(first) : fmt::format("{}-{}", first, end - 1));
    out.rows.push_back(std::move(row));
    first = end;
  }
  return out;
}

}  // namespace reattend::cli
