// Files that are dropped together: all are taken, and a bad one among them keeps none of the others out.
#include <fstream>

#include <gtest/gtest.h>

#include "base/error.h"
#include "session_rig.h"
#include "tests/support/scratch_folder.h"
#include "viz/session/file_queue.h"

namespace reattend::viz::testing {
namespace {

/// What is called bad* is no trace.
std::shared_ptr<ReplaySource> open_by_name(const std::filesystem::path& path) {
  if (path.filename().string().starts_with("bad")) throw Error(path.string() + " is no trace");
  return make_synthetic_source({.n_step = 8, .path = path});
}

struct Files : ::testing::Test {
  void go_on() {
    session.update(), files.update(session);
    sleep_a_little();
  }
  void settle() {
    do {
      go_on();
    } while (!session.idle() || !files.idle());
  }
  void write(const char* name, const std::string& text) { std::ofstream(folder / name) << text; }

  const test::ScratchFolder folder;
  Session session{open_by_name, [] {}, {.n_thread = 1}};
  FileQueue files;
};

TEST_F(Files, SeveralFilesAreTakenInOrderAndBadNamesDoNotStay) {
  write("mine.toml", "[policy]\nname = \"recycled\"\nK = 33\n");
  write("wrong.toml", "[policy]\nname = \"recycled\"\nK = -1\n");
  files.add({"trace.h5", folder / "mine.toml", "bad.h5", folder / "wrong.toml", "second.h5"});
  while (session.open_error().empty()) go_on();
  EXPECT_EQ(session.path(), "trace.h5");
  EXPECT_EQ(session.settings(), with_budget(33));
  EXPECT_EQ(session.origin(), "from mine.toml");
  session.clear_open_error();  // has been read
  while (files.error().empty()) go_on();
  EXPECT_NE(files.error().find("wrong.toml:3"), std::string::npos) << files.error();
  files.clear_error();
  settle();
  EXPECT_EQ(session.path(), "second.h5");
  EXPECT_EQ(session.settings(), with_budget(33));
  EXPECT_EQ(files.traces(), (std::vector<std::filesystem::path>{"trace.h5", "second.h5"}));
}

TEST_F(Files, SettingsBeforeAnyTraceAreThoseOfTheFirst) {
  write("mine.toml", "[policy]\nname = \"recycled\"\nK = 33\n");
  files.add({folder / "mine.toml", "trace.h5"});
  settle();
  EXPECT_EQ(session.settings(), with_budget(33));
}

}  // namespace
}  // namespace reattend::viz::testing
