// Shows a study: its tables, its words and its charts, from the scores in evals/study.h.
#include "cli/reports/study.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/json_number.h"
#include "replay/estimates.h"

namespace reattend::cli {
namespace {

using Prompts = std::vector<const StudyPrompt*>;

size_t n_measured(const StudyPrompt& prompt) {
  return static_cast<size_t>(std::count_if(prompt.settings.begin(), prompt.settings.end(),
                                           [](const StudiedSetting& p) { return p.measured.has_value(); }));
}

/// |predicted - measured| over all measured settings that have both; and how far the largest is.
struct Gap {
  double mean = Score::kNone, most = Score::kNone;
  int64_t n = 0;
};
template <class Difference>
Gap gap_of(const StudyPrompt& prompt, Difference difference) {
  Gap out;
  double sum = 0;
  for (const StudiedSetting& studied : prompt.settings) {
    if (!studied.measured) continue;
    const double x = std::abs(difference(studied, *studied.measured));
    if (!std::isfinite(x)) continue;
    sum += x, out.most = out.n == 0 ? x : std::max(out.most, x), ++out.n;
  }
  if (out.n > 0) out.mean = sum / static_cast<double>(out.n);
  return out;
}

Gap mass_gap(const StudyPrompt& prompt) {
  return gap_of(prompt, [](const StudiedSetting& p, const Score& m) { return p.recovered - m.recovered; });
}

TimeResidual residual(const StudyPrompt* prompt, TimesFrom from) {
  return time_residuals({prompt}, from).back();
}

Table prompts_table(const Prompts& prompts) {
  const std::string kl = "KL", mass = "mass, replay against engine",
                    recalibrated = "ms/token, predicted after recalibrating", trace = "from the trace's calibration";
  Table out = {
      .columns = {
          {.key = "prompt", .left = true},
          {.key = "L"},
          {.key = "steps"},
          {.key = "settings"},
          {.key = {}, .title = "least", .digits = 4, .group = kl},
          {.key = {}, .title = "most", .group = kl},
          {.key = {}, .title = "mean", .digits = 4, .group = mass},
          {.key = {}, .title = "most", .digits = 4, .group = mass},
          {.key = {}, .title = "mean", .digits = 1, .group = recalibrated, .scale = 100, .unit = " %"},
          {.key = {}, .title = "most", .digits = 0, .group = recalibrated, .scale = 100, .unit = " %", .sign = true},
          {.key = {}, .title = "mean", .digits = 1, .group = trace, .scale = 100, .unit = " %"},
          {.key = {}, .title = "most", .digits = 0, .group = trace, .scale = 100, .unit = " %", .sign = true}}};
  for (const StudyPrompt* prompt : prompts) {
    double least = Score::kNone, most = least;
    for (const StudiedSetting& studied : prompt->settings) {
      if (studied.measured)
        least = std::fmin(least, studied.measured->kl), most = std::fmax(most, studied.measured->kl);
    }
    const Gap gap = mass_gap(*prompt);
    std::vector<Cell>& row = out.rows.emplace_back(
        std::vector<Cell>{prompt->name, int64_t{prompt->n_prompt}, int64_t{prompt->n_step},
                          static_cast<int64_t>(n_measured(*prompt)), least, most, gap.mean, gap.most});
    for (const TimesFrom from : {TimesFrom::recalibrated, TimesFrom::trace}) {
      const TimeResidual all = residual(prompt, from);
      row.push_back(all.n > 0 ? Cell(all.mean) : Cell()), row.push_back(all.n > 0 ? Cell(all.most) : Cell());
    }
  }
  return out;
}

/// No rows where nothing was timed.
Table times_table(const Prompts& prompts) {
  const std::vector<TimeResidual> recalibrated = time_residuals(prompts, TimesFrom::recalibrated),
                                  trace = time_residuals(prompts, TimesFrom::trace);
  Table out = {.columns = {{.key = "policy", .left = true}, {.key = "timed"}}};
  for (const char* const group : {"recalibrated", "from the trace"}) {
    out.columns.push_back(
        {.key = {}, .title = "mean of sizes", .digits = 1, .group = group, .scale = 100, .unit = " %"});
    for (const char* const title : {"mean", "worst"}) {
      out.columns.push_back(
          {.key = {}, .title = title, .digits = 1, .group = group, .scale = 100, .unit = " %", .sign = true});
    }
    if (out.columns.size() == 5) out.columns.push_back({.key = {}, .title = "at", .left = true, .group = group});
  }
  if (recalibrated.back().n + trace.back().n == 0) return out;
  // Some prompts may have one of the two alone.
  for (const TimeResidual& row : time_residuals(prompts, TimesFrom::any)) {
    const auto in = [&](const std::vector<TimeResidual>& all) {
      const auto at = std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.policy == row.policy; });
      return at == all.end() || at->n == 0 ? nullptr : &*at;
    };
    const TimeResidual* const now = in(recalibrated);
    const TimeResidual* const then = in(trace);
    const auto of = [](const TimeResidual* from, double TimeResidual::*field) {
      return from == nullptr ? Cell() : Cell(from->*field);
    };
    if (row.policy.empty()) out.marked.insert(out.rows.size());
    out.rows.push_back({row.policy.empty() ? "all" : row.policy, row.n, of(now, &TimeResidual::mean),
                        of(now, &TimeResidual::bias), of(now, &TimeResidual::most),
                        now == nullptr ? Cell() : Cell(now->worst), of(then, &TimeResidual::mean),
                        of(then, &TimeResidual::bias), of(then, &TimeResidual::most)});
  }
  return out;
}

Table estimates_table(const Prompts& prompts) {
  Table out = {.columns = {{.key = "estimate", .left = true}, {.key = {}, .title = "Spearman, mean", .strong = true}}};
  for (const StudyPrompt* prompt : prompts) out.columns.push_back({.key = {}, .title = prompt->name});
  out.columns.push_back({.key = {}, .title = "across prompts"});
  out.columns.push_back({.key = {}, .title = "Kendall, mean"});
  out.columns.push_back({.key = {}, .title = "KL of its choice / best", .digits = 2});
  for (const EstimateScore& score : score_estimates(prompts)) {
    std::vector<Cell>& row =
        out.rows.emplace_back(std::vector<Cell>{std::string(estimates()[score.estimate].name), score.mean_spearman()});
    for (const double x : score.spearman) row.emplace_back(x);
    row.insert(row.end(), {score.across, score.mean_kendall(), score.mean_regret()});
  }
  return out;
}

/// The setting by setting numbers of every prompt under an estimate.
Table settings_table(const Prompts& prompts, size_t estimate) {
  Table out = {.columns = {{.key = "prompt", .left = true},
                           {.key = "setting", .left = true},
                           {.key = {}, .title = std::string(estimates()[estimate].name), .digits = 4},
                           {.key = {}, .title = "lost mass", .digits = 4},
                           {.key = {}, .title = "mass, engine", .digits = 4},
                           {.key = {}, .title = "KL", .digits = 4},
                           {.key = {}, .title = "top-1"},
                           {.key = {}, .title = "read"},
                           {.key = {}, .title = "predicted", .digits = 2, .group = "ms/token"},
                           {.key = {}, .title = "from the trace", .digits = 2, .group = "ms/token"},
                           {.key = {}, .title = "measured", .digits = 2, .group = "ms/token"}}};
  const auto time = [](double ms) { return ms > 0 ? Cell(ms) : Cell(); };
  for (const StudyPrompt* prompt : prompts) {
    for (const StudiedSetting& studied : prompt->settings) {
      if (!studied.measured) continue;
      const Score& m = *studied.measured;
      out.rows.push_back({prompt->name, studied.settings.summary(), studied.estimates[estimate], 1 - studied.recovered,
                          m.recovered, m.kl, m.agreement, studied.read, time(studied.recalibrated_ms),
                          time(studied.predicted_ms), time(m.ms)});
    }
  }
  return out;
}

Text best_in_words(const Prompts& prompts, const EstimateScore& best) {
  const KlCurve curve = fit_kl(prompts, best.estimate);
  std::string rest = fmt::format(" ({}), mean Spearman {}, worst prompt {}, across prompts {}.",
                                 estimates()[best.estimate].description, printed(best.mean_spearman(), 3),
                                 printed(best.worst_spearman(), 3), printed(best.across, 3));
  if (curve.exists()) {
    rest += fmt::format(" KL is about {:.3g} x estimate^{:.2f}, two thirds of the points within a factor of {:.2f}.",
                        curve.scale, curve.power, curve.spread);
  }
  return {{"Best within prompts: "}, {std::string(estimates()[best.estimate].name), Style::code}, {rest}};
}

Text half_in_words(const HalfJudged& each) {
  return {{fmt::format("Chosen on {}: ", fmt::join(each.chosen_on, ", "))},
          {std::string(estimates()[each.estimate].name), Style::code},
          {fmt::format("; on {}: Spearman {} (worst {}), across {}, KL of its choice {} times the best's.",
                       fmt::join(each.judged_on, ", "), printed(each.score.mean_spearman(), 3),
                       printed(each.score.worst_spearman(), 3), printed(each.score.across, 3),
                       printed(each.score.mean_regret(), 2))}};
}

List held_out_in_words(const Prompts& prompts) {
  List out;
  for (const HalfJudged& each : held_out(prompts)) out.items.push_back(half_in_words(each));
  const std::vector<HalfJudged> all = held_out_all(prompts);
  if (all.size() < 3) return out;
  std::map<size_t, int> times;
  double spearman = 0, across = 0, worst = 1;
  for (const HalfJudged& each : all) {
    ++times[each.estimate];
    spearman += each.score.mean_spearman(), across += each.score.across;
    worst = std::min(worst, each.score.mean_spearman());
  }
  Text& text =
      out.items.emplace_back(Text{{fmt::format("Over all {} ways to halve the prompts the choice is ", all.size())}});
  for (const auto& [estimate, n] : times) {
    text.push_back({std::string(estimates()[estimate].name), Style::code});
    text.push_back({fmt::format(" {} times, ", n)});
  }
  const auto n = static_cast<double>(all.size());
  text.back().text = text.back().text.substr(0, text.back().text.size() - 2);
  text.push_back({fmt::format("; held-out Spearman {:.3f} on average (worst half {:.3f}), across prompts {:.3f}.",
                              spearman / n, worst, across / n)});
  return out;
}

void add_estimates(Document& out, const Prompts& prompts) {
  out.head("Estimates");
  if (std::none_of(prompts.begin(), prompts.end(), [](const StudyPrompt* p) { return n_measured(*p) > 1; })) {
    out.say("Fewer than two settings were measured: nothing to correlate.");
    return;
  }
  out.say(
      "Rank correlation of each estimate with the engine's KL, within each prompt and over all points at once; the "
      "last column: KL of the setting that it picks under a time budget over the best one's (three budgets, "
      "geometric mean).");
  out.add(estimates_table(prompts));
  out.add(best_in_words(prompts, score_estimates(prompts).front()));
  if (List halves = held_out_in_words(prompts); !halves.items.empty()) out.add(std::move(halves));
}

}  // namespace

Document study_document(const Prompts& prompts, bool settings, const std::vector<Picture>& pictures) {
  Document out = {.title = "How well a replay's estimates rank settings", .blocks = {}};
  out.head("Prompts");
  out.add(prompts_table(prompts));
  if (Table times = times_table(prompts); !times.rows.empty()) {
    out.head("Times");
    out.say(
        "Predicted over measured ms/token, less 1. Recalibrated: from a calibration whose rounds ran between the "
        "timed ones; from the trace: from what was found when it was recorded, so the machine's drift since then "
        "is in it.");
    out.add(std::move(times));
  }
  add_estimates(out, prompts);
  if (settings) {
    out.head("Settings");
    out.add(settings_table(prompts, score_estimates(prompts).front().estimate));
  }
  for (const Picture& picture : pictures) out.add(picture);
  return out;
}

nlohmann::json study_to_json(const Prompts& prompts) {
  nlohmann::json all = nlohmann::json::array(), scores = all, halves = all;
  for (const StudyPrompt* prompt : prompts) all.push_back(to_json(*prompt));
  for (const EstimateScore& score : score_estimates(prompts)) {
    nlohmann::json within = nlohmann::json::object();
    for (size_t i = 0; i < prompts.size(); ++i) within[prompts[i]->name] = json_number(score.spearman[i]);
    scores.push_back({{"estimate", estimates()[score.estimate].name},
                      {"description", estimates()[score.estimate].description},
                      {"spearman", json_number(score.mean_spearman())},
                      {"spearman_worst", json_number(score.worst_spearman())},
                      {"spearman_of", within},
                      {"across", json_number(score.across)},
                      {"kendall", json_number(score.mean_kendall())},
                      {"regret", json_number(score.mean_regret())}});
  }
  for (const HalfJudged& each : held_out(prompts)) {
    halves.push_back({{"chosen_on", each.chosen_on},
                      {"judged_on", each.judged_on},
                      {"estimate", estimates()[each.estimate].name},
                      {"spearman", json_number(each.score.mean_spearman())},
                      {"across", json_number(each.score.across)},
                      {"regret", json_number(each.score.mean_regret())}});
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
                                        printed(score->mean_spearman(), 2), printed(score->across, 2)),
                   .x = {.title = std::string(estimates()[estimate].name), .log = true},
                   .y = {.title = "mean KL to full attention, nats", .log = true}};
    for (const StudyPrompt* prompt : prompts) {
      Series series = {.name = prompt->name, .x = {}, .y = {}, .line = false, .points = true};
      for (const StudiedSetting& studied : prompt->settings) {
        if (!studied.measured || !(studied.estimates[estimate] > 0) || !(studied.measured->kl > 0)) continue;
        series.x.push_back(studied.estimates[estimate]), series.y.push_back(studied.measured->kl);
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
    for (const StudiedSetting& studied : prompt->settings) {
      if (!studied.measured) continue;
      of_mass.x.push_back(studied.recovered), of_mass.y.push_back(studied.measured->recovered);
      const double predicted = studied.recalibrated_ms > 0 ? studied.recalibrated_ms : studied.predicted_ms;
      if (predicted <= 0 || studied.measured->ms <= 0) continue;
      of_time.x.push_back(predicted), of_time.y.push_back(studied.measured->ms), timed = true;
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
