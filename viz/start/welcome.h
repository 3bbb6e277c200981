// What the window shows while no trace is open: how to get one, and what to do with it.
#pragma once
#include <filesystem>
#include <functional>
#include <vector>

#include "base/background.h"
#include "viz/start/folder_list.h"

namespace reattend::viz {

/// What was clicked in a frame.
struct WelcomeWish {
  enum class What : uint8_t { nothing, choose_file, open, forget };
  What what = What::nothing;
  std::filesystem::path path;  ///< to open or to forget
};

class Welcome {
 public:
  /// `wake` is called from another thread when it is known which files are there.
  explicit Welcome(std::function<void()> wake);
  /// Over the whole viewport. `recent`: the newest first.
  WelcomeWish draw(const std::vector<std::filesystem::path>& recent, bool light);
  bool idle() const { return !tasks_.waiting_for(0); }

 private:
  void look_for(const std::vector<std::filesystem::path>& recent);
  void draw_recent(WelcomeWish& wish, bool light);
  void draw_sample(WelcomeWish& wish);

  std::vector<std::filesystem::path> asked_;  ///< what was looked for last
  int frame_ = -1;                            ///< in which this was drawn last
  std::vector<FileFacts> recent_, samples_;   ///< guarded by tasks_ while they are looked for
  BackgroundTasks tasks_;                     ///< last: it ends before what it writes to
};

/// Traces that `./run` leaves: below the working folder, and beside the folder that this program was built in.
std::vector<std::filesystem::path> sample_traces();

}  // namespace reattend::viz
