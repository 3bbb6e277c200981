// Draws a tuner's candidates: hollow marks are predicted, filled ones measured.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "cli/reports/tune.h"
#include "cli/reports/tune_tables.h"
#include "policies/layer_schedule.h"
#include "policies/policy.h"
#include "tune/by_policy.h"

namespace reattend::cli {
namespace {

using reattend::to_text;  // of a parameter's value

constexpr double kChartWidth = 960;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// Predicted KL where there is one; otherwise what settings are ranked by.
struct Damage {
  bool is_kl;
  std::string title;
  double of(const Metrics& candidate) const { return is_kl ? candidate.predicted_kl : candidate.estimate; }
};
Damage damage_of(const TuneResult& tuned) {
  if (tuned.prediction.curve.exists()) return {true, "mean KL to full attention, nats"};
  return {false, tuned.prediction.estimate};
}

std::string cost_title(const TuneResult& tuned) {
  const std::string unit = tuned.calibrated ? "ms per token" : "MB per token";
  return tuned.traces.size() > 1 ? unit + ", mean over the traces" : unit;
}

void add(Series& series, double x, double y, const std::string& name = {}) {
  series.x.push_back(x), series.y.push_back(y), series.labels.push_back(name);
}

/// A setting of the policy's sweep with one budget for all layers, in which a threshold decides or none does.
bool is_swept(const Candidate& candidate, const PolicyInfo& policy, bool gated) {
  const LayerSchedule schedule(candidate.settings);
  return &candidate.settings.info() == &policy && candidate.settings.takes("K") && !schedule.by_layer() &&
         schedule.gate(0).has_value() == gated;
}

/// Whether the policy's sweep has settings that differ in that.
bool rest_differs(const TuneResult& tuned, const PolicyInfo& policy) {
  std::set<std::string> rests;
  for (const Candidate& candidate : tuned.candidates) {
    if (&candidate.settings.info() == &policy) rests.insert(rest_of(candidate.settings));
  }
  return rests.size() > 1;
}

/// Mean over the traces.
double budget_of(const Settings& settings, const TuneResult& tuned) {
  double sum = 0;
  for (const TunedTrace& trace : tuned.traces) {
    sum += static_cast<double>(settings.count("K", 0, trace.info.n_prompt));
  }
  return sum / static_cast<double>(tuned.traces.size());
}

/// Lines by name, each in the order of x; names in the order of `rank`, ascending.
class Lines {
 public:
  void add(double rank, const std::string& name, double x, double y) {
    if (std::isfinite(x) && std::isfinite(y)) lines_[{rank, name}][x] = y;
  }
  std::vector<Series> series() const {
    std::vector<Series> out;
    for (const auto& [key, points] : lines_) {
      Series& line = out.emplace_back(
          Series{.name = key.second, .x = {}, .y = {}, .line = true, .points = true, .style = PointStyle::hollow});
      for (const auto& [x, y] : points) line.x.push_back(x), line.y.push_back(y);
    }
    return out;
  }
  size_t size() const { return lines_.size(); }

 private:
  std::map<std::pair<double, std::string>, std::map<double, double>> lines_;
};

double stride_of(const Settings& settings) {
  return static_cast<double>(settings.count_or_never("S", 0).value_or(0));
}

/// Of settings in which a threshold decides the stride that was replayed most often on all layers; 0 where there is
/// none.
double usual_stride(const TuneResult& tuned, const PolicyInfo& policy) {
  std::map<double, int> n;
  for (const Candidate& candidate : tuned.candidates) {
    if (is_swept(candidate, policy, true) && candidate.whole && candidate.settings.takes("S"))
      ++n[stride_of(candidate.settings)];
  }
  const auto most = std::max_element(n.begin(), n.end(), [](auto& a, auto& b) { return a.second < b.second; });
  return most == n.end() ? 0 : most->first;
}

/// What a chart of the sweep says above its panels.
std::string sweep_subtitle(bool gated, bool strides, double usual) {
  if (gated && strides) {
    return fmt::format(
        "At multiples of {:.0f} steps each layer asks whether its query has drifted; a higher "
        "threshold means more full steps. All points are predicted.",
        usual);
  }
  if (gated) return "A higher threshold means that positions are chosen anew more often. All points are predicted.";
  if (strides) {
    return "Every S-th step attends to everything and chooses the K kept positions anew. All points are predicted.";
  }
  return "All points are predicted.";
}

Series points(const std::string& name, PointStyle style) {
  return {.name = name, .x = {}, .y = {}, .line = false, .points = true, .style = style};
}

/// What was measured stands at its measured time, but for another machine's times: predicted ones there and measured
/// ones here have no axis in common.
double shown_time(const TuneResult& tuned, const Candidate& candidate) {
  return tuned.other_machine ? candidate.cost : candidate.measured->ms;
}
bool shows_measured(const TuneResult& tuned, const Candidate& candidate, const Damage& damage) {
  return candidate.measured && damage.is_kl && tuned.calibrated;
}

/// Time against damage: axes, full attention and the bounds.
Chart front_frame(const TuneResult& tuned, const Damage& damage, std::string title, std::string subtitle) {
  Panel panel = {
      .title = std::move(title), .x = {.title = cost_title(tuned)}, .y = {.title = damage.title, .log = true}};
  const std::string unit = tuned.calibrated ? "ms" : "MB";
  panel.marks.push_back({tuned.full_cost, fmt::format("full attention, {:.2f} {}", tuned.full_cost, unit)});
  if (tuned.bounds.max_ms && tuned.calibrated) {
    panel.marks.push_back({*tuned.bounds.max_ms, fmt::format("bound: {} ms", *tuned.bounds.max_ms)});
  }
  if (damage.is_kl) panel.levels.push_back({tuned.bounds.max_kl, fmt::format("bound: KL {}", tuned.bounds.max_kl)});
  return {.title = "Time against damage",
          .subtitle = std::move(subtitle),
          .panels = {std::move(panel)},
          .width = kChartWidth};
}

/// Times a bound on KL: what is farther is of no use, and would take the room of what is.
constexpr double kFarthest = 10;

/// A line for each policy through what none of its own settings beats, so that hundreds of settings stay readable; what
/// is slower than full attention or very far from the bound is left out.
Chart policies_chart(const TuneResult& tuned) {
  const Damage damage = damage_of(tuned);
  Chart chart =
      front_frame(tuned, damage,
                  tuned.traces.size() > 1 ? "each policy's best at every cost, on its worst trace"
                                          : "each policy's best at every cost",
                  "Left is faster, low is closer to full attention. A policy's name stands, where there is room, "
                  "beside its fastest setting "
                  "within the bounds, or the nearest to them." +
                      (damage.is_kl ? fmt::format(" Lines begin at {:.0f} times the bound.", kFarthest) : ""));
  const double farthest = damage.is_kl ? kFarthest * tuned.bounds.max_kl : HUGE_VAL;
  std::vector<Series> lines, measured;
  Series chosen = points("chosen", PointStyle::ring);
  // In the registry's order, so that a policy has one colour in the reports of all texts.
  std::vector<PolicyBest> bests = best_of_policies(tuned);
  std::sort(bests.begin(), bests.end(), [](const PolicyBest& a, const PolicyBest& b) { return a.policy < b.policy; });
  for (const PolicyBest& best : bests) {
    const std::string name(best.policy->name);
    Series line = points(name, PointStyle::hollow), found = points(name, PointStyle::filled);
    line.line = true;
    double least = HUGE_VAL;
    for (size_t i = 0; i < tuned.candidates.size(); ++i) {  // in the order of their cost
      const Candidate& candidate = tuned.candidates[i];
      const double y = damage.of(candidate);
      if (&candidate.settings.info() != best.policy || !candidate.whole || std::isnan(y)) continue;
      const bool is_best = best.candidate == i;
      const bool better = y < least && y <= farthest && candidate.cost <= tuned.full_cost;
      if (better) least = y;
      if (better || is_best) add(line, candidate.cost, y, is_best ? name : "");
      if (i == tuned.chosen) add(chosen, candidate.cost, y);
      if (!shows_measured(tuned, candidate, damage)) continue;
      const double ms = shown_time(tuned, candidate);
      add(found, ms, candidate.measured->kl);
      if (i == tuned.chosen) add(chosen, ms, candidate.measured->kl);
    }
    if (!line.x.empty()) lines.push_back(std::move(line));
    if (!found.x.empty()) measured.push_back(std::move(found));
  }
  std::vector<Series>& series = chart.panels.front().series;
  for (std::vector<Series>* const all : {&lines, &measured}) {
    for (Series& each : *all) series.push_back(std::move(each));
  }
  if (!chosen.x.empty()) series.push_back(std::move(chosen));
  return chart;
}

}  // namespace

Chart front_chart(const TuneResult& tuned) {
  if (tuned.policies.size() > 1) return policies_chart(tuned);
  const Damage damage = damage_of(tuned);
  Series uniform = points("the same in all layers, predicted", PointStyle::hollow),
         by_layer = points("by layer, predicted", PointStyle::hollow), chosen = points("chosen", PointStyle::ring),
         measured =
             points(tuned.other_machine ? "KL measured in the engine" : "measured in the engine", PointStyle::filled);
  Series front = {.name = "nothing is both faster and better", .x = {}, .y = {}};
  Series moved = {.name = "from predicted to measured", .x = {}, .y = {}};
  double least = HUGE_VAL;
  for (size_t i = 0; i < tuned.candidates.size(); ++i) {
    const Candidate& candidate = tuned.candidates[i];
    const double y = damage.of(candidate);
    if (!candidate.whole || std::isnan(y)) continue;
    const bool is_chosen = i == tuned.chosen, best_so_far = y < least;  // in the order of their cost
    least = std::min(least, y);
    if (best_so_far) add(front, candidate.cost, y);
    const bool named = (best_so_far || is_chosen) && candidate.schedule == 0;
    add(candidate.schedule > 0 ? by_layer : uniform, candidate.cost, y, named ? short_name(candidate, tuned) : "");
    if (is_chosen)
      add(chosen, candidate.cost, y, candidate.schedule > 0 ? fmt::format("chosen, #{}", candidate.schedule) : "");
    if (!shows_measured(tuned, candidate, damage)) continue;
    const double ms = shown_time(tuned, candidate);
    add(measured, ms, candidate.measured->kl);
    if (is_chosen) add(chosen, ms, candidate.measured->kl);
    add(moved, candidate.cost, y), add(moved, ms, candidate.measured->kl), add(moved, kNone, kNone);
  }
  Chart chart = front_frame(
      tuned, damage,
      tuned.traces.size() > 1 ? "every setting on its worst trace" : "every setting that was replayed on all layers",
      "Left is faster, low is closer to full attention. S: stride, K: positions kept; behind > "
      "the threshold of the query schedule.");
  for (Series* const each : {&front, &moved, &uniform, &by_layer, &measured, &chosen}) {
    if (!each->x.empty()) chart.panels.front().series.push_back(std::move(*each));
  }
  return chart;
}

Chart sweep_chart(const TuneResult& tuned, const PolicyInfo& policy, bool gated) {
  const Damage damage = damage_of(tuned);
  const double stride = usual_stride(tuned, policy);
  const bool strides = policy.takes("S"), named = rest_differs(tuned, policy);
  Lines by_budget, by_step;
  for (const Candidate& candidate : tuned.candidates) {
    if (!is_swept(candidate, policy, gated)) continue;
    const Settings& settings = candidate.settings;
    const double s = strides ? stride_of(settings) : 0;
    if (strides && (s == 0 || (gated && s != stride))) continue;
    const double step = gated ? *LayerSchedule(settings).gate(0) : s, budget = budget_of(settings, tuned);
    const std::string others = named ? rest_of(settings) : "", rest = others.empty() ? "" : " " + others;
    const std::string name = gated     ? fmt::format("threshold {}", to_text(step))
                             : strides ? fmt::format("S = {}", to_text(settings.get("S")))
                                       : settings.policy();
    if (candidate.whole) by_budget.add(step, name + rest, budget, damage.of(candidate));
    if (gated || strides) {
      by_step.add(budget, fmt::format("K = {}", to_text(settings.get("K"))) + rest, step, candidate.cost);
    } else {
      by_step.add(0, name + rest, budget, candidate.cost);
    }
  }
  const bool scheduled = policy.takes("schedule");
  const std::string of = tuned.policies.size() > 1 ? fmt::format(" of {}", policy.name) : std::string();
  Chart chart = {.title = fmt::format("The sweep{}{}", of,
                                      !scheduled ? ""
                                      : gated    ? ": query schedule"
                                                 : ": fixed schedule"),
                 .subtitle = sweep_subtitle(gated, strides, stride),
                 .panels = {},
                 .width = kChartWidth};
  if (by_budget.size() > 0) {
    Panel panel = {.title = "damage against budget",
                   .x = {.title = "K, positions kept", .log = true},
                   .y = {.title = damage.title, .log = true},
                   .series = by_budget.series()};
    if (damage.is_kl) panel.levels.push_back({tuned.bounds.max_kl, fmt::format("bound: KL {}", tuned.bounds.max_kl)});
    chart.panels.push_back(std::move(panel));
  }
  if (by_step.size() > 0) {
    const char* const title = gated ? "threshold" : strides ? "S, steps between full ones" : "K, positions kept";
    chart.panels.push_back({.title = fmt::format("cost against {}", gated     ? "threshold"
                                                                    : strides ? "stride"
                                                                              : "budget"),
                            .x = {.title = title, .log = !gated},
                            .y = {.title = cost_title(tuned)},
                            .series = by_step.series(),
                            .levels = {{tuned.full_cost, "full attention"}}});
  }
  return chart;
}

}  // namespace reattend::cli
