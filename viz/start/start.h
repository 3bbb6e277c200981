// Everything that stands between the window and a trace: which files are taken, the welcome, the file dialog, the tour,
// and what is remembered of it all.
#pragma once
#include <functional>

#include "viz/actions/workbench.h"
#include "viz/start/coach.h"
#include "viz/start/file_dialog.h"
#include "viz/start/preferences.h"
#include "viz/start/welcome.h"

namespace reattend::viz {

class Start {
 public:
  /// `wake` is called from another thread when there is something new to draw.
  Start(const std::function<void()>& wake, PreferenceFile preferences);

  /// Once a frame, before anything is drawn: takes the next file, and does what actions asked for.
  void update(Workbench& bench);
  /// In place of the panels while there is no trace and none is coming; false otherwise, and draws nothing.
  bool draw_welcome(Workbench& bench);
  /// Over everything else.
  void draw_dialogs(Workbench& bench);
  /// No folder is being read, no file waits.
  bool idle(const Workbench& bench) const { return dialog_.idle() && welcome_.idle() && bench.files.idle(); }

  PreferenceFile& preferences() { return preferences_; }
  const Coach& coach() const { return coach_; }

 private:
  PreferenceFile preferences_;
  FileDialog dialog_;
  Welcome welcome_;
  Coach coach_;
};

}  // namespace reattend::viz
