// One child process a run; its JSON is read, its log is looked at only where there is none.
#include "cli/bench_peer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/subprocess.h"

namespace reattend::cli {
namespace {

/// Its shared libraries lie beside it where it was unpacked, not installed.
std::string library_path(const std::filesystem::path& program) {
  const char* const before = std::getenv("LD_LIBRARY_PATH");
  const std::string folder = program.parent_path().string();
  return before != nullptr && *before != '\0' ? folder + ":" + before : folder;
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
  const std::filesystem::path out =
      std::filesystem::temp_directory_path() / fmt::format("reattend-peer-{}.json", ::getpid());
  const std::filesystem::path log = out.string() + ".log";
  const struct Cleaner {
    const std::filesystem::path &a, &b;
    ~Cleaner() {
      std::error_code ignored;
      std::filesystem::remove(a, ignored), std::filesystem::remove(b, ignored);
    }
  } cleaner{out, log};
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
                                  .environment = {{"LD_LIBRARY_PATH", library_path(run.program)}},
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
          .remedy = "does it run by hand? its libraries must lie beside it under their short names"});
  }
  return result;
}

}  // namespace reattend::cli
