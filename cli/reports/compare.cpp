// Shows a comparison's numbers, derived once for each policy, as tables, JSON, CSV and a chart.
#include "cli/reports/compare.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "policies/policy_list.h"
#include "report/table.h"
#include "report/words.h"

namespace reattend::cli {
namespace {

/// A policy's numbers, derived once.
struct PolicyMetrics {
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

std::vector<PolicyMetrics> metrics_of(const CompareReport& report) {
  const std::vector<ComparedPolicy>& policies = report.compared.policies;
  const std::vector<std::string> names = short_names(settings_of(report));
  const double n_step = report.n_step;
  const double context = report.n_prompt + (n_step + 1) / 2;  // p + 1, mean over the steps
  std::vector<PolicyMetrics> out;
  for (size_t i = 0; i < policies.size(); ++i) {
    const TeacherForced& run = policies[i].run;
    PolicyMetrics metrics = {.name = names[i],
                             .score = policies[i].score,
                             .weights = static_cast<double>(run.bytes.weights) / n_step,
                             .attend = static_cast<double>(run.bytes.attend) / n_step,
                             .select = static_cast<double>(run.bytes.select) / n_step};
    const Score& full = i == 0 ? metrics.score : out.front().score;
    metrics.nll_over_full = metrics.score.nll - full.nll;
    metrics.share = metrics.score.positions / context;
    if (policies[i].score.ms > 0) {
      metrics.ms = policies[i].score.ms;
      metrics.speed_up = policies[i].score.full_ms / metrics.ms;
    }
    out.push_back(metrics);
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

/// A row for each policy: what is printed, and what CSV and JSON hold beside it.
Table policies_table(const CompareReport& report, const std::vector<PolicyMetrics>& all) {
  const std::string kl = "KL to full attention", read = "MB read a step";
  Table out = {.columns = {{.key = {}, .title = "policy", .left = true},
                           {.key = "policy", .hidden = true},
                           {.key = "settings", .hidden = true, .quoted = true},
                           {.key = "n_prompt", .hidden = true},
                           {.key = "n_step", .hidden = true},
                           {.key = "kl", .title = "mean", .digits = 4, .group = kl, .notation = Notation::small},
                           {.key = "kl_p95", .title = "p95", .digits = 4, .group = kl, .notation = Notation::small},
                           {.key = "kl_max", .title = "max", .digits = 4, .group = kl, .notation = Notation::small},
                           {.key = "agreement", .title = "top-1"},
                           {.key = "nll", .title = "NLL"},
                           {.key = "perplexity_ratio", .title = "ppl x"},
                           {.key = "recovered", .title = "mass"},
                           {.key = "oracle", .hidden = true},
                           {.key = "positions", .digits = 0},
                           {.key = "positions_share", .title = "of all", .digits = 1, .scale = 100, .unit = " %"},
                           {.key = "full_share", .hidden = true},
                           {.key = "bytes_weights", .hidden = true},
                           {.key = "bytes_attend", .title = "attend", .digits = 2, .group = read, .scale = 1e-6},
                           {.key = "bytes_select", .title = "select", .digits = 2, .group = read, .scale = 1e-6},
                           {.key = "ms_per_token", .title = "ms/token", .digits = 2},
                           {.key = "tokens_per_s", .title = "tok/s", .digits = 0},
                           {.key = "speed_up", .title = "speed-up", .digits = 2}}};
  for (size_t i = 0; i < all.size(); ++i) {
    const PolicyMetrics& f = all[i];
    const Settings& settings = report.compared.policies[i].settings;
    out.rows.push_back({f.name,
                        settings.policy(),
                        settings.summary(),
                        int64_t{report.n_prompt},
                        int64_t{report.n_step},
                        f.score.kl,
                        f.score.kl_p95,
                        f.score.kl_max,
                        f.score.agreement,
                        f.score.nll,
                        f.perplexity_ratio(),
                        f.score.recovered,
                        f.score.oracle,
                        f.score.positions,
                        f.share,
                        f.score.full,
                        f.weights,
                        f.attend,
                        f.select,
                        f.ms,
                        f.tokens_per_second(),
                        f.speed_up});
  }
  return out;
}

/// KL of each policy but full attention, whose is 0, by generated position.
Table buckets_table(const CompareReport& report, const std::vector<PolicyMetrics>& all) {
  const std::vector<Bucket> buckets = buckets_of(report);
  Table out = {.title = "KL by generated position", .columns = {{.key = "policy", .left = true}}};
  for (const Bucket& bucket : buckets) {
    out.columns.push_back({.key = bucket.name(), .digits = 4, .notation = Notation::small});
  }
  for (size_t i = 1; i < all.size(); ++i) {
    std::vector<Cell>& row = out.rows.emplace_back(std::vector<Cell>{all[i].name});
    for (const Bucket& bucket : buckets) row.emplace_back(summarize(bucket.of(report.compared.policies[i].run)).kl);
  }
  return out;
}

nlohmann::json by_position(const CompareReport& report, const TeacherForced& run) {
  const TeacherForced& full = report.compared.policies.front().run;
  nlohmann::json out = nlohmann::json::array();
  for (const Bucket& bucket : buckets_of(report)) {
    const Score score = summarize(bucket.of(run));
    out.push_back({{"from", bucket.from},
                   {"to", bucket.to},
                   {"kl", score.kl},
                   {"agreement", score.agreement},
                   {"nll", score.nll},
                   {"perplexity_ratio", std::exp(score.nll - summarize(bucket.of(full)).nll)},
                   {"recovered", score.recovered}});
  }
  return out;
}

nlohmann::json steps_of(const TeacherForced& run) {
  nlohmann::json out;
  for (const char* const key : {"kl", "nll", "agree", "recovered", "positions"}) out[key] = nlohmann::json::array();
  for (const StepScore& step : run.steps) {
    out["kl"].push_back(step.kl), out["nll"].push_back(step.nll), out["agree"].push_back(step.agrees);
    out["recovered"].push_back(step.recovered), out["positions"].push_back(step.positions);
  }
  return out;
}

}  // namespace

std::string to_text(const CompareReport& report) {
  if (report.compared.policies.empty()) return {};
  const std::vector<PolicyMetrics> all = metrics_of(report);
  const std::string budget = common_budget_of(report);
  std::string out = fmt::format("{}, {} threads: {} tokens of prompt, {} steps along {}{}\n{}\n\n", report.model,
                                report.threads, report.n_prompt, report.n_step, report.along,
                                budget.empty() ? "" : "; K = " + budget, report.prefill);
  out += to_text(policies_table(report, all));
  const Table buckets = buckets_table(report, all);
  if (!buckets.rows.empty()) out += "\n" + to_text(buckets);
  return out;
}

nlohmann::json to_json(const CompareReport& report) {
  const std::vector<PolicyMetrics> all = metrics_of(report);
  nlohmann::json policies = to_json(policies_table(report, all));
  for (size_t i = 0; i < all.size(); ++i) {
    const ComparedPolicy& policy = report.compared.policies[i];
    nlohmann::json& row = policies[i];
    row.erase("n_prompt"), row.erase("n_step");  // of all policies, said once
    row["settings"] = policy.settings.to_json();
    row["summary"] = policy.settings.summary();
    row["perplexity"] = std::exp(all[i].score.nll);
    row["by_position"] = by_position(report, policy.run);
    row["steps"] = steps_of(policy.run);
  }
  return {{"model", report.model},     {"device", report.device},     {"threads", report.threads},
          {"along", report.along},     {"n_prompt", report.n_prompt}, {"n_step", report.n_step},
          {"repeats", report.repeats}, {"policies", policies},        {"stopped", report.compared.stopped}};
}

std::string to_csv(const CompareReport& report) {
  return to_csv(policies_table(report, metrics_of(report)));
}

std::string steps_to_csv(const CompareReport& report) {
  Table out = {.columns = {{.key = "policy"},
                           {.key = "settings", .quoted = true},
                           {.key = "step"},
                           {.key = "position"},
                           {.key = "kl"},
                           {.key = "agrees"},
                           {.key = "nll"},
                           {.key = "recovered"},
                           {.key = "oracle"},
                           {.key = "positions"},
                           {.key = "full_share"}}};
  for (const ComparedPolicy& policy : report.compared.policies) {
    for (size_t i = 0; i < policy.run.steps.size(); ++i) {
      const StepScore& step = policy.run.steps[i];
      const auto at = static_cast<int64_t>(i);
      out.rows.push_back({policy.settings.policy(), policy.settings.summary(), at + 1, report.n_prompt + at, step.kl,
                          int64_t{step.agrees}, step.nll, step.recovered, step.oracle, step.positions, step.full});
    }
  }
  return to_csv(out);
}

Chart to_chart(const CompareReport& report) {
  const std::vector<PolicyMetrics> all = metrics_of(report);
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
          .subtitle = fmt::format("{} steps along {}; {} on {} threads{}", report.n_step, report.along, report.device,
                                  report.threads,
                                  timed ? fmt::format(", timed interleaved, {}", plural(report.repeats, "round")) : ""),
          .panels = {along, cost}};
}

}  // namespace reattend::cli
