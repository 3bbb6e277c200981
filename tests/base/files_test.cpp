// Files of any name, kept modes, and texts that come through pipes.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "base/files.h"
#include "policies/settings.h"
#include "tests/support/program.h"

namespace reattend::test {
namespace {

namespace fs = std::filesystem;

std::string line_of(const std::function<void()>& work, ExitCode code) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return {};
}

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

TEST(Files, NamesOfEveryLengthThatAFolderTakesAreWritten) {
  const ScratchFolder folder;
  for (const size_t n : {1, 200, 238, 239, 240, 244, 250, 255}) {
    const fs::path path = folder / std::string(n, 'x');
    refuse_to_replace(path, false);
    write_text_file(path, "text", false);
    EXPECT_EQ(read_all(path), "text") << n;
    EXPECT_TRUE(is_part(part_of(path))) << n;
    EXPECT_TRUE(part_of(path).string().starts_with((path.parent_path() / part_prefix(path)).string())) << n;
  }
}

/// After hours of work is too late, and the temporary name may be the longer one.
TEST(Files, LongerNamesAreRefusedBeforeAnyWork) {
  const ScratchFolder folder;
  const std::string line =
      line_of([&] { refuse_to_replace(folder / std::string(256, 'x'), true, "--chart"); }, ExitCode::usage);
  EXPECT_NE(line.find("expected a name of at most 255 bytes"), std::string::npos) << line;
  EXPECT_NE(line.find("got 256"), std::string::npos) << line;
  EXPECT_NE(line.find("--chart"), std::string::npos) << line;
  std::string deep = folder / "";
  while (deep.size() < 4090) deep += "/.";
  line_of([&] { refuse_to_replace(deep + "/x", true); }, ExitCode::usage);
}

/// A recording of the one must not write into that of the other, nor end in half a letter.
TEST(Files, LongNamesThatDifferHaveDifferentParts) {
  const fs::path one = std::string(250, 'x') + "a", other = std::string(250, 'x') + "b";
  EXPECT_NE(part_of(one), part_of(other));
  EXPECT_LE(part_of(one).string().size(), 255U);
  std::string accents;
  while (accents.size() < 250) accents += "\u00e9";
  for (size_t shift = 0; shift < 2; ++shift) {
    const std::string part = part_prefix(std::string(shift, 'x') + accents),
                      name = part.substr(shift, part.find('~') - shift);
    EXPECT_EQ(name.size() % 2, 0U) << part;
  }
}

TEST(Files, AReplacedFileKeepsItsMode) {
  const ScratchFolder folder;
  const fs::path path = folder / "private.txt";
  for (const mode_t mode : {0600, 0640, 0444, 0755}) {
    std::ofstream(path) << "old";
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    WholeFile file(path, true);
    file.write("new");
    EXPECT_EQ(mode_of(part_of(path)) & ~(mode | 0600), 0U) << "nobody else may read it before it has its name";
    file.publish();
    EXPECT_EQ(read_all(path), "new");
    EXPECT_EQ(mode_of(path), mode);
    fs::remove(path);
  }
  const mode_t before = ::umask(027);
  write_text_file(path, "first", false);
  ::umask(before);
  EXPECT_EQ(mode_of(path), 0640U) << "a new file has the mode that the user's umask gives it";
}

TEST(Files, SettingsComeThroughPipesToo) {
  const ScratchFolder folder;
  const fs::path pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(pipe) << "[policy]\nname = \"recycled\"\nS = 7\n"; });
  EXPECT_EQ(Settings::from_toml_file(pipe).count("S", 0, 100), 7);
  writer.join();
  const std::string endless = line_of([] { Settings::from_toml_file("/dev/zero"); }, ExitCode::failed);
  EXPECT_NE(endless.find("got more than 1048576 bytes"), std::string::npos) << endless;
}

TEST(Files, WhyATextCannotBeReadIsSaid) {
  const ScratchFolder folder;
  const fs::path path = folder / "s.toml";
  std::ofstream(path) << "[policy]\nname = \"full\"\n";
  ASSERT_EQ(::chmod(path.c_str(), 0), 0);
  constexpr uid_t kNobody = 65534;
  const uid_t user = ::geteuid();  // the superuser may read everything
  fs::permissions(path.parent_path(), fs::perms::all);
  if (user == 0) {
    ASSERT_EQ(::seteuid(kNobody), 0);
  }
  const std::string line = line_of([&] { Settings::from_toml_file(path); }, ExitCode::failed);
  if (user == 0) {
    ASSERT_EQ(::seteuid(user), 0);
  }
  EXPECT_NE(line.find("s.toml: expected a settings file"), std::string::npos) << line;
  EXPECT_NE(line.find("got Permission denied"), std::string::npos) << line;
  const std::string none = line_of([&] { Settings::from_toml_file(folder / "none"); }, ExitCode::failed);
  EXPECT_NE(none.find("got No such file"), std::string::npos) << none;
  const std::string of_folder = line_of([&] { Settings::from_toml_file(path.parent_path()); }, ExitCode::failed);
  EXPECT_NE(of_folder.find("got a folder"), std::string::npos) << of_folder;
}

}  // namespace
}  // namespace reattend::test
