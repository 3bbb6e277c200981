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
#include "replay/estimates.h"

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

/// A setting of the sweep with one budget for all layers, in which a threshold decides or none does.
bool is_swept(const Candidate& candidate, const TuneResult& tuned, bool gated) {
  const LayerSchedule schedule(candidate.settings);
  return &candidate.settings.info() == tuned.policy && candidate.settings.takes("K") && !schedule.by_layer() &&
         schedule.gate(0).has_value() == gated;
}

/// Whether the sweep has settings that differ in that.
bool rest_differs(const TuneResult& tuned) {
  std::set<std::string> rests;
  for (const Candidate& candidate : tuned.candidates) {
    if (&candidate.settings.info() == tuned.policy) rests.insert(rest_of(candidate.settings));
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
double usual_stride(const TuneResult& tuned) {
  std::map<double, int> n;
  for (const Candidate& candidate : tuned.candidates) {
    if (is_swept(candidate, tuned, true) && candidate.whole && candidate.settings.takes("S"))
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

}  // namespace

Chart front_chart(const TuneResult& tuned) {
  const Damage damage = damage_of(tuned);
  const auto hollow = [](const char* name) {
    return Series{.name = name, .x = {}, .y = {}, .line = false, .points = true, .style = PointStyle::hollow};
  };
  Series uniform = hollow("the same in all layers, predicted"), by_layer = hollow("by layer, predicted");
  Series front = {.name = "nothing is both faster and better", .x = {}, .y = {}};
  Series measured = {.name = tuned.other_machine ? "KL measured in the engine" : "measured in the engine",
                     .x = {},
                     .y = {},
                     .line = false,
                     .points = true};
  Series moved = {.name = "from predicted to measured", .x = {}, .y = {}};
  Series chosen = hollow("chosen");
  chosen.style = PointStyle::ring;
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
    if (!candidate.measured || !damage.is_kl || !tuned.calibrated) continue;
    // Another machine's predicted times and this one's measured ones have no axis in common.
    const double ms = tuned.other_machine ? candidate.cost : candidate.measured->ms;
    add(measured, ms, candidate.measured->kl);
    if (is_chosen) add(chosen, ms, candidate.measured->kl);
    add(moved, candidate.cost, y), add(moved, ms, candidate.measured->kl), add(moved, kNone, kNone);
  }
  Panel panel = {.title = tuned.traces.size() > 1 ? "every setting on its worst trace"
                                                  : "every setting that was replayed on all layers",
                 .x = {.title = cost_title(tuned)},
                 .y = {.title = damage.title, .log = true}};
  for (Series* const each : {&front, &moved, &uniform, &by_layer, &measured, &chosen}) {
    if (!each->x.empty()) panel.series.push_back(std::move(*each));
  }
  const std::string unit = tuned.calibrated ? "ms" : "MB";
  panel.marks.push_back({tuned.full_cost, fmt::format("full attention, {:.2f} {}", tuned.full_cost, unit)});
  if (tuned.bounds.max_ms && tuned.calibrated) {
    panel.marks.push_back({*tuned.bounds.max_ms, fmt::format("bound: {} ms", *tuned.bounds.max_ms)});
  }
  if (damage.is_kl) panel.levels.push_back({tuned.bounds.max_kl, fmt::format("bound: KL {}", tuned.bounds.max_kl)});
  return {.title = "Time against damage",
          .subtitle =
              "Left is faster, low is closer to full attention. S: stride, K: positions kept; behind > the "
              "threshold of the query schedule.",
          .panels = {std::move(panel)},
          .width = kChartWidth};
}

Chart sweep_chart(const TuneResult& tuned, bool gated) {
  const Damage damage = damage_of(tuned);
  const double stride = usual_stride(tuned);
  const bool strides = tuned.policy->takes("S"), named = rest_differs(tuned);
  Lines by_budget, by_step;
  for (const Candidate& candidate : tuned.candidates) {
    if (!is_swept(candidate, tuned, gated)) continue;
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
  const bool scheduled = tuned.policy->takes("schedule");
  Chart chart = {.title = !scheduled ? "The sweep"
                          : gated    ? "The sweep: query schedule"
                                     : "The sweep: fixed schedule",
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
