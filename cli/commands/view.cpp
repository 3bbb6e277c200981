// `reattend view`: becomes the program of the window, which lies beside this one and knows nothing of the engine.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "cli/command.h"

namespace reattend::cli {
namespace {

/// Replaces this process. Throws Error where the program is missing or cannot be started.
[[noreturn]] void become_viewer(const std::vector<std::string>& arguments) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path viewer = self.parent_path() / "reattend-view";
  if (!std::filesystem::exists(viewer, error)) {
    fail({viewer.string(), "the window's program", "no such file",
          "install libgl-dev libopengl-dev libegl-dev libpng-dev and build with -DREATTEND_GUI=ON"});
  }
  std::vector<std::string> all = {viewer.string()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);
  execv(viewer.c_str(), argv.data());
  fail({viewer.string(), "a program that starts", std::strerror(errno), "build it again"});
}

void set_up(CLI::App& command, const Globals&) {
  // All options are the window program's own, --help included.
  command.set_help_flag();
  command.fallthrough(false);
  command.allow_extras();
  command.callback([&command] { become_viewer(command.remaining()); });
}

}  // namespace

const Command kView = {"view", "Look at traces and tune on them in a window, or as a picture", set_up};

}  // namespace reattend::cli
