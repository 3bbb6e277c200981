// The words and tables of the report; every figure in them is one of TuneResult's.
#include "cli/reports/tune.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/subprocess.h"
#include "policies/layer_schedule.h"
#include "policies/policy.h"
#include "policies/value_text.h"
#include "tune/points.h"

namespace reattend::cli {
namespace {

std::string number(double x, int digits) {
  return printed(Cell(x), digits);
}
/// A count with its thousands set apart.
std::string count(int64_t n) {
  std::string digits = std::to_string(n);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}
std::string plural(int64_t n, const std::string& word) {
  return fmt::format("{} {}{}", count(n), word, n == 1 ? "" : "s");
}
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
    head("Time against damage");
    add(Figure{
        "front", front_chart(tuned_),
        fmt::format("Hollow marks were predicted by replaying the trace{}, filled ones measured in the engine{}; the "
                    "ring is the choice.{}",
                    several() ? "s" : "",
                    any_measured() && tuned_.other_machine
                        ? " (their KL: times are another machine's, and stay predicted)"
                        : "",
                    any_measured() ? "" : " Nothing was measured: no --model was given.")});
    front();
    sweep();
    if (several() || !tuned_.held_out.empty()) each_trace();
    add_appendix(out_, report_);
    return std::move(out_);
  }

 private:
  bool several() const { return tuned_.traces.size() > 1; }
  bool any_measured() const {
    return std::any_of(tuned_.points.begin(), tuned_.points.end(),
                       [](const TunePoint& p) { return p.measured.has_value(); });
  }
  const char* unit() const { return tuned_.calibrated ? "ms" : "MB"; }

  void add(Block block) { out_.blocks.push_back(std::move(block)); }
  void head(const std::string& text) { add(Heading{text}); }
  void say(const std::string& text) { add(Text{{text}}); }
  void explain(const std::string& text) { add(rich(text)); }

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
    add(std::move(list));
  }

  /// "256 of 2,048", or from the fewest to the most over the traces.
  std::string kept(const Settings& settings) const {
    int64_t least = std::numeric_limits<int64_t>::max(), most = 0;
    for (const TunedTrace& trace : tuned_.traces) {
      const int64_t k = settings.count("K", 0, trace.info.n_prompt);
      least = std::min(least, k), most = std::max(most, k);
    }
    if (least != most) return fmt::format("{} to {} here", count(least), count(most));
    return several() ? count(least) + " here"
                     : fmt::format("{} of the prompt's {}", count(least), count(tuned_.traces.front().info.n_prompt));
  }

  /// In the registry's words: what is said of recycled attention in more detail below.
  std::string policy_in_words(const Settings& settings) const {
    const PolicyInfo& info = settings.info();
    std::string text = &settings.info() == tuned_.policy ? "" : "A policy that was tried beside the sweep. ";
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
    head("Recommendation");
    const bool keeps = best_.measured ? passes(best_, tuned_) : best_.within_bounds;
    if (!keeps) add(Text{{"Nothing that was tried keeps the bounds; this is what comes nearest.", Style::strong}});
    add(Text{{"Use "}, {name_of(best_), Style::code}, {". " + in_words(best_.settings)}});
    const std::string on = several() ? ", mean over the traces" : "";
    std::string speed =
        fmt::format("Predicted: {} {} per token where full attention takes {} ({} times as fast{}).",
                    number(best_.cost, 2), unit(), number(tuned_.full_cost, 2), number(best_.speed_up, 2), on);
    if (best_.measured) {
      speed += " Measured: ";
      if (!tuned_.other_machine) speed += fmt::format("{} ms{}", number(best_.measured->ms, 2), on);
      if (best_.measured->full_ms > 0) {
        speed += fmt::format(", full attention {} ({} times as fast)", number(best_.measured->full_ms, 2),
                             number(best_.measured->full_ms / best_.measured->ms, 2));
      }
      speed += fmt::format("{}mean KL to full attention {}, the same next token at {} % of the steps{}.",
                           tuned_.other_machine ? "" : "; ", number(best_.measured->kl, 4),
                           number(100 * best_.measured->agreement, 1), several() ? " (worst trace)" : "");
    }
    add(Text{{"What it gives.", Style::strong}, {" " + speed}});
    add(Text{{"Why.", Style::strong}, {" " + tuned_.reason}});
    choice_table();
    schedule_table();
  }

  void choice_table() {
    Table sheet = {.name = "choice",
                   .title = several()
                                ? "The choice on all traces: times are means, everything else is the worst trace's"
                                : "The choice",
                   .columns = {{.key = "figure", .title = "", .left = true},
                               {.key = "predicted"},
                               {.key = "measured"},
                               {.key = "bound"}},
                   .rows = {}};
    const std::string none = "-";
    const auto row = [&](const std::string& name, const std::string& predicted, const std::string& measured,
                         const std::string& bound) {
      sheet.rows.push_back({name, predicted, measured, bound});
    };
    const std::optional<Score>& m = best_.measured;
    const TuneBounds& bounds = tuned_.bounds;
    const auto limit = [&](const char* sign, const std::optional<double>& x) {
      return x ? fmt::format("{} {}", sign, *x) : none;
    };
    row(fmt::format("{} per token", unit()), number(best_.cost, 2), m ? number(m->ms, 2) : none,
        limit("<=", bounds.max_ms));
    row("full attention", number(tuned_.full_cost, 2), m && m->full_ms > 0 ? number(m->full_ms, 2) : none, none);
    row("speed-up", number(best_.speed_up, 2), m && m->full_ms > 0 ? number(m->full_ms / m->ms, 2) : none, none);
    row("mean KL, nats", number(best_.predicted_kl, 4), m ? number(m->kl, 4) : none,
        m || !std::isnan(best_.predicted_kl) ? limit("<=", bounds.max_kl) : none);
    row("same next token, %", none, m ? number(100 * m->agreement, 1) : none,
        bounds.min_agreement ? fmt::format(">= {}", 100 * *bounds.min_agreement) : none);
    row("lost attention mass", number(best_.lost, 4), none, limit("<=", bounds.max_lost_mass));
    if (tuned_.has_values) {
      row("output error, 95th percentile", number(best_.output_error_p95, 4), none,
          limit("<=", bounds.max_output_error));
    }
    row("positions attended to", number(best_.positions, 0), none, none);
    row("steps per full step", number(best_.effective_stride, 1), none, none);
    add(Grid{std::move(sheet)});
  }

  /// What each layer gets, where that differs.
  void schedule_table() {
    const LayerSchedule schedule(best_.settings);
    const size_t n = schedule.n_layer();
    if (n == 0) return;
    const bool has_stride = best_.settings.takes("S"), has_threshold = best_.settings.takes("threshold");
    Table sheet = {.name = "schedule",
                   .title = "What each layer gets; neighbours that get the same share a row",
                   .columns = {{.key = "layers", .left = true}},
                   .rows = {}};
    if (has_stride) sheet.columns.push_back({.key = "S"});
    sheet.columns.push_back({.key = "K"});
    if (has_threshold) sheet.columns.push_back({.key = "threshold"});
    for (size_t first = 0; first < n;) {
      const auto row_of = [&](size_t layer) {
        const auto l = static_cast<int>(layer);
        std::vector<Cell> row;
        if (has_stride) row.emplace_back(to_text(*schedule.stride(l)));
        row.emplace_back(to_text(*schedule.budget(l)));
        const std::optional<double> gate = schedule.gate(l);
        if (has_threshold) row.push_back(gate ? Cell(to_text(*gate)) : Cell());
        return row;
      };
      size_t end = first + 1;
      while (end < n && row_of(end) == row_of(first)) ++end;
      std::vector<Cell> row = row_of(first);
      row.insert(row.begin(), end - first == 1 ? std::to_string(first) : fmt::format("{}-{}", first, end - 1));
      sheet.rows.push_back(std::move(row));
      first = end;
    }
    add(Grid{std::move(sheet)});
  }

  void use() {
    head("How to use it");
    const std::string trace = shell_word(tuned_.traces.front().info.path.string()),
                      settings = shell_word(report_.settings_file);
    add(Commands{{fmt::format("reattend run --settings {} --prompt-file YOUR.txt", settings),
                  fmt::format("reattend verify {} --settings {} --out verified.json", trace, settings),
                  fmt::format("reattend view {} --settings {}", trace, settings)}});
    explain(
        "The first runs the model under the setting; the second runs the trace's text in the engine and says where the "
        "replay was wrong (`reattend tune --verified verified.json` learns from it); the third shows what is kept.");
  }

  void front() {
    head("The Pareto front");
    Grid grid = {
        .table = {.name = "front",
                  .title = fmt::format(
                      "Of {} settings ({} replayed on all layers) those that no other beats in cost, estimate "
                      "and lost mass, and those that were measured; the fastest first{}",
                      tuned_.points.size(), count_whole(),
                      several() ? ". Costs are means over the traces, everything else is the worst trace's" : ""),
                  .columns = setting_columns(true),
                  .rows = {}}};
    for (size_t i = 0; i < tuned_.points.size(); ++i) {
      const TunePoint& point = tuned_.points[i];
      if (!point.on_front && !point.measured && i != tuned_.chosen) continue;
      if (i == tuned_.chosen) grid.marked = grid.table.rows.size();
      std::vector<Cell> row = {name_of(point) + (i == tuned_.chosen ? " (chosen)" : "")};
      add_numbers(row, point);
      row.emplace_back(std::string(point.within_bounds ? "yes" : "no"));
      grid.table.rows.push_back(std::move(row));
    }
    add(std::move(grid));
  }
  int64_t count_whole() const {
    return std::count_if(tuned_.points.begin(), tuned_.points.end(), [](const TunePoint& p) { return p.whole; });
  }

  std::vector<Column> setting_columns(bool bounds) const {
    std::vector<Column> columns = {{.key = "setting", .left = true}};
    const std::string predicted = "predicted", measured = "measured";
    columns.push_back({.key = "cost", .title = fmt::format("{}/token", unit()), .digits = 2, .group = predicted});
    columns.push_back({.key = "speed_up", .title = "speed-up", .digits = 2, .group = predicted});
    if (tuned_.prediction.curve.exists()) {
      columns.push_back({.key = "predicted_kl", .title = "KL", .digits = 4, .group = predicted});
    }
    columns.push_back({.key = "estimate", .digits = 3, .group = predicted});
    columns.push_back({.key = "lost", .title = "lost mass", .digits = 4, .group = predicted});
    if (any_measured()) {
      columns.push_back({.key = "kl", .title = "KL", .digits = 4, .group = measured});
      columns.push_back({.key = "agreement", .title = "same token, %", .digits = 1, .group = measured});
      if (!tuned_.other_machine) {
        columns.push_back({.key = "ms", .title = "ms/token", .digits = 2, .group = measured});
      }
    }
    if (bounds) columns.push_back({.key = "within", .title = "within the bounds, predicted"});
    return columns;
  }
  /// As setting_columns has them.
  void add_numbers(std::vector<Cell>& row, const PointNumbers& on) const {
    row.insert(row.end(), {on.cost, on.speed_up});
    if (tuned_.prediction.curve.exists()) row.emplace_back(on.predicted_kl);
    row.insert(row.end(), {on.estimate, on.lost});
    if (!any_measured()) return;
    if (on.measured) {
      row.insert(row.end(), {on.measured->kl, 100 * on.measured->agreement});
    } else {
      row.insert(row.end(), 2, std::monostate());
    }
    if (!tuned_.other_machine) row.push_back(on.measured ? Cell(on.measured->ms) : Cell());
  }

  void sweep() {
    std::vector<Figure> figures;
    for (const bool gated : {false, true}) {
      Chart chart = sweep_chart(tuned_, gated);
      if (!chart.panels.empty()) figures.push_back({gated ? "query" : "fixed", std::move(chart), ""});
    }
    if (figures.empty()) return;
    head("What the sweep shows");
    say("Damage falls as more positions are kept, and as they are chosen anew more often; both cost time. Damage is "
        "shown of settings that were replayed on all layers, cost of all.");
    for (Figure& figure : figures) add(std::move(figure));
  }

  void each_trace() {
    head(tuned_.held_out.empty() ? "On each trace" : "On each trace, and on those held out");
    Table sheet = {.name = "traces", .title = "The choice", .columns = setting_columns(false), .rows = {}};
    sheet.columns.front() = {.key = "trace", .left = true};
    const std::vector<Column> more = {
        {.key = "role", .left = true},
        {.key = "n_prompt", .title = "prompt"},
        {.key = "full_cost", .title = "full attention", .digits = 2, .group = "predicted"}};
    sheet.columns.insert(sheet.columns.begin() + 1, more.begin(), more.end());
    const auto row = [&](const std::string& name, const TunedTrace& trace, const PointNumbers& on, bool held_out) {
      std::vector<Cell> cells = {name, std::string(held_out ? "held out" : "tuned on"), int64_t{trace.info.n_prompt},
                                 trace.full_cost};
      add_numbers(cells, on);
      sheet.rows.push_back(std::move(cells));
    };
    const size_t n = tuned_.traces.size();
    for (size_t i = 0; i < n; ++i) row(names_[i], tuned_.traces[i], best_.traces[i], false);
    for (size_t i = 0; i < tuned_.held_out.size(); ++i) {
      row(names_[n + i], tuned_.held_out[i], tuned_.held_out[i].numbers, true);
    }
    add(Grid{std::move(sheet)});
    for (const std::string& line : validation_in_words(tuned_)) say(line);
    if (tuned_.held_out.empty())
      say("No trace was held out (--validate): how the choice does on other texts is not known.");
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
