// The program from the outside: a real window under Xvfb on a real trace file; wrong use ends in one line and the right
// code.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/support/descriptors.h"
#include "tests/traces/synthetic.h"

namespace reattend::test {
namespace {

class Program : public testing::Test {
 protected:
  Program() {
    synthetic::write_trace(trace, 40);
    std::ofstream(garbage) << "this is no trace";
  }
  ProgramResult view(const std::vector<std::string>& arguments, const std::vector<std::string>& before = {}) {
    std::vector<std::string> all = {"env",
                                    "-u",
                                    "DISPLAY",
                                    "-u",
                                    "WAYLAND_DISPLAY",
                                    "XDG_CONFIG_HOME=" + (folder / "config").string(),
                                    "XDG_CACHE_HOME=" + (folder / "cache").string()};
    all.insert(all.end(), before.begin(), before.end());
    all.push_back(REATTEND_VIEW);
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_program(all);
  }
  /// One line on stderr, that exit code.
  void expect_complaint(const std::vector<std::string>& arguments, int code, const std::string& culprit) {
    const ProgramResult result = view(arguments);
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_NE(result.err.find(culprit), std::string::npos) << result.err;
  }

  const ScratchFolder folder;
  const std::string trace = (folder / "trace.h5").string(), garbage = (folder / "garbage.h5").string();
  const std::string png = (folder / "picture.png").string();
};

TEST_F(Program, OpensAWindowOnATraceAndOnWhatIsNone) {
  if (run_program({"sh", "-c", "command -v xvfb-run"}).code != 0) GTEST_SKIP() << "no xvfb-run: install xvfb and xauth";
  for (const std::string& file : {trace, garbage}) {
    const ProgramResult result = view({"--frames", "20", file}, {"xvfb-run", "-a", "-s", "-screen 0 1280x720x24"});
    EXPECT_EQ(result.code, 0) << file << ": " << result.err;
  }
}

TEST_F(Program, WithoutADisplaySaysWhatToDo) {
  expect_complaint({trace, "--frames", "1"}, 1, "--screenshot");
}

// What the window looks like to somebody who starts it without a trace, and what it remembers.
TEST_F(Program, WithoutATraceShowsTheWelcome) {
  EXPECT_EQ(view({"--screenshot", png, "--size", "640x480"}).code, 0);
  EXPECT_EQ(read_all(png).substr(1, 3), "PNG");
  expect_complaint({"--frames", "1"}, 1, "a display");
}

TEST_F(Program, RemembersItsSize) {
  if (run_program({"sh", "-c", "command -v xvfb-run"}).code != 0) GTEST_SKIP() << "no xvfb-run: install xvfb and xauth";
  const std::filesystem::path kept = folder / "config" / "reattend" / "window.json";
  std::filesystem::create_directories(kept.parent_path());
  for (const char* const before : {"", "{\"width\": 700, \"height\": 500}"}) {
    std::ofstream(kept) << before;
    const ProgramResult result = view({"--frames", "20", trace}, {"xvfb-run", "-a", "-s", "-screen 0 1280x720x24"});
    EXPECT_EQ(result.code, 0) << result.err;
    const std::string text = read_all(kept);
    EXPECT_NE(text.find("\"layout\": \"overview\""), std::string::npos) << text;
    EXPECT_EQ(text.find("\"width\": 700") != std::string::npos, *before != '\0') << text;
  }
}

TEST_F(Program, MakesAPictureOfATraceFile) {
  const ProgramResult result = view({trace, "--screenshot", png, "--size", "1000x600", "--layer", "1", "--light"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(read_all(png).substr(1, 3), "PNG");
  expect_complaint({trace, "--screenshot", png}, 2, "--force");
}

TEST_F(Program, WhatIsNoTraceIsOneLineAndNoPicture) {
  expect_complaint({garbage, "--screenshot", png}, 1, "garbage.h5");
  expect_complaint({"/no/such/trace.h5", "--screenshot", png}, 1, "/no/such/trace.h5");
  EXPECT_FALSE(std::filesystem::exists(png));
}

TEST_F(Program, WhatTheTraceDoesNotHaveIsNamed) {
  expect_complaint({trace, "--screenshot", png, "--layer", "2"}, 1, "0 to 1");
  expect_complaint({trace, "--screenshot", png, "--step", "41"}, 1, "1 to 40");
}

TEST_F(Program, WrongUseIsExitCode2) {
  expect_complaint({trace, "--screenshot", png, "--size", "9x9"}, 2, "9x9");
  expect_complaint({trace, "--screenshot", png, "--size", "big"}, 2, "big");
  expect_complaint({trace, "--loudly"}, 2, "--loudly");
}

// The bench opens, drags, scrolls, types and rests; what it measures depends on the machine, that it does it all does
// not.
TEST_F(Program, BenchesTracesAndMadeUpOnes) {
  const std::string json = (folder / "bench.json").string();
  const ProgramResult result =
      view({"--bench", trace, "--bench-shape", "70x400x3x2", "--bench-idle", "0", "--bench-out", json});
  EXPECT_EQ(result.code, 0) << result.err;
  const std::string figures = read_all(json);
  for (const char* const key : {"\"open\"", "\"k_layer\"", "\"k_all\"", "\"k_ledger\"", "\"s_drag\"", "\"scroll\"",
                                "\"keys\"", "\"idle\"", "\"memory\"", "70x400.h5", "\"n_position\": 400"}) {
    EXPECT_NE(figures.find(key), std::string::npos) << key;
  }
  EXPECT_NE(result.out.find("K to heat map"), std::string::npos);
  const ProgramResult part = view({"--bench", trace, "--bench-part", "keys"});
  EXPECT_NE(part.out.find("30 keys"), std::string::npos) << part.err;
  EXPECT_EQ(part.out.find("all layers"), std::string::npos) << "keys wait for no preparation";
  expect_complaint({"--bench", "--bench-part", "nothing"}, 2, "nothing");
  expect_complaint({"--bench", "--bench-shape", "70x60"}, 2, "70x60");
  expect_complaint({"--bench", "--bench-shape", "huge"}, 2, "huge");
  expect_complaint({"--bench", "--bench-out", json}, 2, "bench.json");
}

TEST_F(Program, OneCommandMakesAPictureOfEveryPanel) {
  const std::string script = (folder / "pictures.txt").string();
  std::ofstream(script) << "panel.pictures folder=" << (folder / "").string() << " seconds=5\n";
  const ProgramResult result = view({trace, "--headless", "--script", script, "--size", "900x600"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto files = nlohmann::json::parse(result.out).get<std::vector<std::string>>();
  for (const char* const name : {"tune", "timeline", "why lost", "tokens", "profile"}) {
    const std::string file = (folder / (std::string(name) + ".png")).string();
    EXPECT_NE(std::ranges::find(files, file), files.end()) << file;
  }
  for (const std::string& file : files) EXPECT_EQ(read_all(file).substr(1, 3), "PNG") << file;
}

// What a script writes without a display is what the other commands say of the same setting.
TEST_F(Program, AScriptNeedsNoDisplayAndItsNumbersAreThoseOfReplay) {
  const std::string script = (folder / "tour.txt").string(), csv = (folder / "layers.csv").string();
  const std::string saved = (folder / "saved.toml").string(), panel = (folder / "timeline.png").string();
  std::ofstream(script) << "# a tour\nsetting.set policy=recycled K=8 S=4\nstate\npanel.export Tune " << csv
                        << "\npanel.picture Timeline " << panel << "\nsetting.save " << saved << "\n";
  const ProgramResult result =
      view({trace, "--headless", "--script", script, "--screenshot", png, "--size", "900x600"});
  ASSERT_EQ(result.code, 0) << result.err;
  const nlohmann::json state = nlohmann::json::parse(result.out.substr(0, result.out.find('\n')));
  EXPECT_EQ(state["setting"]["K"], 8);
  for (const std::string& picture : {png, panel}) EXPECT_EQ(read_all(picture).substr(1, 3), "PNG");
  const ProgramResult replay = run_program({REATTEND_PROGRAM, "replay", trace, "--settings", saved, "--json"});
  ASSERT_EQ(replay.code, 0) << replay.err;
  const nlohmann::json expected = nlohmann::json::parse(replay.out);
  std::istringstream lines(read_all(csv));
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream cells(line + ",");
    rows.emplace_back();
    for (std::string cell; std::getline(cells, cell, ',');) rows.back().push_back(cell);
  }
  ASSERT_EQ(rows.size(), expected["layers"].size() + 2);
  for (size_t r = 1; r < rows.size(); ++r) {
    const nlohmann::json& numbers = r + 1 < rows.size() ? expected["layers"][r - 1] : expected["total"];
    for (size_t c = 1; c < rows[0].size(); ++c) {
      const nlohmann::json& number = numbers.at(rows[0][c]);
      const bool finite = !rows[r][c].empty() && rows[r][c] != "inf";
      ASSERT_EQ(number.is_null(), !finite) << rows[0][c];
      if (finite) {
        // Layers come in another order here, and a mean over all of them is rounded in that order.
        EXPECT_DOUBLE_EQ(std::stod(rows[r][c]), number.get<double>()) << rows[0][c];
      }
    }
  }
}

TEST_F(Program, AScriptThatIsWrongOrFailsEndsByItsLine) {
  const std::string script = (folder / "tour.txt").string();
  std::ofstream(script) << "step.next\nstep.nxt\n";
  expect_complaint({trace, "--headless", "--script", script}, 2, script + ":2: ");
  std::ofstream(script) << "step.next\ntrace.open /no/such/trace.h5\n";
  expect_complaint({trace, "--headless", "--script", script}, 1, script + ":2: ");
  expect_complaint({trace, "--headless", "--script", (folder / "none.txt").string()}, 1, "none.txt");
  expect_complaint({trace, "--headless"}, 2, "--script");
  expect_complaint({trace, "--headless", "--listen", "70000"}, 2, "65535");
}

TEST_F(Program, IsWhatReattendViewBecomes) {
  const ProgramResult result = run_program({REATTEND_PROGRAM, "view", trace, "--screenshot", png, "--size", "800x500"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(read_all(png).substr(1, 3), "PNG");
}

TEST_F(Program, AReattendWithoutItsWindowSaysHowToBuildIt) {
  const std::string alone = (folder / "reattend").string();
  std::filesystem::copy_file(REATTEND_PROGRAM, alone);
  const ProgramResult result = run_program({alone, "view", trace});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("REATTEND_GUI=ON"), std::string::npos) << result.err;
}

TEST_F(Program, NamesOfPicturesMayBeAsLongAsAnyAndNoLonger) {
  const std::string longest = (folder / (std::string(251, 'x') + ".png")).string();
  EXPECT_EQ(view({trace, "--screenshot", longest, "--size", "640x480"}).code, 0);
  EXPECT_TRUE(std::filesystem::exists(longest));
  expect_complaint({trace, "--screenshot", (folder / (std::string(252, 'x') + ".png")).string()}, 2,
                   "at most 255 bytes");
}

TEST_F(Program, NoTextIsLostInSilenceWhateverItsDescriptorsAre) {
  const std::vector<std::string> bare = {"env", "-u", "DISPLAY", REATTEND_VIEW};
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{trace, "--screenshot", png, "--size", "640x480", "--force"},
        {"--help"},
        {"--loudly"}}) {
    std::vector<std::string> all = bare;
    all.insert(all.end(), words.begin(), words.end());
    expect_descriptors_respected(all);
  }
  expect_descriptors_respected({REATTEND_VIEW, "--version"});
  expect_descriptors_respected({REATTEND_PROGRAM, "view", "--help"});
  expect_descriptors_respected({REATTEND_PROGRAM, "view", "nowhere.h5"});
}

}  // namespace
}  // namespace reattend::test
