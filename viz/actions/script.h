// A script: a call a line, run one after the other, each once the window has answered the one before.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "viz/actions/running.h"

namespace reattend::viz {

class Script {
 public:
  /// Lines that are empty or begin with # say nothing. Throws Error (usage) naming `where` and the line of the first
  /// that is no call: nothing has been run then. `actions` must outlive this.
  Script(const Actions& actions, std::string_view text, const std::string& where);
  static Script from_file(const Actions& actions, const std::filesystem::path& file);

  bool done() const { return at_ == lines_.size(); }
  /// Once between two frames. `answer` gets what a call has to say. Throws Error naming file and line.
  void advance(Workbench& bench, const std::function<void(const nlohmann::json&)>& answer);

 private:
  struct Line {
    size_t number;
    Call call;
  };
  std::string where_;
  std::vector<Line> lines_;
  size_t at_ = 0;    ///< of lines_, that is running or next
  int n_quiet_ = 0;  ///< frames since the last call
  Running running_;
};

}  // namespace reattend::viz
