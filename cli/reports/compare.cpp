// One list of figures for each policy, written five ways.
#include "cli/reports/compare.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "policies/policy_list.h"

namespace reattend::cli {
namespace {

/// A policy's figures, derived once.
struct Figures {
  std::string name;
  Score score;
  double nll_over_full = 0;
  double share = 0;                            ///< of the context that was read
  double weights = 0, attend = 0, select = 0;  ///< bytes a step
  double ms = StepScore::kNone, speed_up = StepScore::kNone;
  double perplexity_ratio() const { return std::exp(nll_over_full); }
  double tokens_per_second() const { return 1e3 / ms; }
};

std::vector<Settings> settings_of(const CompareReport& report) {
  std::vector<Settings> settings;
  for (const ComparedPolicy& policy : report.compared.policies) settings.push_back(policy.settings);
  return settings;
}

/// "L/8 (375)", or nothing where budgets differ.
std::string common_budget_of(const CompareReport& report) {
  const std::vector<Settings> all = settings_of(report);
  const std::string budget = common_budget(all);
  if (!budget.starts_with("L/")) return budget;
  const auto one = std::find_if(all.begin(), all.end(), [](const Settings& each) { return !each.is_full(); });
  return fmt::format("{} ({})", budget, one->count("K", 0, report.n_prompt));
}

std::vector<Figures> figures_of(const CompareReport& report) {
  const std::vector<ComparedPolicy>& policies = report.compared.policies;
  const std::vector<std::string> names = short_names(settings_of(report));
  const double n_step = report.n_step;
  const double context = report.n_prompt + (n_step + 1) / 2;  // p + 1, mean over the steps
  std::vector<Figures> out;
  for (size_t i = 0; i < policies.size(); ++i) {
    const TeacherForced& run = policies[i].run;
    Figures figures = {.name = names[i],
                       .score = policies[i].score,
                       .weights = static_cast<double>(run.bytes.weights) / n_step,
                       .attend = static_cast<double>(run.bytes.attend) / n_step,
                       .select = static_cast<double>(run.bytes.select) / n_step};
    const Score& full = i == 0 ? figures.score : out.front().score;
    figures.nll_over_full = figures.score.nll - full.nll;
    figures.share = figures.score.positions / context;
    if (policies[i].score.ms > 0) {
      figures.ms = policies[i].score.ms;
      figures.speed_up = policies[i].score.full_ms / figures.ms;
    }
    out.push_back(figures);
  }
  return out;
}

/// Steps of a bucket, 1-based and inclusive, and their place in TeacherForced::steps.
struct Bucket {
  int32_t from, to;
  std::string name() const { return from == to ? std::to_string(from) : fmt::format("{}-{}", from, to); }
  std::span<const StepScore> of(const TeacherForced& run) const {
    return std::span(run.steps).subspan(static_cast<size_t>(from) - 1, static_cast<size_t>(to - from) + 1);
  }
};
std::vector<Bucket> buckets_of(const CompareReport& report) {
  std::vector<Bucket> out;
  const int32_t width = bucket_width(report.n_step);
  for (int32_t from = 1; from <= report.n_step; from += width) {
    out.push_back({from, std::min(from + width - 1, report.n_step)});
  }
  return out;
}

/// Columns as wide as their widest cell, the first one aligned left.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    out += fmt::format("{:<{}}", row.front(), widths.front());
    for (size_t i = 1; i < row.size(); ++i) out += fmt::format("  {:>{}}", row[i], widths[i]);
    out += '\n';
  }
  return out;
}

/// Empty where there is no such figure.
std::string cell(double value, int digits) {
  return std::isnan(value) ? "-" : fmt::format("{:.{}f}", value, digits);
}

/// Small divergences keep their digits.
std::string kl_cell(double value) {
  return value == 0 ? "0" : std::abs(value) < 1e-3 ? fmt::format("{:.1e}", value) : cell(value, 4);
}

std::string csv_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}
std::string csv_number(double value) {
  return std::isnan(value) ? "" : fmt::format("{}", value);
}

}  // namespace

std::string to_text(const CompareReport& report) {
  if (report.compared.policies.empty()) return {};
  const std::vector<Figures> all = figures_of(report);
  const std::string budget = common_budget_of(report);
  std::string out = fmt::format("{}, {} threads: {} tokens of prompt, {} steps along {}{}\n{}\n\n", report.model,
                                report.threads, report.n_prompt, report.n_step, report.along,
                                budget.empty() ? "" : "; K = " + budget, report.prefill);
  std::vector<std::vector<std::string>> rows = {{"policy", "KL", "p95", "max", "top-1", "NLL", "ppl x", "mass",
                                                 "positions", "of all", "MB attend", "MB select", "ms/token", "tok/s",
                                                 "speed-up"}};
  for (const Figures& f : all) {
    rows.push_back({f.name, kl_cell(f.score.kl), kl_cell(f.score.kl_p95), kl_cell(f.score.kl_max),
                    cell(f.score.agreement, 3), cell(f.score.nll, 3), cell(f.perplexity_ratio(), 3),
                    cell(f.score.recovered, 3), cell(f.score.positions, 0), fmt::format("{:.1f} %", 100 * f.share),
                    cell(f.attend / 1e6, 2), cell(f.select / 1e6, 2), cell(f.ms, 2), cell(f.tokens_per_second(), 0),
                    cell(f.speed_up, 2)});
  }
  out += aligned(rows);
  const std::vector<Bucket> buckets = buckets_of(report);
  rows = {{"KL by generated position"}};
  for (const Bucket& bucket : buckets) rows.front().push_back(bucket.name());
  for (size_t i = 1; i < all.size(); ++i) {
    rows.push_back({all[i].name});
    for (const Bucket& bucket : buckets) {
      rows.back().push_back(kl_cell(summarize(bucket.of(report.compared.policies[i].run)).kl));
    }
  }
  if (rows.size() > 1) out += "\n" + aligned(rows);
  return out;
}

nlohmann::json to_json(const CompareReport& report) {
  const std::vector<Figures> all = figures_of(report);
  const std::vector<Bucket> buckets = buckets_of(report);
  nlohmann::json policies = nlohmann::json::array();
  for (size_t i = 0; i < all.size(); ++i) {
    const ComparedPolicy& policy = report.compared.policies[i];
    const TeacherForced& full = report.compared.policies.front().run;
    const Figures& f = all[i];
    nlohmann::json by_bucket = nlohmann::json::array();
    for (const Bucket& bucket : buckets) {
      const Score score = summarize(bucket.of(policy.run));
      by_bucket.push_back({{"from", bucket.from},
                           {"to", bucket.to},
                           {"kl", score.kl},
                           {"agreement", score.agreement},
                           {"nll", score.nll},
                           {"perplexity_ratio", std::exp(score.nll - summarize(bucket.of(full)).nll)},
                           {"recovered", score.recovered}});
    }
    nlohmann::json kl = nlohmann::json::array(), nll = kl, agree = kl, recovered = kl, positions = kl;
    for (const StepScore& step : policy.run.steps) {
      kl.push_back(step.kl), nll.push_back(step.nll), agree.push_back(step.agrees);
      recovered.push_back(step.recovered), positions.push_back(step.positions);
    }
    policies.push_back(
        {{"policy", policy.settings.policy()},
         {"settings", policy.settings.to_json()},
         {"summary", policy.settings.summary()},
         {"kl", f.score.kl},
         {"kl_p95", f.score.kl_p95},
         {"kl_max", f.score.kl_max},
         {"agreement", f.score.agreement},
         {"nll", f.score.nll},
         {"perplexity", std::exp(f.score.nll)},
         {"perplexity_ratio", f.perplexity_ratio()},
         {"recovered", f.score.recovered},
         {"oracle", f.score.oracle},
         {"positions", f.score.positions},
         {"positions_share", f.share},
         {"full_share", f.score.full},
         {"bytes_weights", f.weights},
         {"bytes_attend", f.attend},
         {"bytes_select", f.select},
         {"ms_per_token", f.ms},
         {"tokens_per_s", f.tokens_per_second()},
         {"speed_up", f.speed_up},
         {"by_position", by_bucket},
         {"steps", {{"kl", kl}, {"nll", nll}, {"agree", agree}, {"recovered", recovered}, {"positions", positions}}}});
  }
  return {{"model", report.model},     {"device", report.device},     {"threads", report.threads},
          {"along", report.along},     {"n_prompt", report.n_prompt}, {"n_step", report.n_step},
          {"repeats", report.repeats}, {"policies", policies},        {"stopped", report.compared.stopped}};
}

std::string to_csv(const CompareReport& report) {
  std::string out =
      "policy,settings,n_prompt,n_step,kl,kl_p95,kl_max,agreement,nll,perplexity_ratio,recovered,oracle,positions,"
      "positions_share,full_share,bytes_weights,bytes_attend,bytes_select,ms_per_token,tokens_per_s,speed_up\n";
  const std::vector<Figures> all = figures_of(report);
  for (size_t i = 0; i < all.size(); ++i) {
    const Figures& f = all[i];
    const Settings& settings = report.compared.policies[i].settings;
    out += fmt::format("{},{},{},{}", settings.policy(), csv_text(settings.summary()), report.n_prompt, report.n_step);
    for (const double value : {f.score.kl, f.score.kl_p95, f.score.kl_max, f.score.agreement, f.score.nll,
                               f.perplexity_ratio(), f.score.recovered, f.score.oracle, f.score.positions, f.share,
                               f.score.full, f.weights, f.attend, f.select, f.ms, f.tokens_per_second(), f.speed_up}) {
      out += "," + csv_number(value);
    }
    out += '\n';
  }
  return out;
}

std::string steps_to_csv(const CompareReport& report) {
  std::string out = "policy,settings,step,position,kl,agrees,nll,recovered,oracle,positions,full_share\n";
  for (const ComparedPolicy& policy : report.compared.policies) {
    const std::string name = policy.settings.policy() + "," + csv_text(policy.settings.summary());
    for (size_t i = 0; i < policy.run.steps.size(); ++i) {
      const StepScore& step = policy.run.steps[i];
      out += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", name, i + 1, static_cast<size_t>(report.n_prompt) + i,
                         csv_number(step.kl), step.agrees ? 1 : 0, csv_number(step.nll), csv_number(step.recovered),
                         csv_number(step.oracle), csv_number(step.positions), csv_number(step.full));
    }
  }
  return out;
}

Chart to_chart(const CompareReport& report) {
  const std::vector<Figures> all = figures_of(report);
  const int32_t width = bucket_width(report.n_step);
  const bool timed = !all.empty() && !std::isnan(all.front().ms);
  Panel along = {.title = fmt::format("by generated position, running mean over {} steps", width),
                 .x = {.title = "generated position", .whole = true},
                 .y = {.title = "KL to full attention, nats", .log = true}};
  Panel cost = {.title = timed ? "against time" : "against what is read",
                .x = {.title = timed ? "ms/token" : "positions read per step and KV head"},
                .y = {.title = "mean KL to full attention, nats", .log = true},
                .name_points = true};
  for (size_t i = 1; i < all.size(); ++i) {
    const std::vector<StepScore>& steps = report.compared.policies[i].run.steps;
    Series curve = {.name = all[i].name};
    const auto n = static_cast<int32_t>(steps.size());
    for (int32_t t = 0; t < n; ++t) {
      const int32_t from = std::max(0, t - width / 2), to = std::min(n, t - width / 2 + width);
      curve.x.push_back(t + 1);
      curve.y.push_back(
          summarize(std::span(steps).subspan(static_cast<size_t>(from), static_cast<size_t>(to - from))).kl);
    }
    along.series.push_back(curve);
    cost.series.push_back({.name = all[i].name,
                           .x = {timed ? all[i].ms : all[i].score.positions},
                           .y = {all[i].score.kl},
                           .line = false,
                           .points = true});
  }
  if (timed) cost.marks.push_back({all.front().ms, fmt::format("full, {:.2f} ms", all.front().ms)});
  const std::string budget = common_budget_of(report);
  return {.title = fmt::format("{}: policies beside full attention, context {}{}", report.model, report.n_prompt,
                               budget.empty() ? "" : ", K = " + budget),
          .subtitle = fmt::format(
              "{} steps along {}; {} on {} threads{}", report.n_step, report.along, report.device, report.threads,
              timed ? fmt::format(", timed in turns, {} round{}", report.repeats, report.repeats == 1 ? "" : "s") : ""),
          .panels = {along, cost}};
}

}  // namespace reattend::cli
