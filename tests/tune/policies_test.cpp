// Several policies in one run of the tuner: none crowds another out, the best of each is measured, and all forms say
// whose numbers they show.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "cli/reports/tune.h"
#include "cli/reports/tune_tables.h"
#include "cli/reports/tune_words.h"
#include "policies/layer_schedule.h"
#include "tests/replay/tuned.h"
#include "tune/by_policy.h"
#include "tune/settings_file.h"

namespace reattend {
namespace {

/// Every policy that has something to sweep, on the run of Tune.
class TunePolicies : public Tune {
 protected:
  TunePolicies() {
    options_.grid.bases.clear(), options_.grid.tried.erase("K");
    for (const PolicyInfo& info : policy_registry()) {
      if (!has_axes(info)) continue;
      Settings& base = options_.grid.bases.emplace_back(info.name);
      if (info.takes("window")) base.set("window", int64_t{4});
    }
  }
  static const PolicyInfo* policy_of(const Candidate& candidate) { return &candidate.settings.info(); }
  /// How many of each policy are replayed on all layers.
  static std::map<const PolicyInfo*, int> n_whole(const TuneResult& result) {
    std::map<const PolicyInfo*, int> n;
    for (const Candidate& candidate : result.candidates) n[policy_of(candidate)] += candidate.whole;
    return n;
  }
};

TEST_F(TunePolicies, OneFrontIsOverAllAndNumbersOfSchedulesAreGivenOnce) {
  options_.n_schedule = 4;
  const TuneResult result = tuned();
  std::set<const PolicyInfo*> tried, by_layer;
  std::set<int> numbers;
  int n_schedule = 0;
  for (const Candidate& candidate : result.candidates) {
    tried.insert(policy_of(candidate));
    if (candidate.schedule > 0) {
      numbers.insert(candidate.schedule), ++n_schedule;
      by_layer.insert(policy_of(candidate));
    }
    for (const Candidate& other : result.candidates) {
      if (candidate.on_front && other.whole) {
        const bool no_worse =
            other.cost <= candidate.cost && other.estimate <= candidate.estimate && other.lost <= candidate.lost;
        const bool better =
            other.cost < candidate.cost || other.estimate < candidate.estimate || other.lost < candidate.lost;
        EXPECT_FALSE(no_worse && better) << name_of(other) << " beats " << name_of(candidate);
      }
    }
  }
  EXPECT_EQ(tried.size(), options_.grid.bases.size());
  EXPECT_GT(by_layer.size(), 3U) << "not of one policy alone";
  EXPECT_EQ(static_cast<int>(numbers.size()), n_schedule);
  EXPECT_EQ(*numbers.rbegin(), n_schedule);
}

TEST_F(TunePolicies, ManySettingsOfOneDoNotCrowdOutAnothersFew) {
  options_.n_whole = 2, options_.n_screen_layer = 1, options_.n_whole_each = 2;
  const TuneResult result = tuned();
  size_t n_all = 0;
  for (const auto& [policy, n] : n_whole(result)) {
    EXPECT_GE(n, 2) << policy->name;
    n_all += static_cast<size_t>(n);
  }
  EXPECT_LT(n_all, result.candidates.size()) << "what is beaten is dropped all the same";
  options_.n_whole_each = 0;
  int n_without = 0;
  for (const auto& [policy, n] : n_whole(tuned())) n_without += n == 0;
  EXPECT_GT(n_without, 0) << "there was something to guard against";
}

TEST_F(TunePolicies, TheBestOfEachIsMeasuredFirstAndMeasuringDecides) {
  Asked asked;
  const auto measure = beside_full([&](const Settings& settings, size_t) {
    asked.place(settings);
    const bool winner = settings.policy() == "quest";
    return Score{.kl = winner ? 0.01 : 0.09, .agreement = 1, .ms = winner ? 1.0 : 1.01};
  });
  const TuneResult result = tuned(measure);
  std::set<std::string> policies;
  for (const Settings& each : asked.different) policies.insert(each.policy());
  EXPECT_EQ(policies.size(), asked.different.size()) << "no two of one policy";
  EXPECT_GT(policies.size(), static_cast<size_t>(kMeasureOfOne));
  EXPECT_EQ(result.best().settings.policy(), "quest") << cli::reason_in_words(result);
  EXPECT_NE(cli::reason_in_words(result).find("measured (the best of each policy first)"), std::string::npos)
      << cli::reason_in_words(result);
  for (const PolicyBest& best : best_of_policies(result)) {
    if (!best.within) continue;
    EXPECT_TRUE(result.candidates[*best.candidate].measured) << best.policy->name;
    for (const Candidate& other : result.candidates) {
      if (policy_of(other) == best.policy && other.within_bounds) {
        EXPECT_LE(result.candidates[*best.candidate].cost, other.cost);
      }
    }
  }
  // Fewer are those of the fastest policies.
  asked = {};
  options_.n_measure = 2;
  tuned(measure);
  EXPECT_EQ(asked.different.size(), 2U);
  EXPECT_NE(asked.different[0].policy(), asked.different[1].policy());
  EXPECT_EQ(Settings::from_toml(settings_file(result, {}), "x"), result.best().settings);
}

TEST_F(TunePolicies, AllFormsSayWhichPolicyIsWhich) {
  const TuneResult predicted = tuned();
  const auto joined = [](const TuneResult& result) {
    std::string text;
    for (const std::string& line : cli::policies_in_words(result)) text += line + "\n";
    return text;
  };
  EXPECT_NE(joined(predicted).find("was not measured"), std::string::npos) << joined(predicted);
  const TuneResult result = tuned(beside_full([](const Settings& settings, size_t) {
    const double ms = settings.policy() == "tova" ? 1 : settings.policy() == "quest" ? 2 : 3;
    return Score{.kl = settings.policy() == "quest" ? 0.0123 : 0.05, .agreement = 1, .ms = ms};
  }));
  EXPECT_NE(
      joined(result).find("quest has the lowest KL (0.0123). Faster than all others or nearer to full attention, times "
                          "within 3 % being equal: tova (1.00 ms, KL 0.0500) and quest (2.00 ms, KL 0.0123)."),
      std::string::npos)
      << joined(result);
  const std::string text = cli::to_text(result), svg = to_svg(cli::front_chart(result));
  const nlohmann::json json = cli::to_json(result);
  EXPECT_NE(text.find("Each policy's best"), std::string::npos) << text;
  ASSERT_EQ(json["policies"].size(), options_.grid.bases.size());
  for (const nlohmann::json& each : json["policies"]) {
    const std::string name = each["policy"];
    EXPECT_NE(text.find(name), std::string::npos) << name;
    EXPECT_GT(each["n_tried"], 0);
    if (each["best"].is_null()) continue;  // slower than full attention
    EXPECT_NE(svg.find(">" + name + "<"), std::string::npos) << name;
    EXPECT_EQ(each["best"]["settings"]["name"], name);
  }
  for (const Candidate& candidate : result.candidates) {
    EXPECT_EQ(cli::short_name(candidate, result).find(candidate.settings.policy()), 0U);
  }
}

// Otherwise the sentence would leave out the very setting that is chosen.
TEST_F(TunePolicies, EquallyFastBestsAreComparedAsTheChoiceIs) {
  const std::map<std::string, std::pair<double, double>> found = {
      {"recycled", {1.000, 0.08}}, {"quest", {1.028, 0.05}}, {"tova", {1.032, 0.03}}, {"h2o", {2, 0.04}}};
  const TuneResult result = tuned(beside_full([&](const Settings& settings, size_t) {
    const auto at = found.find(settings.policy());
    return at == found.end() ? Score{.kl = 0.09, .agreement = 1, .ms = 3}
                             : Score{.kl = at->second.second, .agreement = 1, .ms = at->second.first};
  }));
  std::vector<std::string> front;
  for (const PolicyBest& each : measured_front(best_of_policies(result), result)) front.emplace_back(each.policy->name);
  EXPECT_EQ(front, (std::vector<std::string>{"quest", "tova"}));
  EXPECT_EQ(result.best().settings.policy(), "quest") << cli::reason_in_words(result);
}

TEST_F(TunePolicies, APolicyThatNoStudyLookedAtIsNamedAsSuch) {
  run_->info().attributes["model_sha256"] = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32";
  const TuneResult result = tuned();
  EXPECT_TRUE(result.prediction.knows("quest"));
  EXPECT_FALSE(result.prediction.knows("pyramidkv"));
  const std::string line = cli::policies_in_words(result).back();
  EXPECT_NE(line.find("No setting of "), std::string::npos) << line;
  EXPECT_NE(line.find("pyramidkv"), std::string::npos) << line;
  EXPECT_EQ(line.find("snapkv,"), std::string::npos) << line;
}

TEST_F(TunePolicies, APolicyOfWhichNothingFitsIsSaidAndTheOthersAreTuned) {
  run_->info().has_prompt_row_sums = false;
  const TuneResult result = tuned();
  const std::vector<std::string> lines = cli::left_out_in_words(result.left_out);
  const auto is_of_h2o = [](const std::string& line) { return line.find("h2o") == 0; };
  ASSERT_EQ(std::ranges::count_if(lines, is_of_h2o), 1) << "one reason, one line";
  const std::string line = *std::ranges::find_if(lines, is_of_h2o);
  EXPECT_NE(line.find(" more: "), std::string::npos) << line;
  EXPECT_NE(line.find("--prompt-rows"), std::string::npos) << line;
  bool missing = false;
  for (const std::string& each : cli::policies_in_words(result)) missing |= each == "Nothing of h2o fits the traces.";
  EXPECT_TRUE(missing);
  EXPECT_NE(cli::to_text(result).find("h2o"), std::string::npos);
}

}  // namespace
}  // namespace reattend
