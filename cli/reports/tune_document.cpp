// Writes a tuner's report for a colleague: what to use, why, how, and on what evidence.
#include "cli/reports/tune.h"

#include <fmt/format.h>

#include "base/subprocess.h"
#include "cli/reports/tune_tables.h"
#include "cli/reports/tune_words.h"
#include "report/words.h"

namespace reattend::cli {
namespace {

class Writer {
 public:
  explicit Writer(const TuneReport& report)
      : report_(report), tuned_(report.tuned), best_(tuned_.best()), names_(trace_names(tuned_)) {}

  Document write() {
    const std::string model = tuned_.traces.front().info.attribute("model");
    out_.title = "Tuned cache settings" + (model.empty() ? std::string() : " for " + model);
    traces();
    recommendation();
    use();
    out_.head("Time against damage");
    out_.add(Figure{
        "front", front_chart(tuned_),
        fmt::format("Hollow marks were predicted by replaying the trace{}, filled ones measured in the engine{}; the "
                    "ring is the choice.{}",
                    several() ? "s" : "",
                    any_measured(tuned_) && tuned_.other_machine
                        ? " (their KL: times are another machine's, and stay predicted)"
                        : "",
                    any_measured(tuned_) ? "" : " Nothing was measured: no --model was given.")});
    if (tuned_.policies.size() > 1) policies();
    front();
    sweep();
    if (several() || !tuned_.held_out.empty()) each_trace();
    add_appendix(out_, report_);
    return std::move(out_);
  }

 private:
  bool several() const { return tuned_.traces.size() > 1; }

  void traces() {
    List list;
    const auto add_trace = [&](const std::string& name, const TraceInfo& info, bool held_out) {
      Text& text = list.items.emplace_back();
      text.push_back({name, Style::code});
      std::string words =
          fmt::format(": {} of prompt, {}", plural(info.n_prompt, "token"), plural(info.n_step, "decode step"));
      const bool full = info.policy_known && info.settings.is_full();
      words += full ? ", full attention" : ", recorded under " + info.policy_text();
      if (const std::string when = info.attribute("created_utc"); !when.empty()) words += ", recorded " + when;
      text.push_back({words});
      if (held_out) text.insert(text.end(), {{"; "}, {"held out, no part in the choice", Style::strong}});
    };
    for (size_t i = 0; i < tuned_.traces.size(); ++i) add_trace(names_[i], tuned_.traces[i].info, false);
    for (size_t i = 0; i < tuned_.held_out.size(); ++i) {
      add_trace(names_[tuned_.traces.size() + i], tuned_.held_out[i].info, true);
    }
    out_.add(std::move(list));
  }

  void recommendation() {
    out_.head("Recommendation");
    const bool keeps = best_.measured ? passes(best_, tuned_, Evidence::measured) : best_.within_bounds;
    if (!keeps) out_.add(Text{{"Nothing that was tried keeps the bounds; this is what comes nearest.", Style::strong}});
    out_.add(Text{{"Use "}, {name_of(best_), Style::code}, {". " + setting_in_words(tuned_)}});
    out_.add(Text{{"What it gives.", Style::strong}, {" " + gain_in_words(tuned_)}});
    out_.add(Text{{"Why.", Style::strong}, {" " + reason_in_words(tuned_)}});
    out_.add(choice_table(tuned_));
    if (Table schedule = schedule_table(best_.settings, tuned_.traces.front().info); !schedule.rows.empty())
      out_.add(std::move(schedule));
  }

  void use() {
    out_.head("How to use it");
    const std::string trace = shell_word(tuned_.traces.front().info.path.string()),
                      settings = shell_word(report_.settings_file);
    out_.add(Verbatim{{fmt::format("reattend run --settings {} --prompt-file YOUR.txt", settings),
                       fmt::format("reattend verify {} --settings {} --out verified.json", trace, settings),
                       fmt::format("reattend view {} --settings {}", trace, settings)}});
    out_.add(rich(
        "The first runs the model under the setting; the second runs the trace's text in the engine and says where the "
        "replay was wrong (`reattend tune --verified verified.json` learns from it); the third shows what is kept."));
  }

  void policies() {
    out_.head("Each policy's best");
    out_.add(policies_table(tuned_));
    for (const std::string& line : policies_in_words(tuned_)) out_.say(line);
  }

  void front() {
    out_.head("The Pareto front");
    out_.add(front_table(tuned_, Names::whole, true));
  }

  /// Of several policies the choice's alone.
  void sweep() {
    std::vector<Figure> charts;
    const PolicyInfo& policy = tuned_.policies.size() > 1 ? best_.settings.info() : *tuned_.policies.front();
    if (!tuned_.swept(policy)) return;
    for (const bool gated : {false, true}) {
      Chart chart = sweep_chart(tuned_, policy, gated);
      if (!chart.panels.empty()) charts.push_back({gated ? "query" : "fixed", std::move(chart), ""});
    }
    if (charts.empty()) return;
    out_.head("What the sweep shows");
    out_.say(
        "Damage falls as more positions are kept, and as they are chosen anew more often; both cost time. Damage is "
        "shown of settings that were replayed on all layers, cost of all.");
    for (Figure& each : charts) out_.add(std::move(each));
  }

  void each_trace() {
    out_.head(tuned_.held_out.empty() ? "On each trace" : "On each trace, and on those held out");
    out_.add(traces_table(tuned_));
    for (const std::string& line : held_out_in_words(tuned_)) out_.say(line);
    if (tuned_.held_out.empty())
      out_.say("No trace was held out (--held-out): how the choice does on other texts is not known.");
  }

  const TuneReport& report_;
  const TuneResult& tuned_;
  const Candidate& best_;
  std::vector<std::string> names_;  ///< of the traces, those held out last
  Document out_;
};

}  // namespace

std::vector<std::string> tune_charts() {
  return {"front", "fixed", "query"};
}

Document tune_document(const TuneReport& report) {
  return Writer(report).write();
}

}  // namespace reattend::cli
