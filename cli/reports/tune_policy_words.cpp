// Compares the policies of a tuner's run in words: what each comes to at its best, as predicted and as measured.
#include <algorithm>
#include <functional>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/reports/tune_words.h"
#include "tune/by_policy.h"

namespace reattend::cli {
namespace {

/// "sketch", "sketch and quest", "sketch, quest and h2o".
std::string listed(std::vector<std::string> words) {
  if (words.size() < 2) return words.empty() ? "none" : words.front();
  const std::string last = std::move(words.back());
  words.pop_back();
  return fmt::format("{} and {}", fmt::join(words, ", "), last);
}

std::vector<std::string> names_of(const std::vector<PolicyBest>& bests,
                                  const std::function<bool(const PolicyBest&)>& of) {
  std::vector<std::string> names;
  for (const PolicyBest& each : bests) {
    if (of(each)) names.emplace_back(each.policy->name);
  }
  return names;
}

/// What the replay says of them.
std::string predicted_in_words(const TuneResult& tuned, const std::vector<PolicyBest>& bests) {
  const auto within = [](const PolicyBest& each) { return each.within; };
  const auto n = std::count_if(bests.begin(), bests.end(), within);
  const std::string bounds = bounds_in_words(tuned, Evidence::predicted);
  if (n == 0) {
    return fmt::format("No policy of the {} has a setting within the bounds ({}) that is faster than full attention.",
                       bests.size(), bounds);
  }
  const Candidate& fastest = tuned.candidates[*bests.front().candidate];
  std::string text = fmt::format(
      "{} of {} policies have a setting within the bounds ({}) that is faster than full attention; as predicted the "
      "fastest is {}'s ({:.2f} {} per token).",
      n, bests.size(), bounds, bests.front().policy->name, fastest.cost, tuned.calibrated ? "ms" : "MB");
  const auto beyond = [](const PolicyBest& each) { return !each.within && each.n_tried > 0; };
  if (const std::vector<std::string> others = names_of(bests, beyond); !others.empty()) {
    text += fmt::format(" Without one: {}.", listed(others));
  }
  return text;
}

/// What the engine says of those of them that it ran.
std::string measured_in_words(const TuneResult& tuned, const std::vector<PolicyBest>& bests) {
  const auto score = [&](const PolicyBest& each) { return tuned.candidates[*each.candidate].measured; };
  std::vector<PolicyBest> measured;
  std::copy_if(bests.begin(), bests.end(), std::back_inserter(measured),
               [&](const PolicyBest& each) { return each.candidate && score(each); });
  if (measured.size() < 2) return "Which of them is nearest to full attention was not measured (--model, --measure).";
  const auto told = [&](const PolicyBest& each) {
    const std::string time = tuned.other_machine ? "" : fmt::format("{:.2f} ms, ", score(each)->ms);
    return fmt::format("{} ({}KL {:.4f})", each.policy->name, time, score(each)->kl);
  };
  const auto lowest =
      *std::min_element(measured.begin(), measured.end(),
                        [&](const PolicyBest& a, const PolicyBest& b) { return score(a)->kl < score(b)->kl; });
  std::vector<std::string> unbeaten;
  for (const PolicyBest& each : measured_front(measured, tuned)) unbeaten.push_back(told(each));
  const auto breaks = [&](const PolicyBest& each) {
    return !passes(tuned.candidates[*each.candidate], tuned, Evidence::measured);
  };
  std::string text = fmt::format(
      "Of the {} that were measured {} has the lowest KL ({:.4f}). Faster than all others or nearer to full attention, "
      "times within {:.0f} % being equal: {}.",
      measured.size(), lowest.policy->name, score(lowest)->kl, 100 * kTimeNoise, listed(unbeaten));
  if (const std::vector<std::string> broken = names_of(measured, breaks); !broken.empty()) {
    text += fmt::format(" Beyond the bounds as measured: {}.", listed(broken));
  }
  return text;
}

/// How far predictions of different policies may be compared.
std::string law_in_words(const TuneResult& tuned, const std::vector<PolicyBest>& bests) {
  const Prediction& prediction = tuned.prediction;
  if (prediction.within <= 0) return {};
  std::string text =
      "Estimates were judged over settings of several policies together, most of them recycled's: how they order the "
      "settings of different policies is known less well than how they order one's";
  if (prediction.curve.exists()) {
    text += ", and a policy may lie beside the one law to KL (on SmolLM2 quest's settings had 0.4 of the KL predicted)";
  }
  const auto unknown = [&](const PolicyBest& each) { return each.n_tried > 0 && !prediction.knows(each.policy->name); };
  if (const std::vector<std::string> others = names_of(bests, unknown); !others.empty()) {
    text += fmt::format(". No setting of {} was among them: of {} only what is measured counts", listed(others),
                        others.size() == 1 ? "it" : "these");
  }
  return text + ".";
}

}  // namespace

std::vector<std::string> policies_in_words(const TuneResult& tuned) {
  const std::vector<PolicyBest> bests = best_of_policies(tuned);
  std::vector<std::string> lines = {predicted_in_words(tuned, bests), measured_in_words(tuned, bests)};
  const auto missing = [](const PolicyBest& each) { return each.n_tried == 0; };
  if (const std::vector<std::string> names = names_of(bests, missing); !names.empty()) {
    lines.push_back(fmt::format("Nothing of {} fits the traces.", listed(names)));
  }
  if (std::string law = law_in_words(tuned, bests); !law.empty()) lines.push_back(std::move(law));
  return lines;
}

}  // namespace reattend::cli
