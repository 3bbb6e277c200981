// Data for panels: each provider answers one kind of question, by keys of its own, from the background thread. A new
// one is a class, and a row in providers.cpp.
#pragma once
#include <memory>
#include <vector>

#include "base/background.h"
#include "replay/replay.h"

namespace reattend::viz {

class Session;

class Provider {
 public:
  /// Kinds of task that one needs, its own the first of them; classes with several say so by a constant of this name.
  static constexpr int kKinds = 1;

  virtual ~Provider() = default;
  /// From now on questions are about this trace; null: there is none. What was known is void, what was asked dropped.
  virtual void enter(std::shared_ptr<Replayer> replayer) = 0;
  /// Once a frame, before anything is drawn: takes what was found, asks for what the session has made necessary.
  virtual void update(const Session& session) = 0;
  /// Nothing was found that update() has not taken, and nothing is left to ask for.
  virtual bool idle() const = 0;
};

/// Kinds of task that providers have, behind the session's own: the first one listed is the most urgent.
int n_provider_kinds();
std::vector<std::unique_ptr<Provider>> make_providers(BackgroundTasks& tasks, int first_kind);

}  // namespace reattend::viz
