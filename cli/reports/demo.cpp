// The same facts three times: lines, Markdown, JSON.
#include "cli/reports/demo.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/reports/results.h"

namespace reattend::cli {
namespace {

const Score& measured(const DemoReport& report) {
  return *report.tuned.best().measured;
}

double off_percent(double predicted, double found) {
  return found > 0 ? 100 * (predicted / found - 1) : 0;
}

/// Predicted beside measured, a row each for full attention and the choice.
std::string times(const DemoReport& report, const char* row_format) {
  const TunePoint& best = report.tuned.best();
  std::string rows;
  const auto add = [&](const std::string& name, double predicted, double found) {
    rows += fmt::format(fmt::runtime(row_format), name, fmt::format("{:.2f}", predicted), fmt::format("{:.2f}", found),
                        fmt::format("{:+.0f} %", off_percent(predicted, found)));
  };
  add("full, ms/token", report.tuned.full_cost, report.full_ms);
  add("chosen, ms/token", best.cost, measured(report).ms);
  add("speed-up", best.speed_up, report.full_ms / measured(report).ms);
  return rows;
}

/// The settings that were tried in the engine.
std::string trials(const DemoReport& report, const char* row_format) {
  std::string rows;
  for (size_t i = 0; i < report.tuned.points.size(); ++i) {
    const TunePoint& point = report.tuned.points[i];
    if (!point.measured) continue;
    rows += fmt::format(fmt::runtime(row_format), name_of(point), fmt::format("{:.3f}", point.output_error_p95),
                        fmt::format("{:.3f}", point.lost), fmt::format("{:.2f}", point.measured->ms),
                        fmt::format("{:.4f}", point.measured->kl), fmt::format("{:.3f}", point.measured->agreement),
                        i == report.tuned.chosen ? "chosen" : "");
  }
  return rows;
}

std::string files(const DemoReport& report, const char* row_format) {
  std::string rows;
  const auto add = [&](const char* name, const std::string& path) {
    rows += fmt::format(fmt::runtime(row_format), name, path);
  };
  add("trace", report.trace);
  add("settings", report.settings_file);
  add("picture", report.no_picture.empty() ? report.picture : report.no_picture);
  add("report", report.report);
  return rows;
}

}  // namespace

std::string to_text(const DemoReport& report) {
  std::string out =
      fmt::format("\n{}, {} threads, {} tokens of {} and a question, {} steps; {:.0f} s in all\n", report.model,
                  report.threads, report.n_prompt, report.text, report.n_step, report.seconds);
  out += fmt::format("\nchosen   {}\nwhy      {}\n", name_of(report.tuned.best()), report.tuned.reason);
  out += fmt::format("quality  top-1 agreement {:.3f}, mean KL {:.4f} (teacher-forced on the recorded tokens)\n",
                     measured(report).agreement, measured(report).kl);
  out += fmt::format("speed    full {:.2f} ms/token, chosen {:.2f}, running free {:.2f}\n\n", report.full_ms,
                     measured(report).ms, report.free_ms);
  out += fmt::format("{:<18} {:>10} {:>10} {:>8}\n", "", "predicted", "measured", "off by") +
         times(report, "{:<18} {:>10} {:>10} {:>8}\n");
  out += fmt::format("\n{:<58} {:>10} {:>6} {:>9} {:>7} {:>6}\n", "measured in the engine", "error p95", "lost",
                     "ms/token", "KL", "top-1") +
         trials(report, "{:<58} {:>10} {:>6} {:>9} {:>7} {:>6} {}\n");
  out += fmt::format("\n-- full attention\n{}\n\n-- {}\n{}\n\n", report.full_text,
                     report.tuned.best().settings.summary(), report.tuned_text);
  return out + files(report, "{:<9} {}\n");
}

std::string to_markdown(const DemoReport& report) {
  const TunePoint& best = report.tuned.best();
  std::string out = "# Recycled attention on one prompt\n\n";
  out += fmt::format(
      "{}, {} threads: a prompt of {} tokens from `{}` with a question at its end, {} steps. Prefill took {:.1f} s, "
      "the whole job {:.0f} s.\n\n",
      report.model, report.threads, report.n_prompt, report.text, report.n_step, report.prefill_seconds,
      report.seconds);
  out += fmt::format("## Chosen: `{}`\n\n{}\n\n", name_of(best), report.tuned.reason);
  out += fmt::format(
      "Teacher-forced on the recorded tokens: top-1 agreement {:.3f}, mean KL {:.4f} nats. Running free: {:.2f} "
      "ms/token.\n\n",
      measured(report).agreement, measured(report).kl, report.free_ms);
  out += "| | predicted | measured | off by |\n|---|---|---|---|\n" + times(report, "| {} | {} | {} | {} |\n");
  out +=
      "\n## Measured in the engine\n\n| setting | output error p95 | lost mass | ms/token | KL | top-1 | "
      "|\n|---|---|---|---|---|---|---|\n" +
      trials(report, "| {} | {} | {} | {} | {} | {} | {} |\n");
  out += "\nOutput error and lost mass are the replay's; time, KL and agreement were measured.\n";
  if (report.no_picture.empty()) out += "\n![The trace under the chosen settings](view.png)\n";
  out += "\n## The sweep\n\n```\n" + report.sweep + "```\n";
  out += fmt::format("\n## Full attention wrote\n\n```\n{}\n```\n\n## {} wrote\n\n```\n{}\n```\n", report.full_text,
                     best.settings.summary(), report.tuned_text);
  out += "\n## Files\n\n| | |\n|---|---|\n" + files(report, "| {} | {} |\n");
  return out;
}

nlohmann::json to_json(const DemoReport& report) {
  nlohmann::json trials = nlohmann::json::array();
  for (const TunePoint& point : report.tuned.points) {
    if (point.measured) trials.push_back(reattend::to_json(point));
  }
  return {{"model", report.model},
          {"threads", report.threads},
          {"prompt_tokens", report.n_prompt},
          {"steps", report.n_step},
          {"chosen", reattend::to_json(report.tuned.best())},
          {"reason", report.tuned.reason},
          {"predicted_full_ms", report.tuned.full_cost},
          {"measured_full_ms", report.full_ms},
          {"free_ms", report.free_ms},
          {"measured", trials},
          {"full_text", report.full_text},
          {"tuned_text", report.tuned_text},
          {"trace", report.trace},
          {"settings", report.settings_file},
          {"picture", report.no_picture.empty() ? nlohmann::json(report.picture) : nlohmann::json()},
          {"report", report.report},
          {"prefill_s", report.prefill_seconds},
          {"seconds", report.seconds}};
}

}  // namespace reattend::cli
