// One child process a run; its JSON is read, its log is looked at only where there is none.
#include "bench/peer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/subprocess.h"

namespace reattend {
namespace {

/// A folder for one run: output, log, and links to libraries.
class RunFolder {
 public:
  RunFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "reattend-peer-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      fail({.where = name,
            .expected = "a temporary folder",
            .got = std::strerror(errno),
            .remedy = "set TMPDIR to a folder that can be written"});
    }
    path_ = name;
  }
  ~RunFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Where the peer's libraries are: beside it, as it was unpacked. A Python wheel holds no links, so libggml.so.0.26.0
/// lies there without the name libggml.so.0 that the loader asks for; `links` gets those names.
std::string library_path(const std::filesystem::path& program, const std::filesystem::path& links) {
  const std::filesystem::path folder = std::filesystem::absolute(program).parent_path();
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const size_t version = name.find(".so.");
    if (version == std::string::npos) continue;
    const size_t end = name.find('.', version + 4);
    if (end == std::string::npos) continue;
    const std::string soname = name.substr(0, end);
    if (!std::filesystem::exists(folder / soname))
      std::filesystem::create_symlink(entry.path(), links / soname, ignored);
  }
  const char* const before = std::getenv("LD_LIBRARY_PATH");
  return folder.string() + ":" + links.string() +
         (before != nullptr && *before != '\0' ? ":" + std::string(before) : "");
}

std::string last_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line, last;
  while (std::getline(file, line)) last = line.empty() ? last : line;
  return last;
}

}  // namespace

std::optional<std::filesystem::path> find_peer() {
  const char* const path = std::getenv("PATH");
  const std::string folders = path != nullptr ? path : "";
  for (size_t begin = 0; begin < folders.size();) {
    const size_t end = std::min(folders.find(':', begin), folders.size());
    const std::filesystem::path program = std::filesystem::path(folders.substr(begin, end - begin)) / "llama-bench";
    if (std::filesystem::is_regular_file(program) && ::access(program.c_str(), X_OK) == 0) return program;
    begin = end + 1;
  }
  return std::nullopt;
}

PeerResult run_peer(const PeerRun& run, const Cancel& cancel) {
  const RunFolder folder;
  const std::filesystem::path out = folder.path() / "out.json", log = folder.path() / "log";
  const std::vector<std::string> arguments = {run.program.string(),
                                              "-m",
                                              run.model.string(),
                                              "-p",
                                              std::to_string(run.prompt),
                                              "-n",
                                              std::to_string(run.steps),
                                              "-d",
                                              std::to_string(run.depth),
                                              "-t",
                                              std::to_string(run.threads),
                                              "-fa",
                                              run.flash ? "on" : "off",
                                              "-r",
                                              "1",
                                              "-ctk",
                                              "f16",
                                              "-ctv",
                                              "f16",
                                              "-o",
                                              "json"};
  const int status = run_program({.arguments = arguments,
                                  .environment = {{"LD_LIBRARY_PATH", library_path(run.program, folder.path())}},
                                  .out = out,
                                  .errors = log,
                                  .remedy = "give the path of llama-bench with --peer, or --no-peer"},
                                 cancel);
  cancel.check();
  PeerResult result;
  try {
    std::ifstream file(out);
    for (const auto& row : nlohmann::json::parse(file)) {
      (row.at("n_gen").get<int64_t>() > 0 ? result.decode : result.prefill).push_back(row.at("avg_ts").get<double>());
    }
  } catch (const nlohmann::json::exception& error) {
    const std::string last = last_line(log);
    fail({.where = run.program.string(),
          .expected = "JSON with avg_ts",
          .got = fmt::format("exit status {}, {}", status, last.empty() ? error.what() : last),
          .remedy = "does it run by hand?"});
  }
  if (result.prefill.empty() || result.decode.empty()) {
    fail({.where = run.program.string(),
          .expected = "rates of prefill and decode",
          .got = fmt::format("{} and {} of them", result.prefill.size(), result.decode.size()),
          .remedy = "is it llama-bench?"});
  }
  return result;
}

}  // namespace reattend
