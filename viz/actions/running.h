// One call at a time, over as many frames as it takes.
#pragma once
#include <optional>

#include "viz/actions/actions.h"

namespace reattend::viz {

class Running {
 public:
  bool busy() const { return static_cast<bool>(later_); }
  /// Begins a call where none is running; its result if it has one at once. Throws Error as the action does.
  std::optional<nlohmann::json> start(Workbench& bench, const Call& call) {
    Outcome outcome = Actions::run(bench, call);
    if (!outcome.later) return std::move(outcome.result);
    later_ = std::move(outcome.later);
    return std::nullopt;
  }
  /// Once a frame while busy().
  std::optional<nlohmann::json> poll(Workbench& bench) {
    const Later later = std::exchange(later_, {});
    std::optional<nlohmann::json> result = later(bench);
    if (!result) later_ = later;
    return result;
  }

 private:
  Later later_;
};

}  // namespace reattend::viz
