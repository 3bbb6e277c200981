// The action that lets a script wait.
#include <chrono>

#include "viz/actions/actions.h"
#include "viz/actions/state.h"

namespace reattend::viz {
namespace {

constexpr double kMostSeconds = 24 * 3600;

constexpr const char *kSettled = "settled", *kAnswered = "answered";

Outcome wait(Workbench&, const Arguments& arguments) {
  using Clock = std::chrono::steady_clock;
  const bool timed = arguments.has("seconds");
  const std::string what = arguments.has("for") ? arguments.text("for") : timed ? "" : kSettled;
  const double most = timed ? arguments.number("seconds") : kMostSeconds;
  return {.later = [what, most, since = Clock::now()](Workbench& bench) -> std::optional<nlohmann::json> {
    const bool reached = what == kSettled ? has_settled(bench) : what == kAnswered && has_answered(bench);
    const bool late = std::chrono::duration<double>(Clock::now() - since).count() >= most;
    if (!reached && !late) return std::nullopt;
    // What was asked for and did not come is worth a word.
    return reached || what.empty() ? nlohmann::json(nullptr) : nlohmann::json{{what, false}};
  }};
}

}  // namespace

void add_wait_actions(Actions& actions) {
  actions.add({.name = "wait",
               .title = "wait until nothing is being computed",
               .group = "scripts",
               .run = wait,
               .arguments = {{.name = "seconds",
                              .type = ArgumentType::number,
                              .help = "so long, or at most so long for something",
                              .required = false,
                              .low = 0,
                              .high = kMostSeconds},
                             {.name = "for",
                              .help = "answered: the setting's own numbers; settled: maps of other settings too",
                              .required = false,
                              .choices = [](const Workbench&) {
                                return std::vector<std::string>{kSettled, kAnswered};
                              }}}});
}

}  // namespace reattend::viz
