// The program from the outside: a real window under Xvfb opens and closes; wrong use ends in one line and the right
// code.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/wait.h>

#include <gtest/gtest.h>

namespace {

struct Outcome {
  int code = -1;
  std::string text;  ///< stdout and stderr
};

Outcome run(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) outcome.text.append(buffer.data(), n);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return outcome;
}

std::filesystem::path garbage() {
  const auto path = std::filesystem::path(testing::TempDir()) / "reattend_not_a_trace.h5";
  std::ofstream(path) << "this is no trace";
  return path;
}

const std::string kView = REATTEND_VIEW;

TEST(Window, OpensUnderXvfbAndClosesEvenWithAFileThatIsNoTrace) {
  if (run("command -v xvfb-run").code != 0) GTEST_SKIP() << "xvfb-run is missing: install xvfb and xauth";
  const Outcome outcome = run("XDG_CONFIG_HOME=" + testing::TempDir() + " xvfb-run -a -s '-screen 0 1280x720x24' " +
                              kView + " --frames 20 " + garbage().string());
  EXPECT_EQ(outcome.code, 0) << outcome.text;
}

TEST(Window, WithoutADisplaySaysWhatToDo) {
  const Outcome outcome = run("env -u DISPLAY -u WAYLAND_DISPLAY " + kView + " --frames 1 " + garbage().string());
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.text.find("--screenshot"), std::string::npos) << outcome.text;
  EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
}

TEST(Screenshot, OfWhatIsNoTraceIsOneLineAndNoFile) {
  const auto png = std::filesystem::path(testing::TempDir()) / "reattend_no_picture.png";
  std::filesystem::remove(png);
  for (const std::string& trace : {garbage().string(), std::string("/no/such/trace.h5")}) {
    const Outcome outcome = run(kView + " " + trace + " --screenshot " + png.string());
    EXPECT_EQ(outcome.code, 1) << outcome.text;
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
    EXPECT_FALSE(std::filesystem::exists(png));
  }
}

TEST(Screenshot, WrongSizeIsWrongUse) {
  EXPECT_EQ(run(kView + " " + garbage().string() + " --screenshot x.png --size 9x9").code, 2);
  EXPECT_EQ(run(kView + " " + garbage().string() + " --screenshot x.png --size big").code, 2);
}

TEST(Use, WithoutATraceIsWrongUse) {
  EXPECT_EQ(run(kView).code, 2);
}

}  // namespace
