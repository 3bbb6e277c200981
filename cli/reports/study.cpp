// Figures from the scores in evals/study.h; nothing is computed twice.
#include "cli/reports/study.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/statistics.h"
#include "policies/policy_list.h"
#include "replay/estimates.h"

namespace reattend::cli {
namespace {

using Prompts = std::vector<const StudyPrompt*>;

std::string cell(double x, int digits) {
  return std::isnan(x) ? "-" : fmt::format("{:.{}f}", x, digits);
}

nlohmann::json number(double x) {
  return std::isfinite(x) ? nlohmann::json(x) : nlohmann::json(nullptr);
}

size_t n_measured(const StudyPrompt& prompt) {
  return static_cast<size_t>(std::count_if(prompt.points.begin(), prompt.points.end(),
                                           [](const StudyPoint& p) { return p.measured.has_value(); }));
}

/// |predicted - measured| over all measured points that have both; and how far the largest is.
struct Gap {
  double mean = Score::kNone, most = Score::kNone;
  int64_t n = 0;
};
template <class Difference>
Gap gap_of(const StudyPrompt& prompt, Difference difference) {
  Gap out;
  double sum = 0;
  for (const StudyPoint& point : prompt.points) {
    if (!point.measured) continue;
    const double x = std::abs(difference(point, *point.measured));
    if (!std::isfinite(x)) continue;
    sum += x, out.most = out.n == 0 ? x : std::max(out.most, x), ++out.n;
  }
  if (out.n > 0) out.mean = sum / static_cast<double>(out.n);
  return out;
}

Gap mass_gap(const StudyPrompt& prompt) {
  return gap_of(prompt, [](const StudyPoint& p, const Score& m) { return p.recovered - m.recovered; });
}

std::string prompts_table(const Prompts& prompts) {
  std::string out =
      "| prompt | L | steps | settings | KL, least to most | mass, replay against engine: mean (most) | "
      "ms/token, predicted here and now: mean (most) | from the trace's calibration |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const StudyPrompt* prompt : prompts) {
    double least = HUGE_VAL, most = 0;
    for (const StudyPoint& point : prompt->points) {
      if (point.measured) least = std::min(least, point.measured->kl), most = std::max(most, point.measured->kl);
    }
    const Gap mass = mass_gap(*prompt);
    const auto time = [&](TimesFrom from) {
      const TimeResidual all = time_residuals({prompt}, from).back();
      return all.n == 0 ? "-" : fmt::format("{:.1f} % ({:+.0f} %)", 100 * all.mean, 100 * all.most);
    };
    out += fmt::format("| {} | {} | {} | {} | {:.4f} to {:.3f} | {} ({}) | {} | {} |\n", prompt->name, prompt->n_prompt,
                       prompt->n_step, n_measured(*prompt), most > 0 ? least : 0, most, cell(mass.mean, 4),
                       cell(mass.most, 4), time(TimesFrom::here), time(TimesFrom::trace));
  }
  return out;
}

/// Empty where nothing was timed.
std::string times_table(const Prompts& prompts) {
  const std::vector<TimeResidual> here = time_residuals(prompts, TimesFrom::here),
                                  trace = time_residuals(prompts, TimesFrom::trace);
  if (here.back().n + trace.back().n == 0) return {};
  std::string out =
      "\nPredicted over measured ms/token, less 1. Here and now: from a calibration whose rounds ran between the timed "
      "ones; from the trace: from what was found when it was recorded, so the machine's drift since then is in it.\n\n"
      "| policy | timed | here and now: mean of sizes | mean | worst | at | from the trace: mean of sizes | mean | "
      "worst "
      "|\n|---|---|---|---|---|---|---|---|---|\n";
  const auto percent = [](double x, bool sign) {
    return sign ? fmt::format("{:+.1f} %", 100 * x) : fmt::format("{:.1f} %", 100 * x);
  };
  const auto cells = [&](const TimeResidual* of, bool where) {
    if (of == nullptr || of->n == 0) return std::string(where ? " - | - | - | - |" : " - | - | - |");
    return fmt::format(" {} | {} | {} |{}", percent(of->mean, false), percent(of->bias, true), percent(of->most, true),
                       where ? " " + of->worst + " |" : "");
  };
  // Some prompts may have one of the two alone.
  const std::vector<TimeResidual> rows = time_residuals(prompts, TimesFrom::any);
  for (const TimeResidual& row : rows) {
    const auto in = [&](const std::vector<TimeResidual>& all) {
      const auto at = std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.policy == row.policy; });
      return at == all.end() ? nullptr : &*at;
    };
    out += fmt::format("| {} | {} |{}{}\n", row.policy.empty() ? "**all**" : row.policy, row.n, cells(in(here), true),
                       cells(in(trace), false));
  }
  return out;
}

std::string estimates_table(const Prompts& prompts) {
  std::string out = "| estimate | Spearman, mean |";
  for (const StudyPrompt* prompt : prompts) out += fmt::format(" {} |", prompt->name);
  out += " across prompts | Kendall, mean | KL of its choice / best |\n|---|---|";
  for (size_t i = 0; i < prompts.size(); ++i) out += "---|";
  out += "---|---|---|\n";
  for (const EstimateScore& score : score_estimates(prompts)) {
    out += fmt::format("| {} | **{}** |", estimates()[score.estimate].name, cell(score.mean_spearman(), 3));
    for (const double x : score.spearman) out += fmt::format(" {} |", cell(x, 3));
    out += fmt::format(" {} | {} | {} |\n", cell(score.across, 3), cell(score.mean_kendall(), 3),
                       cell(score.mean_regret(), 2));
  }
  return out;
}

std::string held_out_text(const Prompts& prompts) {
  std::string out;
  for (const HalfJudged& each : held_out(prompts)) {
    out += fmt::format(
        "* Chosen on {}: `{}`; on {}: Spearman {} (worst {}), across {}, KL of its choice {} times the best's.\n",
        fmt::join(each.chosen_on, ", "), estimates()[each.estimate].name, fmt::join(each.judged_on, ", "),
        cell(each.score.mean_spearman(), 3), cell(each.score.worst_spearman(), 3), cell(each.score.across, 3),
        cell(each.score.mean_regret(), 2));
  }
  const std::vector<HalfJudged> all = held_out_all(prompts);
  if (all.size() < 3) return out;
  std::map<size_t, int> times;
  double spearman = 0, across = 0, worst = 1;
  for (const HalfJudged& each : all) {
    ++times[each.estimate];
    spearman += each.score.mean_spearman(), across += each.score.across;
    worst = std::min(worst, each.score.mean_spearman());
  }
  std::vector<std::string> names;
  for (const auto& [estimate, n] : times) names.push_back(fmt::format("`{}` {} times", estimates()[estimate].name, n));
  const auto n = static_cast<double>(all.size());
  out += fmt::format(
      "* Over all {} ways to halve the prompts the choice is {}; held-out Spearman {:.3f} on average (worst half "
      "{:.3f}), "
      "across prompts {:.3f}.\n",
      all.size(), fmt::join(names, ", "), spearman / n, worst, across / n);
  return out;
}

}  // namespace

std::string to_markdown(const Prompts& prompts) {
  std::string out = prompts_table(prompts) + times_table(prompts);
  const bool any = std::any_of(prompts.begin(), prompts.end(), [](const StudyPrompt* p) { return n_measured(*p) > 1; });
  if (!any) return out + "\nFewer than two settings were measured: nothing to correlate.\n";
  out +=
      "\nRank correlation of each estimate with the engine's KL, within each prompt and over all points at once; "
      "`KL of its choice / best`: of the setting it picks under a time budget (three budgets, geometric mean).\n\n";
  out += estimates_table(prompts);
  const std::vector<EstimateScore> scores = score_estimates(prompts);
  const EstimateScore& best = scores.front();
  const KlCurve curve = fit_kl(prompts, best.estimate);
  out += fmt::format("\nBest within prompts: `{}` ({}), mean Spearman {}, worst prompt {}, across prompts {}.",
                     estimates()[best.estimate].name, estimates()[best.estimate].description,
                     cell(best.mean_spearman(), 3), cell(best.worst_spearman(), 3), cell(best.across, 3));
  if (curve.exists()) {
    out += fmt::format(" KL is about {:.3g} x estimate^{:.2f}, two thirds of the points within a factor of {:.2f}.",
                       curve.scale, curve.power, curve.spread);
  }
  return out + "\n\n" + held_out_text(prompts);
}

std::string settings_table(const Prompts& prompts) {
  const size_t best = score_estimates(prompts).front().estimate;
  std::string out = fmt::format(
      "| prompt | setting | {} | lost mass | mass, engine | KL | top-1 | read | ms predicted | from the trace | ms "
      "measured "
      "|\n|---|---|---|---|---|---|---|---|---|---|---|\n",
      estimates()[best].name);
  const auto time = [](double ms) { return ms > 0 ? cell(ms, 2) : std::string("-"); };
  for (const StudyPrompt* prompt : prompts) {
    for (const StudyPoint& point : prompt->points) {
      if (!point.measured) continue;
      const Score& m = *point.measured;
      out += fmt::format("| {} | {} | {} | {} | {} | {:.4f} | {:.3f} | {:.3f} | {} | {} | {} |\n", prompt->name,
                         point.settings.summary(), cell(point.estimates[best], 4), cell(1 - point.recovered, 4),
                         cell(m.recovered, 4), m.kl, m.agreement, point.read, time(point.here_ms),
                         time(point.predicted_ms), time(m.ms));
    }
  }
  return out;
}

nlohmann::json study_to_json(const Prompts& prompts) {
  nlohmann::json all = nlohmann::json::array(), scores = all, halves = all;
  for (const StudyPrompt* prompt : prompts) all.push_back(to_json(*prompt));
  for (const EstimateScore& score : score_estimates(prompts)) {
    nlohmann::json within = nlohmann::json::object();
    for (size_t i = 0; i < prompts.size(); ++i) within[prompts[i]->name] = number(score.spearman[i]);
    scores.push_back({{"estimate", estimates()[score.estimate].name},
                      {"description", estimates()[score.estimate].description},
                      {"spearman", number(score.mean_spearman())},
                      {"spearman_worst", number(score.worst_spearman())},
                      {"spearman_of", within},
                      {"across", number(score.across)},
                      {"kendall", number(score.mean_kendall())},
                      {"regret", number(score.mean_regret())}});
  }
  for (const HalfJudged& each : held_out(prompts)) {
    halves.push_back({{"chosen_on", each.chosen_on},
                      {"judged_on", each.judged_on},
                      {"estimate", estimates()[each.estimate].name},
                      {"spearman", number(each.score.mean_spearman())},
                      {"across", number(each.score.across)},
                      {"regret", number(each.score.mean_regret())}});
  }
  const KlCurve curve = fit_kl(prompts, score_estimates(prompts).front().estimate);
  return {{"prompts", all},
          {"estimates", scores},
          {"held_out", halves},
          {"kl_curve",
           {{"estimate", estimates()[score_estimates(prompts).front().estimate].name},
            {"scale", curve.scale},
            {"power", curve.power},
            {"spread", curve.spread},
            {"n", curve.n}}}};
}

Chart scatter(const Prompts& prompts, const std::vector<size_t>& which) {
  Chart chart = {.title = "Estimates by replay against the engine's KL",
                 .subtitle = fmt::format("{} prompts; a point is a setting, teacher-forced on the recorded tokens",
                                         prompts.size()),
                 .panels = {}};
  const std::vector<EstimateScore> scores = score_estimates(prompts);
  for (const size_t estimate : which) {
    const auto score =
        std::find_if(scores.begin(), scores.end(), [&](const EstimateScore& s) { return s.estimate == estimate; });
    Panel panel = {.title = fmt::format("{}: within {}, across {}", estimates()[estimate].name,
                                        cell(score->mean_spearman(), 2), cell(score->across, 2)),
                   .x = {.title = std::string(estimates()[estimate].name), .log = true},
                   .y = {.title = "mean KL to full attention, nats", .log = true}};
    for (const StudyPrompt* prompt : prompts) {
      Series series = {.name = prompt->name, .x = {}, .y = {}, .line = false, .points = true};
      for (const StudyPoint& point : prompt->points) {
        if (!point.measured || !(point.estimates[estimate] > 0) || !(point.measured->kl > 0)) continue;
        series.x.push_back(point.estimates[estimate]), series.y.push_back(point.measured->kl);
      }
      panel.series.push_back(std::move(series));
    }
    chart.panels.push_back(std::move(panel));
  }
  return chart;
}

Chart predicted_chart(const Prompts& prompts) {
  Panel mass = {
      .title = "recovered mass", .x = {.title = "predicted by replay"}, .y = {.title = "measured in the engine"}};
  Panel time = {.title = "ms/token", .x = {.title = "predicted"}, .y = {.title = "measured"}};
  bool timed = false;
  for (const StudyPrompt* prompt : prompts) {
    Series of_mass = {.name = prompt->name, .x = {}, .y = {}, .line = false, .points = true}, of_time = of_mass;
    for (const StudyPoint& point : prompt->points) {
      if (!point.measured) continue;
      of_mass.x.push_back(point.recovered), of_mass.y.push_back(point.measured->recovered);
      const double predicted = point.here_ms > 0 ? point.here_ms : point.predicted_ms;
      if (predicted <= 0 || point.measured->ms <= 0) continue;
      of_time.x.push_back(predicted), of_time.y.push_back(point.measured->ms), timed = true;
    }
    mass.series.push_back(std::move(of_mass)), time.series.push_back(std::move(of_time));
  }
  Chart chart = {.title = "Predicted by replay and measured in the engine",
                 .subtitle = fmt::format("{} prompts", prompts.size()),
                 .panels = {mass}};
  if (timed) chart.panels.push_back(time);
  return chart;
}

}  // namespace reattend::cli
