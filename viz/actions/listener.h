// Where other programs of the same user may call actions: a socket that takes and gives JSON, a line each.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "viz/actions/actions.h"

namespace reattend::viz {

/// {"id": 1, "action": "step.set", "args": {"step": 12}} is answered by {"id": 1, "ok": true, "result": null}, or by
/// {"id": 1, "ok": false, "error": "..."}; ids are any JSON and may be left out. A line that begins otherwise
/// ends its connection. A thread of its own reads and writes;
/// calls are run between two frames, those of one client in their order.
class Listener {
 public:
  /// `where`: a port of 127.0.0.1, or the path of a Unix socket that nobody but this user may open, in a folder that
  /// nobody else may write to. A socket that a program left behind is replaced, one that somebody answers at and files
  /// are not. Throws Error. `wake`: from the thread, when there is something to serve.
  Listener(const std::string& where, std::function<void()> wake);
  /// Closes all connections and removes the socket.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// The path, or "127.0.0.1:PORT": the port that was found where 0 was asked for.
  const std::string& where() const;
  /// Once between two frames: runs what has been asked for, for a few milliseconds.
  void serve(const Actions& actions, Workbench& bench);
  /// Calls are to be run, or to be gone on with.
  bool busy() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace reattend::viz
