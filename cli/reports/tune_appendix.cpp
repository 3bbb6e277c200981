// Writes the end of a tuner's report: where its numbers come from, what they mean, how it was made.
#include <algorithm>

#include <fmt/format.h>

#include "cli/reports/tune.h"
#include "cli/reports/tune_words.h"
#include "replay/estimates.h"

namespace reattend::cli {
namespace {

class Appendix {
 public:
  Appendix(Document& out, const TuneReport& report)
      : out_(out), report_(report), tuned_(report.tuned), names_(trace_names(tuned_)) {}

  void write() {
    sources();
    glossary();
    made_by();
  }

 private:
  void sources() {
    out_.head("Where the numbers come from");
    out_.say("Times: " + report_.times_from + ".");
    if (const std::string warning = time_warning(tuned_); !warning.empty()) out_.add(Text{{warning, Style::strong}});
    if (tuned_.calibrated) calibration_table();
    out_.say(prediction_in_words(tuned_.prediction));
    const std::string corrected = correction_in_words(tuned_.prediction.correction);
    if (corrected.empty()) {
      out_.add(rich("No prediction was corrected: no `reattend verify` result was given (--verified)."));
    } else {
      List files;
      for (const std::string& file : report_.verified) files.items.push_back({{file, Style::code}});
      out_.say("Predictions are " + corrected + ":");
      out_.add(std::move(files));
    }
    if (!tuned_.has_values)
      out_.say("A trace has no values: output errors are unknown, and lost mass alone ranks settings wrongly.");
  }

  /// One column where all traces have the same.
  void calibration_table() {
    Table table = {.name = "calibration",
                   .title = report_.datasheet ? "What the data sheet says, and follows from it; nothing was measured"
                                              : "What the machine was measured at",
                   .columns = {{.key = "part", .left = true}},
                   .rows = {}};
    std::vector<const Calibration*> columns;
    for (size_t i = 0; i < tuned_.traces.size(); ++i) {
      const Calibration& own = tuned_.traces[i].info.calibration;
      const auto same = [&](const CalibrationField& f) { return own.*f.value == columns.front()->*f.value; };
      if (i > 0 && columns.size() == 1 &&
          std::all_of(std::begin(kCalibrationFields), std::end(kCalibrationFields), same))
        continue;
      columns.push_back(&own);
      table.columns.push_back({.key = names_[i], .title = tuned_.traces.size() > 1 ? names_[i] : "value"});
    }
    if (columns.size() == 1) table.columns.back().title = "value";
    for (const CalibrationField& field : kCalibrationFields) {
      std::vector<Cell> row = {fmt::format("{}, {}", field.what, field.unit)};
      bool any = false;
      for (const Calibration* const each : columns) {
        const double value = each->*field.value;
        row.push_back(value == field.otherwise ? Cell() : Cell(value));
        any = any || value != field.otherwise;
      }
      if (any) table.rows.push_back(std::move(row));
    }
    out_.add(std::move(table));
  }

  void glossary() {
    out_.head("What the numbers mean, and what they do not");
    List list;
    const auto term = [&](const std::string& word, const std::string& meaning) {
      list.items.push_back({{word, Style::strong}, {": " + meaning}});
    };
    term("predicted",
         "found by replaying the policy on the recorded queries and keys. The replay follows the recorded "
         "run, so errors do not feed back into later steps as they do in the engine");
    term("measured", "found by running the model under the setting along the recorded tokens");
    term("KL",
         "mean over the steps of the Kullback-Leibler divergence from full attention's next-token distribution, in "
         "nats; 0 is no difference");
    term("top-1", "share of the steps at which the most probable next token is full attention's");
    term("estimate", fmt::format("{}: {}; what settings are ranked by", tuned_.prediction.estimate,
                                 find_estimate(tuned_.prediction.estimate)->description));
    term("lost mass",
         "share of full attention's weights on positions that were not attended to; it ranks settings "
         "wrongly by itself");
    term("S, K, threshold",
         "steps from one refresh to the next; positions kept (L is the prompt's length); cosine "
         "below which a layer refreshes on the query schedule");
    term("limits",
         "what holds on these texts need not hold on others of another kind or length; times hold for the "
         "machine they were predicted for");
    out_.add(std::move(list));
  }

  void made_by() {
    out_.head("How this was made");
    out_.add(Verbatim{{report_.command_line}});
    std::string versions = "reattend " + report_.version;
    const TraceInfo& info = tuned_.traces.front().info;
    if (const std::string writer = info.attribute("writer"); !writer.empty()) versions += "; traces by " + writer;
    if (const std::string sha = info.attribute("model_sha256"); !sha.empty()) versions += "; model SHA-256 " + sha;
    out_.say(versions + ".");
  }

  Document& out_;
  const TuneReport& report_;
  const TuneResult& tuned_;
  std::vector<std::string> names_;
};

}  // namespace

void add_appendix(Document& document, const TuneReport& report) {
  Appendix(document, report).write();
}

}  // namespace reattend::cli
