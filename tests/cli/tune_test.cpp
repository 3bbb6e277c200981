// `reattend tune` on several traces and its report, as a user meets them, on the tiny model.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
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
  std::string record(const std::string& name, const std::string& context, const std::string& model = kTiny) {
    const ProgramResult recorded =
        run({"record", "--raw", "--ignore-end", "--model", model, "--prompt-file", "assets/prose.txt", "--context",
             context, "--steps", "12", "--out", file(name)});
    EXPECT_EQ(recorded.code, 0) << recorded.err;
    return file(name);
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

TEST_F(TuneCommand, SeveralTracesAreTunedMeasuredValidatedAndReported) {
  const std::string a = record("a.h5", "90"), b = record("a <b>& b.h5", "70"), c = record("c.h5", "50");
  const std::string report = file("report.html"), machine = file("machine.json");
  // Times of tiny runs are noise; under this machine attention is what takes time, so that some setting is faster.
  std::ofstream(machine) << R"({"calibration": {"weights_ms": 0.001, "stream_gbps": 1, "attend_stream_gbps": 0.001,
    "attend_gather_gbps": 0.001, "score_gbps": 1}})";
  const std::vector<std::string> command = tune({a, b, "--validate", c, "--model", kTiny, "--measure", "2", "--max-kl",
                                                 "5", "--calibration", machine, "--report", report, "--json"});
  const ProgramResult tuned = run(command);
  ASSERT_EQ(tuned.code, 0) << tuned.err;
  const json result = json::parse(tuned.out);
  EXPECT_EQ(result["traces"].size(), 2U);
  ASSERT_EQ(result["chosen"]["traces"].size(), 2U);
  double worst = 0;
  for (const json& each : result["chosen"]["traces"]) worst = std::max(worst, each["measured"]["kl"].get<double>());
  EXPECT_EQ(result["chosen"]["measured"]["kl"], worst);
  const json& held = result["validation"][0];
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

TEST_F(TuneCommand, WhatCannotBeTunedTogetherIsSaidInALine) {
  const std::string a = record("a.h5", "90"), same = record("same.h5", "90");
  const std::string other = record("other.h5", "90", "tests/golden/models/tiny_quant.Q8_0.gguf");
  expect_refused({a, a}, 2, "a.h5: expected traces of different texts");
  expect_refused({a, same}, 2, "same.h5: expected traces of different texts");
  expect_refused({a, "--validate", a}, 2, "--validate");
  expect_refused({a, "--validate", file("none.h5")}, 1, "none.h5");
  expect_refused({a, file("none.h5")}, 1, "none.h5");
  expect_refused({a, other}, 2, "other.h5: expected a trace of the same model");
  expect_refused({a, "--validate", other}, 2, "other.h5: expected a trace of the same model");
  expect_refused({file("none.h5"), "--report", file("report.pdf")}, 2, ".html or .md");
  expect_refused({file("none.h5"), "--report", file("html")}, 2, ".html or .md");
  expect_refused({file("none.h5"), "--report", file("none/report.html")}, 1, "none");
  expect_refused({a, "--model", file("none.gguf")}, 1, "none.gguf");
  const ProgramResult both = run({"tune", a, "--report", file("r.md"), "--out", file("./r.md")});
  EXPECT_EQ(both.code, 2) << both.err;
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
