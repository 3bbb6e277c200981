// `reattend tune` on several traces and its report, as a user meets them, on the tiny model.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <thread>

#include <nlohmann/json.hpp>

#include "tests/support/program.h"

namespace reattend::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
const std::string kTiny = "tests/golden/models/tiny_llama.gguf";

class TuneCommand : public ::testing::Test {
 protected:
  static ProgramResult run(std::vector<std::string> arguments, const std::function<void(pid_t)>& meanwhile = {}) {
    arguments.insert(arguments.begin(), REATTEND_PROGRAM);
    return run_program(std::move(arguments), meanwhile);
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string record(const std::string& name, const std::string& context, const std::string& model = kTiny,
                     const std::string& more = "--ignore-end") {
    const ProgramResult recorded =
        run({"record", "--raw", "--ignore-end", "--model", model, "--prompt-file", "assets/prose.txt", "--context",
             context, "--steps", "12", "--out", file(name), more});
    EXPECT_EQ(recorded.code, 0) << recorded.err;
    return file(name);
  }
  /// Times of tiny runs are noise; on this machine attention is what takes time, so that some setting is faster.
  std::string machine() const {
    std::ofstream(file("machine.json")) << R"({"calibration": {"weights_ms": 0.001, "stream_gbps": 1,
      "attend_stream_gbps": 0.001, "attend_gather_gbps": 0.001, "score_gbps": 1}})";
    return file("machine.json");
  }
  /// A small sweep of these traces.
  std::vector<std::string> tune(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {
        "tune",         "--budgets", "16,30",       "--strides", "4,8",   "--gate-strides",  "2",
        "--thresholds", "0.8",       "--schedules", "0",         "--out", file("tuned.toml")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  void expect_refused(const std::vector<std::string>& more, int code, const std::string& part) const {
    const ProgramResult result = run(tune(more));
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(fs::exists(file("tuned.toml")));
  }
  static size_t count(const std::string& text, const std::string& part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
    return n;
  }
  ScratchFolder folder_;
};

TEST_F(TuneCommand, SeveralTracesAreTunedMeasuredHeldOutAndReported) {
  const std::string a = record("a.h5", "90"), b = record("a <b>& b.h5", "70"), c = record("c.h5", "50");
  const std::string report = file("report.html");
  const std::vector<std::string> command = tune({a, b, "--held-out", c, "--model", kTiny, "--measure", "2", "--max-kl",
                                                 "5", "--calibration", machine(), "--report", report, "--json"});
  const ProgramResult tuned = run(command);
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  const json result = json::parse(tuned.out);
  EXPECT_EQ(result["traces"].size(), 2U);
  ASSERT_EQ(result["chosen"]["traces"].size(), 2U);
  double worst = 0;
  for (const json& each : result["chosen"]["traces"]) worst = std::max(worst, each["measured"]["kl"].get<double>());
  EXPECT_EQ(result["chosen"]["measured"]["kl"], worst);
  const json& held = result["held_out"][0];
  EXPECT_NEAR(held["gap"]["to_worst_tuned_on"], held["measured"]["kl"].get<double>() / worst, 1e-9);

  const std::string html = read_all(report);
  EXPECT_NE(html.find("<code>" + result["chosen"]["summary"].get<std::string>()), std::string::npos);
  for (const json& point : result["points"]) {
    if (point["on_front"]) {
      EXPECT_NE(html.find(">" + point["summary"].get<std::string>()), std::string::npos) << point["summary"];
    }
  }
  EXPECT_NE(html.find("Held out: on c.h5 measured KL is "), std::string::npos);
  EXPECT_NE(html.find("a &lt;b&gt;&amp; b.h5"), std::string::npos);
  EXPECT_EQ(html.find("<b>&"), std::string::npos) << "a name is never markup";
  EXPECT_NE(html.find("&lt;b&gt;&amp; b.h5'"), std::string::npos) << "the command can be typed again";
  for (const char* const part : {"<script", "http://localhost", "https:", "<link", "src="}) {
    EXPECT_EQ(html.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(count(html, "<svg "), count(html, "</svg>"));
  EXPECT_EQ(count(html, "aria-label="), count(html, "<svg "));
  for (const char* const tag : {"table", "tr", "td", "th", "figure", "ul", "li", "p", "div", "code", "strong"}) {
    EXPECT_EQ(count(html, std::string("<") + tag + ">") + count(html, std::string("<") + tag + " "),
              count(html, std::string("</") + tag + ">"))
        << tag;
  }
  // What exists stays, and is said before the sweep.
  fs::remove(file("tuned.toml"));
  expect_refused({a, "--report", report}, 2, "--force");
}

TEST_F(TuneCommand, AReportInMarkdownHasItsFiguresBesideIt) {
  const std::string a = record("a_|`b.h5", "90");
  const ProgramResult tuned = run(tune({a, "--report", file("a report.md")}));
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  const std::string text = read_all(file("a report.md"));
  EXPECT_NE(text.find("](a%20report-front.svg)"), std::string::npos) << text;
  EXPECT_NE(text.find("`` a_|`b.h5 ``"), std::string::npos) << "a fence longer than the name's";
  EXPECT_EQ(read_all(file("a report-front.svg")).find("<?xml"), 0U);
  EXPECT_NE(text.find("Nothing was measured"), std::string::npos);
  fs::remove(file("a report.md")), fs::remove(file("tuned.toml"));
  expect_refused({a, "--report", file("a report.md")}, 2, "a report-front.svg");
}

TEST_F(TuneCommand, AllPoliciesAreSweptInOneRun) {
  const std::string a = record("a.h5", "90"), report = file("all.html");
  const auto policies_of = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"tune", a, "--budgets", "16,30", "--schedules", "2", "--force", "--json", "--out",
                               file("tuned.toml")});
    const ProgramResult tuned = run(more);
    EXPECT_EQ(tuned.code, 0) << tuned.err;
    EXPECT_EQ(tuned.err.find("their queries choose"), std::string::npos)
        << "an option's help is no note: " << tuned.err;
    std::map<std::string, json> out;
    const json result = json::parse(tuned.out);
    for (const json& each : result["policies"]) out[each["policy"]] = each;
    return out;
  };
  const std::map<std::string, json> all =
      policies_of({"--policies", "all", "--window", "4", "--pool", "3", "--model", kTiny, "--max-kl", "9",
                   "--calibration", machine(), "--report", report});
  EXPECT_GE(all.size(), 10U);
  EXPECT_FALSE(all.contains("full"));
  EXPECT_EQ(all.at("snapkv")["best"]["settings"]["window"], 4);
  EXPECT_EQ(all.at("oracle")["best"]["settings"]["pool"], 3) << "an option holds for all that take it";
  int n_measured = 0;
  for (const auto& [name, each] : all) n_measured += each["best"].contains("measured");
  EXPECT_GT(n_measured, 3) << "the best of each";
  EXPECT_NE(read_all(report).find("policy&#39;s best") != std::string::npos ||
                read_all(report).find("policy's best") != std::string::npos,
            false);
  // Names are swept, with values they are one setting; recycled is the default where none is named to sweep.
  EXPECT_EQ(policies_of({"--policies", "snapkv,tova", "--window", "4"}).size(), 2U);
  const std::map<std::string, json> beside = policies_of({"--policies", "tova:K=20"});
  EXPECT_EQ(beside.at("tova")["n_tried"], 1);
  EXPECT_GT(beside.at("recycled")["n_tried"], 2);
  EXPECT_EQ(policies_of({"--policy", "h2o", "--policies", "tova"}).size(), 2U);
  fs::remove(file("tuned.toml"));
  const auto refused = [&](const std::vector<std::string>& more, const std::string& part) {
    std::vector<std::string> arguments = {"tune", a, "--out", file("tuned.toml")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = run(arguments);
    EXPECT_EQ(result.code, 2) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  };
  refused({"--policies", "tova,h2o", "--strides", "4"}, "--strides: expected a policy that takes it (recycled");
  refused({"--policies", "tova,h2o", "--pool", "3"}, "got tova, h2o");
  refused({"--policies", "all", "--budget", "30"}, "--budgets: a sweep tries several values");
  refused({"--policies", "all,telepathy"}, "telepathy");
  refused({"--policies", "tova,,h2o"}, "--policies");
  refused({"--policies", "full"}, "--policies: expected policies that have something to sweep, or settings, got full");
  refused({"--policies", "tova,snapkv", "--sweep", "windows=4"}, "of a parameter of tova, snapkv (K, ");
}

TEST_F(TuneCommand, WhatCannotBeTunedTogetherIsSaidInALine) {
  const std::string a = record("a.h5", "90"), same = record("same.h5", "90");
  const std::string other = record("other.h5", "90", "tests/golden/models/tiny_quant.Q8_0.gguf");
  expect_refused({a, a}, 2, "a.h5: expected traces of different texts");
  expect_refused({a, same}, 2, "same.h5: expected traces of different texts");
  expect_refused({a, "--held-out", a}, 2, "--held-out");
  expect_refused({a, "--held-out", file("none.h5")}, 1, "none.h5");
  expect_refused({a, file("none.h5")}, 1, "none.h5");
  expect_refused({a, other}, 2, "other.h5: expected a trace of the same model");
  expect_refused({a, "--held-out", other}, 2, "other.h5: expected a trace of the same model");
  expect_refused({file("none.h5"), "--report", file("report.pdf")}, 2, ".html or .md");
  expect_refused({file("none.h5"), "--report", file("html")}, 2, ".html or .md");
  expect_refused({file("none.h5"), "--report", file("none/report.html")}, 1, "none");
  expect_refused({a, "--model", file("none.gguf")}, 1, "none.gguf");
  const ProgramResult both = run({"tune", a, "--report", file("r.md"), "--out", file("./r.md")});
  EXPECT_EQ(both.code, 2) << both.err;
}

TEST_F(TuneCommand, AHeldOutTraceIsRefusedWhereItSaysNothingNew) {
  const std::string a = record("a.h5", "90"), bare = record("bare.h5", "70", kTiny, "--no-values");
  const ProgramResult sliced = run({"trace", "slice", a, "--steps", "1:6", "--out", file("slice.h5")});
  ASSERT_EQ(sliced.code, 0) << sliced.err;
  expect_refused({a, "--held-out", file("slice.h5")}, 2, "one that begins as " + a);
  expect_refused({file("slice.h5"), "--held-out", a}, 2, "--held-out " + a);
  expect_refused({a, "--held-out", bare}, 2, "--held-out " + bare + ": expected a trace with values");
  // As it was called a version ago: both names in one command add up, and the JSON has its list under both.
  const std::string b = record("b.h5", "60"), c = record("c.h5", "80");
  const ProgramResult old = run(tune({a, "--validate", b, "--held-out", c, "--json"}));
  ASSERT_EQ(old.code, 0) << old.err;
  EXPECT_NE(old.err.find("--validate is now called --held-out"), std::string::npos) << old.err;
  const json result = json::parse(old.out);
  EXPECT_EQ(result["held_out"].size(), 2U);
  EXPECT_EQ(result["validation"], result["held_out"]);
}

TEST_F(TuneCommand, ABoundOnTimeNeedsTimes) {
  const std::string a = record("a.h5", "90", kTiny, "--no-calibration");
  expect_refused({a, "--max-ms", "3"}, 2, "--max-ms: ");
  const ProgramResult measured = run(tune({a, "--max-ms", "1000", "--max-kl", "9", "--model", kTiny}));
  ASSERT_EQ(measured.code, 0) << measured.err;
  EXPECT_NE(measured.out.find("held against measured times alone"), std::string::npos) << measured.out;
}

TEST_F(TuneCommand, TimesOfTracesWithAndWithoutCalibrationAreToldApart) {
  const std::string a = record("a.h5", "90"), bare = record("bare.h5", "70", kTiny, "--no-calibration");
  const ProgramResult together = run(tune({a, bare, "--json"}));
  ASSERT_EQ(together.code, 0) << together.err;
  const json times = json::parse(together.out)["times"];
  EXPECT_EQ(times["measured"], false);
  EXPECT_EQ(times["text"].get<std::string>().find("none"), 0U) << times;
  EXPECT_EQ(times["traces"][0]["measured"], true);
  EXPECT_EQ(times["traces"][1]["measured"], false);
  EXPECT_EQ(times["traces"][1]["trace"], bare);
  // Held out it has no time in milliseconds; held out from it the other one has none either.
  const json held = json::parse(run(tune({a, "--held-out", bare, "--force", "--json"})).out);
  EXPECT_EQ(held["cost_unit"], "ms per token");
  EXPECT_TRUE(held["held_out"][0]["cost"].is_null());
  const json other = json::parse(run(tune({bare, "--held-out", a, "--force", "--json"})).out);
  EXPECT_EQ(other["cost_unit"], "MB per token");
  EXPECT_GT(other["held_out"][0]["cost"].get<double>() / other["full_cost"].get<double>(), 0.1);
}

TEST_F(TuneCommand, AnotherMachinesTimesStandAlone) {
  const std::string a = record("a.h5", "90"), b = record("b.h5", "70");
  const ProgramResult tuned = run(tune({a, "--held-out", b, "--datasheet", "H200", "--model", kTiny, "--max-kl", "9",
                                        "--report", file("r.md"), "--json"}));
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  const json result = json::parse(tuned.out);
  EXPECT_EQ(result["times"]["measured"], false);
  EXPECT_EQ(result["times"]["traces"].size(), 2U);
  EXPECT_TRUE(result["times"]["traces"][1]["fits"]);
  EXPECT_TRUE(result["held_out"][0]["measured"]["kl"].is_number());
  EXPECT_TRUE(result["held_out"][0]["measured"]["ms_per_token"].is_null());
  const std::string text = read_all(file("r.md"));
  EXPECT_NE(text.find("What the data sheet says"), std::string::npos);
  EXPECT_EQ(text.find("What the machine was measured at"), std::string::npos);
  EXPECT_EQ(text.find("ms/token, measured"), std::string::npos) << text;
  EXPECT_EQ(text.find("another machine's, or a busy one's"), std::string::npos);

  // A file is this machine's unless it says that it is not.
  const auto from = [&](const json& more) {
    json made = json::parse(read_all(machine()));
    made.update(more);
    std::ofstream(file("other.json")) << made.dump();
    const ProgramResult found =
        run(tune({a, "--calibration", file("other.json"), "--model", kTiny, "--max-kl", "9", "--force", "--json"}));
    EXPECT_EQ(found.code, 0) << found.err;
    return json::parse(found.out)["chosen"]["measured"]["ms_per_token"];
  };
  EXPECT_TRUE(from(json::object()).is_number());
  EXPECT_TRUE(from({{"device", "cpu"}}).is_number());
  EXPECT_TRUE(from({{"device", "gpu0"}}).is_null());
  EXPECT_TRUE(from({{"threads", 4096}}).is_null());
}

TEST_F(TuneCommand, PromptsOfTracesThatShareANameAreKeptApart) {
  fs::create_directory(file("x")), fs::create_directory(file("y"));
  const std::string a = record("a.h5", "90"), b = record("x/b.h5", "70"), c = record("y/b.h5", "50");
  const std::vector<std::string> command =
      tune({a, b, c, "--calibration", machine(), "--model", kTiny, "--max-kl", "9", "--prompt-cache", file("kept")});
  const ProgramResult tuned = run(command);
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  int n = 0;
  for (const auto& entry : fs::directory_iterator(file("."))) n += entry.path().filename().string().starts_with("kept");
  EXPECT_EQ(n, 3) << tuned.err;
  EXPECT_EQ(tuned.err.find("another prompt"), std::string::npos) << tuned.err;
}

TEST_F(TuneCommand, WhatWasVerifiedCorrectsTimesOfItsOwnTraceAlone) {
  const std::string a = record("a.h5", "90"), b = record("b.h5", "70"), found = file("found.json");
  const ProgramResult verified = run({"verify", a, "--model", kTiny, "--policy", "recycled", "--stride", "4",
                                      "--budget", "16", "--repeats", "1", "--out", found});
  ASSERT_EQ(verified.code, 0) << verified.err;
  json kept = json::parse(read_all(found));
  const auto cost = [&](const std::string& trace, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {trace, "--force", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult tuned = run(tune(arguments));
    EXPECT_EQ(tuned.code, 0) << tuned.err;
    return json::parse(tuned.out)["full_cost"].get<double>();
  };
  kept["verified"]["full_ms"] = 3 * kept["verified"]["predicted_full_ms"].get<double>();
  std::ofstream(found) << kept.dump();
  EXPECT_NEAR(cost(a, {"--verified", found}), 3 * cost(a, {}), 1e-9);
  EXPECT_NEAR(cost(b, {"--verified", found}), cost(b, {}), 1e-9) << "found on another trace";
  fs::remove(file("tuned.toml"));
  kept["verified"]["model_sha256"] = std::string(64, 'f');
  std::ofstream(found) << kept.dump();
  expect_refused({a, "--verified", found}, 2, "--verified " + found + ": expected a setting that was verified on");
}

TEST_F(TuneCommand, InterruptedItSaysSoAndLeavesNothing) {
  const std::string a = record("a.h5", "90"), b = record("b.h5", "70");
  std::string budgets = "8";
  for (int k = 9; k < 80; ++k) budgets += "," + std::to_string(k);
  const ProgramResult stopped = run({"tune", a, b, "--budgets", budgets, "--model", kTiny, "--measure", "1000",
                                     "--max-kl", "100", "--out", file("tuned.toml"), "--report", file("r.html")},
                                    [](pid_t child) {
                                      std::this_thread::sleep_for(std::chrono::milliseconds(250));
                                      ::kill(child, SIGINT);
                                    });
  // A machine may be done before the signal comes.
  if (stopped.code == 0) GTEST_SKIP() << "was faster than the signal";
  EXPECT_EQ(stopped.code, 130) << stopped.err;
  EXPECT_NE(stopped.err.find("reattend: stopped"), std::string::npos) << stopped.err;
  EXPECT_FALSE(fs::exists(file("tuned.toml")));
  EXPECT_FALSE(fs::exists(file("r.html")));
}

}  // namespace
}  // namespace reattend::test
