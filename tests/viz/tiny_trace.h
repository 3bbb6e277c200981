// A trace of a tiny model, recorded by the program as a user would, and a session or window on it.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/program.h"
#include "viz/session/session.h"

namespace reattend::viz::testing {

inline constexpr const char* kTinyModel = "tests/golden/models/tiny_llama.gguf";

/// Once for a process: recording takes a tenth of a second, but there are many tests.
inline const std::filesystem::path& tiny_recording() {
  static const test::ScratchFolder folder;
  static const std::filesystem::path path = [] {
    std::filesystem::path out = folder / "trace.h5";
    const test::ProgramResult made = test::run_program(
        {REATTEND_PROGRAM, "record", "--model", kTinyModel, "--raw", "--prompt-file", "assets/prose.txt", "--context",
         "60", "--steps", "24", "--ignore-end", "--no-calibration", "--out", out.string()});
    if (made.code != 0) throw std::runtime_error(made.err);
    return out;
  }();
  return path;
}

/// A copy of its own, with nothing beside it.
struct TinyTrace {
  const test::ScratchFolder folder;
  const std::filesystem::path path = folder / "trace.h5";
  TinyTrace() { std::filesystem::copy_file(tiny_recording(), path); }
  std::filesystem::path beside(const std::string& ending) const { return path.string() + ending; }
};

inline std::shared_ptr<ReplaySource> open_trace_file(const std::filesystem::path& path) {
  return make_replay_source(TraceReader::open(path));
}

/// What the program prints with --json; it must end well.
inline nlohmann::json ask_program(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), REATTEND_PROGRAM);
  arguments.emplace_back("--json");
  const test::ProgramResult result = test::run_program(arguments);
  EXPECT_EQ(result.code, 0) << result.err;
  return nlohmann::json::parse(result.out, nullptr, false);
}

inline nlohmann::json json_in(const std::filesystem::path& file) {
  return nlohmann::json::parse(test::read_all(file), nullptr, false);
}

}  // namespace reattend::viz::testing
