// Runs llama-bench as a child process for every measurement and reads its JSON; its log only where there is none.
#include "bench/peer.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/subprocess.h"
#include "base/temporary_folder.h"

namespace reattend {
namespace {

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

}  // namespace

std::optional<std::filesystem::path> find_peer() {
  return find_program("llama-bench");
}

PeerResult run_peer(const PeerRun& run, const Cancel& cancel) {
  const TemporaryFolder folder;
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
