// A tuner's report for a colleague: what to use, why, how, and on what evidence.
#include "cli/reports/tune.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/subprocess.h"
#include "cli/reports/tune_tables.h"
#include "policies/layer_schedule.h"
#include "policies/policy.h"
#include "policies/value_text.h"
#include "report/words.h"
#include "tune/points.h"

namespace reattend::cli {
namespace {

using reattend::to_text;  // of a parameter's value

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
    front();
    sweep();
    if (several() || !tuned_.held_out.empty()) each_trace();
    add_appendix(out_, report_);
    return std::move(out_);
  }

 private:
  bool several() const { return tuned_.traces.size() > 1; }
  const char* unit() const { return tuned_.calibrated ? "ms" : "MB"; }

  void traces() {
    List list;
    const auto add_trace = [&](const std::string& name, const TraceInfo& info, bool held_out) {
      Text& text = list.items.emplace_back();
      text.push_back({name, Style::code});
      std::string words =
          fmt::format(": {} of prompt, {}", plural(info.n_prompt, "token"), plural(info.n_step, "decode step"));
      words += info.settings.is_full() ? ", full attention" : ", recorded under " + info.settings.summary();
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

  /// "256 of 2,048", or from the fewest to the most over the traces.
  std::string kept(const Settings& settings) const {
    int64_t least = std::numeric_limits<int64_t>::max(), most = 0;
    for (const TunedTrace& trace : tuned_.traces) {
      const int64_t k = settings.count("K", 0, trace.info.n_prompt);
      least = std::min(least, k), most = std::max(most, k);
    }
    if (least != most) return fmt::format("{} to {} here", thousands(least), thousands(most));
    return several()
               ? thousands(least) + " here"
               : fmt::format("{} of the prompt's {}", thousands(least), thousands(tuned_.traces.front().info.n_prompt));
  }

  /// In the registry's words: what is said of recycled attention in more detail below.
  std::string policy_in_words(const Settings& settings) const {
    const PolicyInfo& info = settings.info();
    std::string text = &info == tuned_.policy ? "" : "A policy that was tried beside the sweep. ";
    text += fmt::format("It keeps: {}. It reads: {}.", info.keeps, info.reads);
    if (!settings.takes("K") || settings.is_auto("K")) return text;
    const Value& budget = settings.get("K");
    return text + (list_size(budget) ? fmt::format(" K is {}, each layer's in the table below.", ends_text(budget))
                                     : fmt::format(" K is {} ({}).", to_text(budget), kept(settings)));
  }

  std::string in_words(const Settings& settings) const {
    if (settings.is_full()) return "Full attention: every step attends to everything.";
    if (!settings.takes("schedule")) return policy_in_words(settings);
    const Value &stride = settings.get("S"), &budget = settings.get("K");
    const LayerSchedule schedule(settings);
    if (schedule.by_layer()) {
      return fmt::format(
          "Every layer has a stride, a budget and a threshold of its own (S {}, K {}; the table below): it keeps the K "
          "positions that got most attention and attends to these and to every token since. At multiples of S it "
          "attends to everything and chooses anew, with a threshold only where its query has drifted so far from that "
          "of its last full step that their cosine is not above it.",
          ends_text(stride), ends_text(budget));
    }
    const std::string between = "The steps between attend to kept positions and every token since.";
    std::string text = fmt::format("Every layer keeps the K = {} positions that got most attention ({}). ",
                                   to_text(budget), kept(settings));
    if (std::holds_alternative<std::monostate>(stride)) return text + "They are never chosen anew.";
    const std::optional<double> gate = schedule.gate(0);
    if (!gate) {
      return text +
             fmt::format("At steps that are multiples of S = {} it attends to everything and chooses them anew. ",
                         to_text(stride)) +
             between;
    }
    return text +
           fmt::format(
               "At steps that are multiples of S = {} it compares its query with that of its last full step; where the "
               "cosine is "
               "not above {}, it attends to everything and chooses anew. ",
               to_text(stride), to_text(*gate)) +
           between;
  }

  void recommendation() {
    out_.head("Recommendation");
    const bool keeps = best_.measured ? passes(best_, tuned_) : best_.within_bounds;
    if (!keeps) out_.add(Text{{"Nothing that was tried keeps the bounds; this is what comes nearest.", Style::strong}});
    out_.add(Text{{"Use "}, {name_of(best_), Style::code}, {". " + in_words(best_.settings)}});
    const std::string on = several() ? ", mean over the traces" : "";
    std::string speed =
        fmt::format("Predicted: {} {} per token where full attention takes {} ({} times as fast{}).",
                    printed(best_.cost, 2), unit(), printed(tuned_.full_cost, 2), printed(best_.speed_up, 2), on);
    if (best_.measured) {
      speed += " Measured: ";
      if (!tuned_.other_machine) speed += fmt::format("{} ms{}", printed(best_.measured->ms, 2), on);
      if (best_.measured->full_ms > 0) {
        speed += fmt::format(", full attention {} ({} times as fast)", printed(best_.measured->full_ms, 2),
                             printed(best_.measured->full_ms / best_.measured->ms, 2));
      }
      speed += fmt::format("{}mean KL to full attention {}, the same next token at {} % of the steps{}.",
                           tuned_.other_machine ? "" : "; ", printed(best_.measured->kl, 4),
                           printed(100 * best_.measured->agreement, 1), several() ? " (worst trace)" : "");
    }
    out_.add(Text{{"What it gives.", Style::strong}, {" " + speed}});
    out_.add(Text{{"Why.", Style::strong}, {" " + tuned_.reason}});
    out_.add(choice_table(tuned_));
    if (Table schedule = schedule_table(best_.settings); !schedule.rows.empty()) out_.add(std::move(schedule));
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

  void front() {
    out_.head("The Pareto front");
    out_.add(front_table(tuned_, Names::whole, true));
  }

  void sweep() {
    std::vector<Figure> figures;
    for (const bool gated : {false, true}) {
      Chart chart = sweep_chart(tuned_, gated);
      if (!chart.panels.empty()) figures.push_back({gated ? "query" : "fixed", std::move(chart), ""});
    }
    if (figures.empty()) return;
    out_.head("What the sweep shows");
    out_.say(
        "Damage falls as more positions are kept, and as they are chosen anew more often; both cost time. Damage is "
        "shown of settings that were replayed on all layers, cost of all.");
    for (Figure& figure : figures) out_.add(std::move(figure));
  }

  void each_trace() {
    out_.head(tuned_.held_out.empty() ? "On each trace" : "On each trace, and on those held out");
    out_.add(traces_table(tuned_));
    for (const std::string& line : validation_in_words(tuned_)) out_.say(line);
    if (tuned_.held_out.empty())
      out_.say("No trace was held out (--validate): how the choice does on other texts is not known.");
  }

  const TuneReport& report_;
  const TuneResult& tuned_;
  const TunePoint& best_;
  std::vector<std::string> names_;  ///< of the traces, those held out last
  Document out_;
};

}  // namespace

std::vector<std::string> tune_figures() {
  return {"front", "fixed", "query"};
}

Document tune_document(const TuneReport& report) {
  return Writer(report).write();
}

}  // namespace reattend::cli
