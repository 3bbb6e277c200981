// What calls actions from outside the window: a script, and other programs by a socket.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "viz/actions/listener.h"
#include "viz/actions/script.h"

namespace reattend::viz {

class Driver {
 public:
  using Print = std::function<void(const nlohmann::json&)>;
  /// Both must outlive this.
  Driver(const Actions& actions, Workbench& bench) : actions_(actions), bench_(bench) {}
  /// Reads the script, which begins with the next drive(); `print` gets what its calls answer. Throws Error.
  void run_script(const std::filesystem::path& file, Print print);
  /// See Listener. Throws Error. Returns where it listens.
  const std::string& listen(const std::string& where, std::function<void()> wake);

  /// Once between two frames. Throws Error where a line of the script fails.
  void drive();
  /// Calls are to be made: more frames are worth drawing though nothing has happened.
  bool has_work() const { return (script_ && !script_->done()) || (listener_ && listener_->busy()); }
  bool script_done() const { return !script_ || script_->done(); }
  bool listens() const { return listener_ != nullptr; }

 private:
  const Actions& actions_;
  Workbench& bench_;
  std::optional<Script> script_;
  Print print_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace reattend::viz
