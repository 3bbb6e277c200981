// What the window shows is what the programs print: fifty settings on each of three traces, by the real programs.
#include <cmath>
#include <fstream>
#include <random>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "policies/policy.h"
#include "policies/policy_list.h"
#include "tests/support/program.h"
#include "traces/read/reader.h"
#include "viz/session/ledger.h"
#include "written_trace.h"

namespace reattend::viz::testing {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// Draws settings of all policies, a parameter here and there by layer; the same ones in every run.
class Draw {
 public:
  explicit Draw(const TraceInfo& info) : info_(info) {}
  std::vector<Settings> take(size_t n) {
    std::vector<Settings> out;
    while (out.size() < n) {
      const auto policies = policy_registry();
      Settings next(policies[below(static_cast<int64_t>(policies.size()))].name);
      if (next.is_full()) continue;  // what all others are held against
      for (const PolicyParameter& each : next.info().parameters) vary(next, *each.parameter);
      try {
        next.check_against_model(info_.n_layer);
        make_policy(next, info_.run_shape());
      } catch (const Error&) {
        continue;  // such as a window above the budget
      }
      if (std::ranges::find(out, next) == out.end()) out.push_back(next);
    }
    return out;
  }

 private:
  size_t below(int64_t n) { return static_cast<size_t>(random_() % static_cast<uint64_t>(n)); }
  std::optional<Value> value_of(const Parameter& parameter) {
    if (parameter.key == "S") return Value(static_cast<int64_t>(1 + below(info_.n_step)));
    if (parameter.key == "K") return Value(static_cast<int64_t>(8 + below(info_.n_prompt)));
    if (parameter.key == "threshold") return Value(static_cast<double>(below(1000)) / 1000);
    if (parameter.tried.empty()) return {};
    return parse_value(parameter, parameter.tried[below(static_cast<int64_t>(parameter.tried.size()))]);
  }
  void vary(Settings& settings, const Parameter& parameter) {
    const std::optional<Value> value = value_of(parameter);
    if (!value || below(4) == 0) return;  // its default
    settings.set(parameter.key, *value);
    if (below(2) == 0) settings.let_decide(parameter.key);
    if (!parameter.per_layer || below(3) != 0) return;
    const auto layer = static_cast<int32_t>(below(info_.n_layer));
    try {
      settings = with_value(settings, std::string(parameter.key), *value_of(parameter), {layer}, info_.n_layer);
    } catch (const Error&) {
      return;  // of this policy all layers have the same
    }
  }

  const TraceInfo& info_;
  std::mt19937_64 random_{20261201};
};

class Equality : public ::testing::Test {
 protected:
  static constexpr size_t kSettings = 50;
  /// What a program prints; it must end well.
  static std::string output_of(const std::vector<std::string>& arguments) {
    const test::ProgramResult result = test::run_program(arguments);
    EXPECT_EQ(result.code, 0) << arguments[0] << ' ' << arguments[1] << ": " << result.err;
    return result.out;
  }
  /// State, ledger and Tune's table under each setting, from the window.
  struct Shown {
    json state, ledger, layers;
  };
  std::vector<Shown> show(const std::vector<std::string>& files) {
    const fs::path script = folder / "script.txt";
    {
      std::ofstream out(script);
      out << "panel.hide Landscape\n";
      for (const std::string& file : files) {
        out << "setting.load \"" << file << "\"\nledger.worst cost\nstate\npanel.table Ledger\npanel.table Tune\n";
      }
    }
    std::istringstream lines(
        output_of({"env", "XDG_CONFIG_HOME=" + (folder / "config").string(),
                   "XDG_CACHE_HOME=" + (folder / "cache").string(), REATTEND_VIEW, trace.string(), "--headless",
                   "--no-project", "--size", "320x320", "--script", script.string()}));
    const auto next = [&] {
      std::string line;
      std::getline(lines, line);
      return json::parse(line, nullptr, false);
    };
    std::vector<Shown> out;
    for (size_t i = 0; i < files.size(); ++i) {
      next();  // the layer that costs most: what waits for the ledger
      Shown& each = out.emplace_back();
      each.state = next(), each.ledger = next(), each.layers = next();
    }
    return out;
  }
  /// What `reattend tune` says of each setting, by its JSON.
  std::map<std::string, json> tune(const std::vector<Settings>& settings) {
    std::string entries;
    for (const Settings& each : settings) {
      std::string entry = policy_entry(each);
      if (entry == each.policy()) {  // a name alone would be swept
        const std::string_view key = each.info().parameters.front().parameter->key;
        entry += ":" + std::string(key) + "=" + to_text(each.get(key));
      }
      entries += (entries.empty() ? "" : ",") + entry;
    }
    tuned_ = json::parse(output_of({REATTEND_PROGRAM, "tune", trace.string(), "--policies", entries, "--schedules", "0",
                                    "--json", "--force", "--out", (folder / "tuned.toml").string()}),
                         nullptr, false);
    std::map<std::string, json> out;
    for (const json& point : tuned_["points"]) out[point["settings"].dump()] = point;
    return out;
  }
  void expect_layers(const json& shown, const json& replayed);
  void expect_equal();

  const test::ScratchFolder folder;
  const fs::path trace = folder / "trace.h5";
  json tuned_;
};

/// Tune's table: layers to the last digit. The window's layers come in the order in which they are replayed, and sums
/// over all of them are rounded in that order: the row of all may differ in its last digits.
void Equality::expect_layers(const json& shown, const json& replayed) {
  ASSERT_EQ(shown.size(), replayed["layers"].size() + 1);
  for (size_t i = 0; i < shown.size(); ++i) {
    const bool total = i + 1 == shown.size();
    const json& numbers = total ? replayed["total"] : replayed["layers"][i];
    for (const auto& [key, number] : shown[i].items()) {
      if (key == "layer") continue;
      ASSERT_TRUE(numbers.contains(key)) << key;
      if (!total || !number.is_number()) {
        EXPECT_EQ(number, numbers[key]) << key << " of row " << i;
      } else {
        EXPECT_DOUBLE_EQ(number.get<double>(), numbers[key].get<double>()) << key;
      }
    }
  }
}

void Equality::expect_equal() {
  const auto reader = TraceReader::open(trace);
  const TraceInfo& info = reader->info();
  const std::vector<Settings> settings = Draw(info).take(kSettings);
  std::vector<std::string> files;
  for (const Settings& each : settings) {
    files.push_back((folder / (std::to_string(files.size()) + ".toml")).string());
    std::ofstream(files.back()) << each.to_toml();
  }
  const std::vector<Shown> shown = show(files);
  const std::map<std::string, json> tuned = tune(settings);
  const bool calibrated = tuned_["cost_unit"] == "ms per token";
  std::optional<double> rest;  // of the cost: what no layer's attention has a part in
  for (size_t i = 0; i < settings.size(); ++i) {
    SCOPED_TRACE(settings[i].summary());
    const json& state = shown[i].state;
    const json wanted = settings[i].to_json();
    ASSERT_EQ(state["setting"], wanted);
    ASSERT_TRUE(tuned.contains(wanted.dump()));
    const json& point = tuned.at(wanted.dump());
    // The goal strip: of the tuner's own functions, to the bit.
    EXPECT_EQ(state["goal"]["kl"], point["predicted_kl"]);
    EXPECT_EQ(state["goal"]["estimate"], point["estimate"]);
    const json replayed =
        json::parse(output_of({REATTEND_PROGRAM, "replay", trace.string(), "--settings", files[i], "--json"}));
    EXPECT_EQ(state["goal"]["ms_per_token"], replayed["total"]["ms_per_token"]);
    EXPECT_EQ(state["goal"]["ms_per_token_full"], replayed["total"]["ms_per_token_full"]);
    if (calibrated) {
      EXPECT_EQ(state["goal"]["ms_per_token"], point["cost"]);
      EXPECT_EQ(state["goal"]["ms_per_token_full"], tuned_["full_cost"]);
    }
    expect_layers(shown[i].layers, replayed);
    // The ledger: losses are the replay's, to the bit; costs of layers stand in no other program's output, but their
    // sum is the tuner's cost less a part that is no layer's and the same for all settings.
    double cost = 0, share = 0;
    ASSERT_EQ(shown[i].ledger.size(), replayed["layers"].size());
    for (size_t l = 0; l < shown[i].ledger.size(); ++l) {
      const json &row = shown[i].ledger[l], &layer = replayed["layers"][l];
      EXPECT_EQ(row["layer"], layer["layer"]);
      EXPECT_EQ(row["lost"], layer["lost"]);
      EXPECT_EQ(row["output_error"], layer["output_error_mean"]);
      cost += row[calibrated ? "ms" : "megabytes"].get<double>(), share += row["share"].get<double>();
    }
    const double left = point["cost"].get<double>() - cost;
    if (!rest) rest = left;
    EXPECT_NEAR(left, *rest, 1e-9);
    EXPECT_NEAR(share, point["estimate"].get<double>() > 0 ? 1 : 0, 1e-9);
  }
}

TEST_F(Equality, OnAWholeTraceOfFullAttention) {
  const SyntheticShape shape = {.n_layer = 4, .n_head = 4, .n_prompt = 160, .n_step = 16, .sha256 = kSmolLM2};
  write_synthetic(trace, shape, shape.n_step)->close();
  expect_equal();
}

TEST_F(Equality, OnATraceUnderAPolicyWhoseModelHasWindows) {
  output_of({REATTEND_PROGRAM, "record", "--raw", "--ignore-end", "--model", "tests/golden/models/tiny_gemma3.gguf",
             "--prompt-tokens", "tests/golden/policies/tiny_gemma3_recycled_s4_k16.json", "--steps", "12", "--policy",
             "recycled", "--stride", "4", "--budget", "16", "--no-calibration", "--out", trace.string()});
  expect_equal();
}

// The recorder has written 10 of 16 steps, and the file lies there as it would if it were killed now.
TEST_F(Equality, OnATraceThatIsBeingRecorded) {
  const SyntheticShape shape = {.n_layer = 3, .n_head = 4, .n_prompt = 120, .n_step = 16, .sha256 = kGemma};
  const auto writer = write_synthetic(trace, shape, 10);
  expect_equal();
}

}  // namespace
}  // namespace reattend::viz::testing
