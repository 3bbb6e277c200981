// Scores estimates against measured KL, and writes and reads the file of one prompt.
#include "evals/study.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_number.h"
#include "evals/correlation.h"
#include "replay/cost/calibration_file.h"
#include "replay/estimates.h"

namespace reattend {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
/// KL of settings that change next to nothing is rounding; ratios do not look below this.
constexpr double kLeastKl = 1e-5;

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double x : values) sum += x;
  return values.empty() ? kNan : sum / static_cast<double>(values.size());
}

double number_of(const nlohmann::json& json, const char* key) {
  const nlohmann::json& value = json.at(key);
  return value.is_null() ? kNan : value.get<double>();
}

/// A number under its key, or under the one that it had a version ago; 0 where a file has neither.
double read_renamed(const nlohmann::json& json, const char* key, const char* old_key) {
  return json.value(key, json.value(old_key, 0.0));
}

nlohmann::json work_to_json(const CountedWork& work) {
  nlohmann::json out = nlohmann::json::object();
  for (const CountedWorkPart& part : kCountedWork) out[part.name] = work.*part.value;
  return out;
}

/// Estimates and KL of the measured settings of a prompt.
struct Lists {
  std::vector<double> estimate, kl;
};
void append(const StudyPrompt& prompt, size_t estimate, Lists& lists) {
  for (const StudiedSetting& studied : prompt.settings) {
    if (!studied.measured) continue;
    lists.estimate.push_back(studied.estimates[estimate]), lists.kl.push_back(studied.measured->kl);
  }
}

/// What a setting costs beside full attention: predicted time where there is one, otherwise what is read.
double cost(const StudiedSetting& studied, const StudyPrompt& prompt) {
  return prompt.predicted_full_ms > 0 && studied.predicted_ms > 0 ? studied.predicted_ms / prompt.predicted_full_ms
                                                                  : studied.read;
}

double regret_of(const StudyPrompt& prompt, size_t estimate) {
  double cheapest = 1, sum = 0;
  int n = 0;
  for (const StudiedSetting& studied : prompt.settings) {
    if (studied.measured) cheapest = std::min(cheapest, cost(studied, prompt));
  }
  for (const double share : kRegretShares) {
    const double budget = cheapest + share * (1 - cheapest);
    const StudiedSetting* picked = nullptr;
    double best = std::numeric_limits<double>::infinity();
    for (const StudiedSetting& studied : prompt.settings) {
      if (!studied.measured || !(cost(studied, prompt) <= budget) || std::isnan(studied.estimates[estimate])) continue;
      best = std::min(best, studied.measured->kl);
      if (picked == nullptr || studied.estimates[estimate] < picked->estimates[estimate]) picked = &studied;
    }
    if (picked == nullptr) continue;
    sum += std::log(std::max(picked->measured->kl, kLeastKl) / std::max(best, kLeastKl)), ++n;
  }
  return n > 0 ? std::exp(sum / n) : kNan;
}

HalfJudged judge(const std::vector<const StudyPrompt*>& choose, const std::vector<const StudyPrompt*>& others) {
  HalfJudged out{.estimate = score_estimates(choose).front().estimate};
  for (const StudyPrompt* each : choose) out.chosen_on.push_back(each->name);
  for (const StudyPrompt* each : others) out.judged_on.push_back(each->name);
  for (EstimateScore& score : score_estimates(others)) {
    if (score.estimate == out.estimate) out.score = std::move(score);
  }
  return out;
}

}  // namespace

StudiedSetting* StudyPrompt::find(const Settings& wanted) {
  for (StudiedSetting& studied : settings) {
    if (studied.settings == wanted) return &studied;
  }
  return nullptr;
}

nlohmann::json to_json(const StudyPrompt& prompt) {
  nlohmann::json points = nlohmann::json::array();
  for (const StudiedSetting& studied : prompt.settings) {
    nlohmann::json values = nlohmann::json::object();
    for (size_t i = 0; i < studied.estimates.size(); ++i) {
      values[std::string(estimates()[i].name)] = json_number(studied.estimates[i]);
    }
    nlohmann::json json = {{"settings", studied.settings.to_json()},
                           {"summary", studied.settings.summary()},
                           {"estimates", values},
                           {"recovered", json_number(studied.recovered)},
                           {"predicted_ms", studied.predicted_ms},
                           {"recalibrated_ms", studied.recalibrated_ms},
                           {"work", work_to_json(studied.work)},
                           {"read", json_number(studied.read)}};
    if (studied.measured) {
      const Score& m = *studied.measured;
      json["measured"] = {{"kl", json_number(m.kl)},
                          {"kl_p95", json_number(m.kl_p95)},
                          {"agreement", json_number(m.agreement)},
                          {"recovered", json_number(m.recovered)},
                          {"ms", or_zero(m.ms)}};
    }
    points.push_back(std::move(json));
  }
  nlohmann::json out = {{"name", prompt.name},
                        {"trace", prompt.trace},
                        {"n_prompt", prompt.n_prompt},
                        {"n_step", prompt.n_step},
                        {"full_ms", prompt.full_ms},
                        {"predicted_full_ms", prompt.predicted_full_ms},
                        {"recalibrated_full_ms", prompt.recalibrated_full_ms},
                        {"points", points},
                        {"fingerprint", prompt.fingerprint}};
  if (prompt.recalibrated) out["calibration"] = to_json(*prompt.recalibrated);
  return out;
}

StudyPrompt study_prompt_from_json(const nlohmann::json& json, const std::string& where) {
  try {
    StudyPrompt out = {.name = json.at("name"),
                       .trace = json.at("trace"),
                       .fingerprint = json.at("fingerprint"),
                       .n_prompt = json.at("n_prompt"),
                       .n_step = json.at("n_step"),
                       .predicted_full_ms = json.at("predicted_full_ms"),
                       .recalibrated_full_ms = read_renamed(json, "recalibrated_full_ms", "here_full_ms"),
                       .full_ms = json.at("full_ms")};
    if (json.contains("calibration")) out.recalibrated = calibration_from_json(json["calibration"], where);
    for (const nlohmann::json& each : json.at("points")) {
      StudiedSetting studied = {.settings = Settings::from_json(each.at("settings"), where),
                                .recovered = number_of(each, "recovered"),
                                .predicted_ms = each.at("predicted_ms"),
                                .recalibrated_ms = read_renamed(each, "recalibrated_ms", "here_ms"),
                                .read = number_of(each, "read")};
      if (each.contains("work")) {
        for (const CountedWorkPart& part : kCountedWork) studied.work.*part.value = each["work"].value(part.name, 0.0);
      }
      for (const Estimate& estimate : estimates()) {
        const std::string name(estimate.name);
        if (each.at("estimates").contains(name))
          studied.estimates.push_back(number_of(each.at("estimates"), name.c_str()));
      }
      // An older program knew others: to be replayed again.
      if (studied.estimates.size() != estimates().size()) studied.estimates.clear();
      if (each.contains("measured")) {
        const nlohmann::json& m = each.at("measured");
        studied.measured = Score{.kl = number_of(m, "kl"),
                                 .kl_p95 = number_of(m, "kl_p95"),
                                 .agreement = number_of(m, "agreement"),
                                 .recovered = number_of(m, "recovered"),
                                 .ms = from_zero(m.at("ms"))};
      }
      out.settings.push_back(std::move(studied));
    }
    return out;
  } catch (const nlohmann::json::exception& error) {
    fail({.where = where,
          .expected = "what `reattend study` wrote for a prompt",
          .got = error.what(),
          .remedy = "delete the file or choose another folder with --out"});
  }
}

double EstimateScore::mean_spearman() const {
  return mean(spearman);
}
double EstimateScore::worst_spearman() const {
  return spearman.empty() ? kNan : *std::min_element(spearman.begin(), spearman.end());
}
double EstimateScore::mean_kendall() const {
  return mean(kendall);
}
double EstimateScore::mean_regret() const {
  double sum = 0;
  for (const double x : regret) sum += std::log(x);
  return regret.empty() ? kNan : std::exp(sum / static_cast<double>(regret.size()));
}

std::vector<TimeResidual> time_residuals(const std::vector<const StudyPrompt*>& prompts, TimesFrom from) {
  std::vector<TimeResidual> out;
  TimeResidual all;
  const auto add = [](TimeResidual& to, double off, const StudyPrompt& prompt, const std::string& setting) {
    ++to.n, to.mean += std::abs(off), to.bias += off;
    if (std::abs(off) < std::abs(to.most)) return;
    to.most = off, to.worst = fmt::format("{}, {}", setting, prompt.name);
  };
  const auto count = [&](const StudyPrompt& prompt, const Settings& settings, double predicted, double measured) {
    if (!(predicted > 0) || !(measured > 0)) return;
    auto of = std::find_if(out.begin(), out.end(), [&](const auto& each) { return each.policy == settings.policy(); });
    if (of == out.end()) of = out.insert(out.end(), TimeResidual{.policy = settings.policy()});
    add(*of, predicted / measured - 1, prompt, settings.summary());
    add(all, predicted / measured - 1, prompt, settings.summary());
  };
  const auto predicted = [&](double trace, double recalibrated) {
    return from == TimesFrom::trace || (from == TimesFrom::any && !(recalibrated > 0)) ? trace : recalibrated;
  };
  for (const StudyPrompt* prompt : prompts) {
    for (const StudiedSetting& studied : prompt->settings) {
      count(*prompt, studied.settings, predicted(studied.predicted_ms, studied.recalibrated_ms),
            studied.measured ? studied.measured->ms : 0);
    }
    count(*prompt, Settings("full"), predicted(prompt->predicted_full_ms, prompt->recalibrated_full_ms),
          prompt->full_ms);
  }
  out.push_back(all);
  for (TimeResidual& each : out) {
    const auto n = static_cast<double>(std::max<int64_t>(1, each.n));
    each.mean /= n, each.bias /= n;
  }
  return out;
}

std::vector<EstimateScore> score_estimates(const std::vector<const StudyPrompt*>& prompts) {
  std::vector<EstimateScore> scores;
  for (size_t i = 0; i < estimates().size(); ++i) {
    EstimateScore score = {.estimate = i};
    Lists all;
    for (const StudyPrompt* prompt : prompts) {
      Lists one;
      append(*prompt, i, one), append(*prompt, i, all);
      score.spearman.push_back(spearman(one.estimate, one.kl));
      score.kendall.push_back(kendall(one.estimate, one.kl));
      score.regret.push_back(regret_of(*prompt, i));
    }
    score.across = spearman(all.estimate, all.kl);
    scores.push_back(std::move(score));
  }
  const auto key = [](const EstimateScore& s) { return std::isnan(s.mean_spearman()) ? -2 : s.mean_spearman(); };
  std::stable_sort(scores.begin(), scores.end(),
                   [&](const EstimateScore& a, const EstimateScore& b) { return key(a) > key(b); });
  return scores;
}

std::vector<HalfJudged> held_out(const std::vector<const StudyPrompt*>& prompts) {
  if (prompts.size() < 2) return {};
  std::vector<const StudyPrompt*> even, odd;
  for (size_t i = 0; i < prompts.size(); ++i) (i % 2 == 0 ? even : odd).push_back(prompts[i]);
  return {judge(even, odd), judge(odd, even)};
}

std::vector<HalfJudged> held_out_all(const std::vector<const StudyPrompt*>& prompts) {
  const size_t n = prompts.size(), half = n / 2;
  if (n < 2 || n > 10) return {};
  std::vector<HalfJudged> out;
  for (uint32_t mask = 0; mask < (1U << n); ++mask) {
    if (static_cast<size_t>(std::popcount(mask)) != half) continue;
    std::vector<const StudyPrompt*> choose, others;
    for (size_t i = 0; i < n; ++i) ((mask >> i & 1U) != 0 ? choose : others).push_back(prompts[i]);
    out.push_back(judge(choose, others));
  }
  return out;
}

KlCurve fit_kl(const std::vector<const StudyPrompt*>& prompts, size_t estimate) {
  Lists all, logs;
  for (const StudyPrompt* prompt : prompts) append(*prompt, estimate, all);
  for (size_t i = 0; i < all.kl.size(); ++i) {
    if (!(all.estimate[i] > 0) || !(all.kl[i] > kLeastKl)) continue;
    logs.estimate.push_back(std::log(all.estimate[i])), logs.kl.push_back(std::log(all.kl[i]));
  }
  KlCurve out = {.n = static_cast<int64_t>(logs.kl.size())};
  if (!out.exists()) return out;
  const double mx = mean(logs.estimate), my = mean(logs.kl);
  double xx = 0, xy = 0, rest = 0;
  for (size_t i = 0; i < logs.kl.size(); ++i) {
    xx += (logs.estimate[i] - mx) * (logs.estimate[i] - mx), xy += (logs.estimate[i] - mx) * (logs.kl[i] - my);
  }
  out.power = xx > 0 ? xy / xx : 0;
  out.scale = std::exp(my - out.power * mx);
  for (size_t i = 0; i < logs.kl.size(); ++i) {
    const double off = logs.kl[i] - my - out.power * (logs.estimate[i] - mx);
    rest += off * off;
  }
  out.spread = std::exp(std::sqrt(rest / static_cast<double>(out.n - 2)));
  return out;
}

}  // namespace reattend
