// Makes the sentences of a tuner's result: the reason, the evidence, the bounds, held-out traces, the setting.
#include "cli/reports/tune_words.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "policies/layer_schedule.h"
#include "policies/policy.h"
#include "policies/value_text.h"
#include "report/table.h"
#include "report/words.h"

namespace reattend::cli {
namespace {

using reattend::to_text;  // of a parameter's value

bool several(const TuneResult& tuned) {
  return tuned.traces.size() > 1;
}

/// " on all 3 traces"; nothing where there is one.
std::string everywhere(const TuneResult& tuned) {
  return several(tuned) ? fmt::format(" on all {} traces", tuned.traces.size()) : std::string();
}

std::string bound_in_words(const Bound& bound, Evidence evidence) {
  switch (bound.of) {
    case Bounded::kl:
      return fmt::format("mean KL <= {}", bound.limit);
    case Bounded::agreement:
      return fmt::format("top-1 agreement >= {}", bound.limit);
    case Bounded::output_error:
      return fmt::format("95th percentile of output error <= {}", bound.limit);
    case Bounded::lost_mass:
      return fmt::format("lost mass <= {}", bound.limit);
    case Bounded::ms:
      break;
  }
  const bool stands_in = bound.of_prediction && evidence == Evidence::measured;
  return fmt::format("ms/token <= {}{}", bound.limit, stands_in ? " as predicted" : "");
}

std::string full_attention_stays(const TuneResult& tuned) {
  if (!several(tuned)) {
    return "No setting of the sweep is faster than full attention on this trace, so full attention stays.";
  }
  return fmt::format(
      "No setting of the sweep is faster than full attention on the mean of the {} traces, so full attention stays.",
      tuned.traces.size());
}

/// What the replay left to choose from.
std::string predicted_in_words(const TuneResult& tuned) {
  const std::string bounds = bounds_in_words(tuned, Evidence::predicted);
  if (!tuned.reason.beyond_bounds) {
    const auto count = [&](bool Candidate::*flag) {
      return std::count_if(tuned.candidates.begin(), tuned.candidates.end(),
                           [flag](const Candidate& each) { return each.*flag; });
    };
    return fmt::format("{} of {} settings replayed on all layers are within the bounds ({}){}.",
                       count(&Candidate::within_bounds), count(&Candidate::whole), bounds, everywhere(tuned));
  }
  const Hardest& nearest = tuned.reason.nearest;
  return fmt::format(
      "No setting that is faster than full attention is within the bounds ({}){}; those nearest to them were taken, "
      "by the larger ratio to a bound ({:.2f} for the first{}).",
      bounds, everywhere(tuned), nearest.most, several(tuned) ? ", on " + trace_names(tuned)[nearest.trace] : "");
}

/// What measuring decided.
std::string measured_in_words(const TuneResult& tuned) {
  const Reason& reason = tuned.reason;
  const Candidate& best = tuned.best();
  const std::string wanted = bounds_in_words(tuned, Evidence::measured) + everywhere(tuned);
  const std::string measured = std::to_string(reason.n_measured) + " measured" +
                               (tuned.policies.size() > 1 ? " (the best of each policy first)" : "");
  std::string kl = fmt::format("{:.4f}", best.measured->kl);
  if (several(tuned)) {
    kl = fmt::format("at most {}; hardest trace: {}", kl,
                     trace_names(tuned)[hardest(best, tuned, Evidence::measured).trace]);
  }
  std::string text;
  if (reason.rule == Reason::Rule::lowest_kl) {
    text = fmt::format("None of the {} has {}; this one has the lowest KL ({}).", measured, wanted, kl);
  } else if (reason.rule == Reason::Rule::fastest) {
    text = fmt::format("Of the {}, this is the fastest with {} (its KL is {}).", measured, wanted, kl);
  } else {
    text = fmt::format(
        "Of the {}, {} with {} are within {:.0f} % of the fastest of them; this one has the lowest KL ({}).", measured,
        reason.n_alike, wanted, 100 * kTimeNoise, kl);
  }
  if (tuned.other_machine) {
    text += " Times are predicted for another machine than this one, so none was measured.";
  } else if (tuned.bounds.max_ms && !tuned.calibrated) {
    text += " Without a calibration the bound on time was held against measured times alone.";
  }
  return text;
}

/// How far what was said may be off.
std::string uncertainty_in_words(const TuneResult& tuned) {
  const Candidate& best = tuned.best();
  std::string text = prediction_in_words(tuned.prediction);
  if (std::isnan(best.predicted_kl)) return text;
  const double spread = tuned.prediction.curve.spread;
  std::string where;
  if (several(tuned)) {
    const size_t trace = hardest(best, [](const Metrics& each) { return each.predicted_kl; }).trace;
    where = fmt::format(" on {}, the hardest trace", trace_names(tuned)[trace]);
  }
  return text + fmt::format(" Predicted KL of the choice{}: {:.4f}, two times in three within {:.4f} to {:.4f}.", where,
                            best.predicted_kl, best.predicted_kl / spread, best.predicted_kl * spread);
}

/// "256 of 2,048", or from the fewest to the most over the traces.
std::string kept(const TuneResult& tuned) {
  const Settings& settings = tuned.best().settings;
  int64_t least = std::numeric_limits<int64_t>::max(), most = 0;
  for (const TunedTrace& trace : tuned.traces) {
    const int64_t k = settings.count("K", 0, trace.info.n_prompt);
    least = std::min(least, k), most = std::max(most, k);
  }
  if (least != most) return fmt::format("{} to {} here", thousands(least), thousands(most));
  return several(tuned)
             ? thousands(least) + " here"
             : fmt::format("{} of the prompt's {}", thousands(least), thousands(tuned.traces.front().info.n_prompt));
}

/// In the registry's words: what is said of recycled attention in more detail below.
std::string policy_in_words(const TuneResult& tuned) {
  const Settings& settings = tuned.best().settings;
  const PolicyInfo& info = settings.info();
  std::string text = tuned.swept(info) ? "" : "A policy that was tried beside the sweep. ";
  text += fmt::format("It keeps: {}. It reads: {}.", info.keeps, info.reads);
  if (!settings.takes("K") || settings.is_auto("K")) return text;
  const Value& budget = settings.get("K");
  return text + (list_size(budget) ? fmt::format(" K is {}, each layer's in the table below.", ends_text(budget))
                                   : fmt::format(" K is {} ({}).", to_text(budget), kept(tuned)));
}

}  // namespace

std::string reason_in_words(const TuneResult& tuned) {
  if (tuned.reason.rule == Reason::Rule::full_attention) return full_attention_stays(tuned);
  std::string decided;
  if (tuned.reason.rule == Reason::Rule::first_tried) {
    decided =
        tuned.reason.beyond_bounds ? "The nearest is chosen." : "The fastest of them is chosen; it was not measured.";
  } else {
    decided = measured_in_words(tuned);
  }
  return fmt::format("{} {} {}", predicted_in_words(tuned), decided, uncertainty_in_words(tuned));
}

std::string bounds_in_words(const TuneResult& tuned, Evidence evidence) {
  std::vector<std::string> parts;
  for (const Bound& bound : bounds_that_hold(tuned, evidence)) parts.push_back(bound_in_words(bound, evidence));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string prediction_in_words(const Prediction& prediction) {
  std::string text = fmt::format("Ranked by {}", prediction.estimate);
  if (prediction.within > 0) {
    text += fmt::format(
        ", whose rank correlation with measured KL was {}{:.2f} within a prompt and {:.2f} across prompts ({})",
        prediction.of_this_model ? "" : "at least ", prediction.within, prediction.across,
        prediction.of_this_model ? "four texts, this model"
                                 : "four other models; of this one nothing is known until a setting is verified");
  } else {
    text += ", which no study stands behind";
  }
  text += prediction.curve.exists()
              ? fmt::format("; KL follows from it within a factor of {:.1f}.", prediction.curve.spread)
              : "; no KL is predicted for this model.";
  const std::string corrected = correction_in_words(prediction.correction);
  return corrected.empty() ? text : text + fmt::format(" Predictions are {}.", corrected);
}

std::string correction_in_words(const Correction& correction) {
  if (correction.n == 0) return {};
  std::string text = fmt::format("corrected by {}: ", plural(correction.n, "verified setting"));
  if (correction.n_timed > 0) {
    text += fmt::format("predicted times x {:.2f} (full attention's x {:.2f}), ", correction.ms, correction.full_ms);
  }
  return text + fmt::format("KL x {:.2f}", correction.kl);
}

std::string time_warning(const TuneResult& tuned) {
  if (!calibration_is_off(tuned)) return {};
  return fmt::format(
      "Full attention was predicted at {:.2f} ms per token and measured at {:.2f}: the calibration is another "
      "machine's, or a busy one's. Measured times hold; predicted ones only rank. `reattend calibrate` and "
      "--calibration give better ones.",
      tuned.full_cost, tuned.best().measured->full_ms);
}

std::vector<std::string> held_out_in_words(const TuneResult& tuned) {
  const std::vector<std::string> names = trace_names(tuned);
  std::vector<std::string> lines;
  for (size_t i = 0; i < tuned.held_out.size(); ++i) {
    const HeldOutTrace& held = tuned.held_out[i];
    const Gap gap = gap_of(held, tuned);
    const std::string tuned_on = tuned.traces.size() > 1 ? "the worst of those tuned on" : "that of the trace tuned on";
    std::string line = fmt::format("Held out: on {} {} is {:.4f}", names[tuned.traces.size() + i], gap.of, gap.there);
    line += std::isnan(gap.to_tuned) ? fmt::format(", its ratio to {} is unknown", tuned_on)
                                     : fmt::format(", {:.2f} times {}", gap.to_tuned, tuned_on);
    if (!std::isnan(gap.to_bound)) line += fmt::format(", {:.2f} times the bound", gap.to_bound);
    const std::optional<bool> keeps = keeps_bounds(held, tuned);
    if (keeps) {
      line += fmt::format(": {} the bounds{}.", *keeps ? "keeps" : "breaks",
                          held.metrics.measured ? "" : ", by prediction");
    } else {
      const bool values = held.info.has_values || !tuned.bounds.max_output_error;
      line += fmt::format(": whether it keeps the bounds is unknown, for the trace has no {}.",
                          values ? "calibration to predict its time by" : "values, which output errors come from");
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<std::string> left_out_in_words(std::span<const LeftOut> left_out) {  // [n]
  struct Group {
    const LeftOut* first;
    int64_t n;
  };
  std::vector<Group> groups;
  for (const LeftOut& each : left_out) {
    const auto same = std::ranges::find_if(groups, [&](const Group& group) {
      return group.first->settings.policy() == each.settings.policy() && group.first->reason == each.reason;
    });
    if (same == groups.end()) {
      groups.push_back({&each, 1});
    } else {
      ++same->n;
    }
  }
  std::vector<std::string> lines;
  for (const auto& [first, n] : groups) {
    const std::string more = n > 1 ? fmt::format(" and {} more", thousands(n - 1)) : std::string();
    lines.push_back(fmt::format("{}{}: {}", first->settings.summary(), more, first->reason));
  }
  return lines;
}

std::string setting_in_words(const TuneResult& tuned) {
  const Settings& settings = tuned.best().settings;
  if (settings.is_full()) return "Full attention: every step attends to everything.";
  if (!settings.takes("schedule")) return policy_in_words(tuned);
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
                                 to_text(budget), kept(tuned));
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
             "cosine is not above {}, it attends to everything and chooses anew. ",
             to_text(stride), to_text(*gate)) +
         between;
}

std::string gain_in_words(const TuneResult& tuned) {
  const Candidate& best = tuned.best();
  const std::string on = several(tuned) ? ", mean over the traces" : "";
  std::string speed = fmt::format("Predicted: {} {} per token where full attention takes {} ({} times as fast{}).",
                                  printed(best.cost, 2), tuned.calibrated ? "ms" : "MB", printed(tuned.full_cost, 2),
                                  printed(best.speed_up, 2), on);
  if (best.measured) {
    speed += " Measured: ";
    if (!tuned.other_machine) speed += fmt::format("{} ms{}", printed(best.measured->ms, 2), on);
    if (best.measured->full_ms > 0) {
      speed += fmt::format(", full attention {} ({} times as fast)", printed(best.measured->full_ms, 2),
                           printed(best.measured->full_ms / best.measured->ms, 2));
    }
    speed += fmt::format("{}mean KL to full attention {}, the same next token at {} % of the steps{}.",
                         tuned.other_machine ? "" : "; ", printed(best.measured->kl, 4),
                         printed(100 * best.measured->agreement, 1), several(tuned) ? " (worst trace)" : "");
  }
  return speed;
}

}  // namespace reattend::cli
