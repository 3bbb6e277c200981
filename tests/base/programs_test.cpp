// Other programs and their files: found on PATH, heard when they fail, and nothing of them left behind.
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/subprocess.h"
#include "base/temporary_folder.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;

TEST(Programs, AreFoundOnPath) {
  const auto shell = find_program("sh");
  ASSERT_TRUE(shell.has_value());
  EXPECT_TRUE(fs::exists(*shell));
  EXPECT_FALSE(find_program("no-such-program-anywhere").has_value());
}

TEST(Programs, WhatAFailedOneHasToSayIsItsLastLine) {
  const TemporaryFolder folder;
  const fs::path log = folder.path() / "log";
  EXPECT_EQ(last_line(log), "");
  const int status = run_program(
      {.arguments = {"sh", "-c", "echo first; echo 'out of luck' >&2; echo; exit 3"}, .out = log, .errors = log}, {});
  EXPECT_EQ(status, 3);
  EXPECT_EQ(last_line(log), "out of luck");
}

TEST(TemporaryFolder, GoesWithEverythingInItAndItsParentStays) {
  const TemporaryFolder outer;
  fs::path path;
  {
    const TemporaryFolder inner(outer.path() / "made" / "for it", "try another");
    path = inner.path();
    std::ofstream(path / "file") << "x";
    EXPECT_TRUE(fs::exists(path / "file"));
  }
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::exists(outer.path() / "made" / "for it"));
  std::ofstream(outer.path() / "plain") << "x";
  EXPECT_THROW(TemporaryFolder(outer.path() / "plain", "try another"), Error);
}

}  // namespace
}  // namespace reattend
