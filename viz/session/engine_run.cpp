// Tells progress from what is said to a person, and a good end from the others.
#include "viz/session/engine_run.h"

#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/subprocess.h"
#include "base/utf8.h"

namespace reattend::viz {
namespace {

/// A line of `--progress json`; nothing for any other.
std::optional<RunProgress> progress_in(std::string_view line) {
  if (!line.starts_with('{')) return {};
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("progress")) return {};
  try {
    return RunProgress{.what = json.at("progress"),
                       .unit = json.at("unit"),
                       .done = json.at("done"),
                       .total = json.at("total"),
                       .seconds = json.at("seconds")};
  } catch (const nlohmann::json::exception&) {
    return {};  // said by something else that prints JSON
  }
}

}  // namespace

const char* word_of(RunState state) {
  switch (state) {
    case RunState::running:
      return "running";
    case RunState::done:
      return "done";
    case RunState::failed:
      return "failed";
    case RunState::stopped:
      break;
  }
  return "stopped";
}

EngineRun::EngineRun(RunPlan plan, std::function<void()> wake)
    : plan_(std::move(plan)), wake_(std::move(wake)), thread_([this] { work(); }) {}

EngineRun::~EngineRun() {
  stop();
  thread_.join();
}

void EngineRun::wake_now_and_then() {
  const auto now = std::chrono::steady_clock::now();
  if (now - woken_ < std::chrono::milliseconds(100)) return;
  woken_ = now;
  wake_();
}

void EngineRun::take_line(std::string_view line) {
  {
    const std::lock_guard lock(mutex_);
    if (std::optional<RunProgress> progress = progress_in(line)) {
      progress_ = std::move(*progress);
    } else {
      lines_.push_back(visible(line));
      if (lines_.size() > kMostLines) lines_.pop_front(), ++n_gone_;
    }
  }
  wake_now_and_then();
}

void EngineRun::end(RunState state, std::string outcome) {
  {
    const std::lock_guard lock(mutex_);
    state_ = state, outcome_ = std::move(outcome);
  }
  wake_();
}

/// What each command printed; fewer than there are commands where one did not end well.
std::vector<std::string> EngineRun::run_commands() {
  std::vector<std::string> outputs;
  for (const std::vector<std::string>& command : plan_.commands) {
    std::vector<std::string> arguments = {plan_.program.string()};
    arguments.insert(arguments.end(), command.begin(), command.end());
    arguments.insert(arguments.end(), std::begin(kReportOptions), std::end(kReportOptions));
    std::string shown = "$", last;
    for (const std::string& each : arguments) shown += " " + shell_word(each);
    take_line(shown);
    const auto take = [&](std::string_view line) {
      if (!line.empty() && !progress_in(line)) last = visible(line);
      take_line(line);
    };
    PipedEnd end = run_piped({.arguments = arguments, .grace = plan_.grace, .on_line = take}, cancel_);
    if (!end.well()) {
      const bool says = !end.stopped && !end.overflowed && !last.empty();
      this->end(end.stopped ? RunState::stopped : RunState::failed, in_words(end) + (says ? "; " + last : ""));
      break;
    }
    if (!nlohmann::json::accept(end.output)) {
      this->end(RunState::failed,
                end.output.empty() ? "it ended without an answer" : "it ended, but what it printed is no JSON");
      break;
    }
    outputs.push_back(std::move(end.output));
  }
  return outputs;
}

void EngineRun::work() {
  try {
    const std::vector<std::string> outputs = run_commands();
    if (outputs.size() < plan_.commands.size()) return;
    if (plan_.finish) {
      for (const std::string& line : plan_.finish(outputs)) take_line(line);
    }
    if (!plan_.keep.empty()) write_text_file(plan_.keep, outputs.back(), true);
    end(RunState::done, in_words(PipedEnd{}));
  } catch (const std::exception& error) {
    end(RunState::failed, error.what());
  }
}

RunState EngineRun::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

RunProgress EngineRun::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

std::string EngineRun::outcome() const {
  const std::lock_guard lock(mutex_);
  return outcome_;
}

void EngineRun::look_at_log(
    const std::function<void(const std::deque<std::string>& lines, size_t n_gone)>& look) const {
  const std::lock_guard lock(mutex_);
  look(lines_, n_gone_);
}

}  // namespace reattend::viz
