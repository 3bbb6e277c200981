// Writes the demo's report: what was chosen and why, predicted beside measured, and what both models wrote.
#include "cli/reports/demo.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/reports/tune.h"
#include "cli/reports/tune_tables.h"
#include "cli/reports/tune_words.h"

namespace reattend::cli {
namespace {

const Score& measured(const DemoReport& report) {
  return *report.tuned.best().measured;
}

/// Predicted beside measured, a row each for full attention and the choice.
Table times_table(const DemoReport& report) {
  const Candidate& best = report.tuned.best();
  const char* const unit = report.tuned.calibrated ? "ms/token" : "MB/token";
  Table out = {.columns = {{.key = {}, .title = " ", .left = true},
                           {.key = "predicted", .digits = 2},
                           {.key = "measured", .digits = 2, .strong = true},
                           {.key = {}, .title = "off by", .digits = 0, .scale = 100, .unit = " %", .sign = true}}};
  const auto add = [&](const std::string& name, double predicted, double found) {
    out.rows.push_back({name, predicted, found, found > 0 ? Cell(predicted / found - 1) : Cell()});
  };
  add(fmt::format("full, {}", unit), report.tuned.full_cost, report.full_ms);
  add(fmt::format("chosen, {}", unit), best.cost, measured(report).ms);
  add("speed-up", best.speed_up, report.full_ms / measured(report).ms);
  return out;
}

Table files_table(const DemoReport& report) {
  return {.columns = {{.key = "file", .left = true}, {.key = "path", .left = true}},
          .rows = {{std::string("trace"), report.trace},
                   {std::string("settings"), report.settings_file},
                   {std::string("picture"), report.no_picture.empty() ? report.picture : report.no_picture},
                   {std::string("report"), report.report}}};
}

}  // namespace

Document demo_document(const DemoReport& report, bool sweep) {
  const Candidate& best = report.tuned.best();
  Document out = {.title = "Recycled attention on one prompt", .blocks = {}};
  out.add(
      Text{{fmt::format("{}, {} threads: a prompt of {} tokens from ", report.model, report.threads, report.n_prompt)},
           {report.text, Style::code},
           {fmt::format(" with a question at its end, {} steps. Prefill took {:.1f} s, the whole job {:.0f} s.",
                        report.n_step, report.prefill_seconds, report.seconds)}});
  out.head("Chosen");
  out.add(Text{{name_of(best), Style::code}});
  out.say(reason_in_words(report.tuned));
  out.say(fmt::format(
      "Teacher-forced on the recorded tokens: top-1 agreement {:.3f}, mean KL {:.4f} nats. Running free: {:.2f} "
      "ms/token.",
      measured(report).agreement, measured(report).kl, report.free_ms));
  out.add(times_table(report));
  out.add(measured_table(report.tuned, sweep ? Names::whole : Names::brief));
  if (sweep) {
    if (report.no_picture.empty()) out.add(Picture{"view.png", "The trace under the chosen settings"});
    out.head("The sweep");
    out.add(front_table(report.tuned, Names::whole, true));
    if (Table schedule = schedule_table(best.settings, report.tuned.traces.front().info); !schedule.rows.empty())
      out.add(std::move(schedule));
  }
  out.head("Full attention wrote");
  out.add(verbatim(report.full_text));
  out.head(best.settings.summary() + " wrote");
  out.add(verbatim(report.tuned_text));
  out.head("Files");
  out.add(files_table(report));
  return out;
}

nlohmann::json to_json(const DemoReport& report) {
  nlohmann::json trials = nlohmann::json::array();
  for (const Candidate& candidate : report.tuned.candidates) {
    if (candidate.measured) trials.push_back(cli::to_json(candidate));
  }
  return {{"model", report.model},
          {"threads", report.threads},
          {"prompt_tokens", report.n_prompt},
          {"steps", report.n_step},
          {"chosen", cli::to_json(report.tuned.best())},
          {"reason", reason_in_words(report.tuned)},
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
