// What belongs to a trace beyond its replay: notes, bookmarks, and the file beside it in which they are kept.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "viz/session/project_file.h"
#include "viz/session/provider.h"

namespace reattend::viz {

/// What of the window itself the file keeps.
struct WindowPart {
  ShownAxes axes;
  std::string layout;
  bool operator==(const WindowPart&) const = default;
};

/// Notes and bookmarks of the open trace; reads come with the trace (Session::read_projects), writes are a background
/// task.
class Project final : public Provider {
 public:
  Project(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}
  ~Project() override { tasks_.drop(kind_); }
  void enter(std::shared_ptr<Replayer> replayer) override;
  /// Of a trace that was just opened: takes what its project file has; of one that has only grown since it was opened
  /// before, all is as it was. Writes what a change of traces interrupted.
  void update(const Session& session) override;
  bool idle() const override;

  /// Files are read with their traces, and not written: for pictures.
  void only_read() { keeps_ = false; }
  /// The panels are arranged as they were asked to be, not as a file says.
  void leave_layout() { takes_layout_ = false; }
  /// Why a file is not used or not written, in a line; empty where all is well.
  const std::string& message() const { return message_; }
  /// The same once, when it is new.
  std::string take_news() { return std::exchange(news_, {}); }
  /// Once after a trace was opened whose file has it: the part of the window.
  std::optional<WindowPart> take_window();

  /// Once a frame: writes, if something is different from when the trace was opened or last written, and nobody is
  /// about to change more.
  void save(const Session& session, const WindowPart& window, bool at_rest);
  /// The same at the end, at once. Throws Error.
  void save_now(const Session& session, const WindowPart& window);

  const std::vector<Note>& notes() const { return notes_; }
  /// Where kMostNotes are there already, nothing happens.
  void add_note(Note note);
  void change_note(size_t i, const Note& note);
  void remove_note(size_t i);
  const std::array<std::optional<Bookmark>, kBookmarks>& bookmarks() const { return bookmarks_; }
  void set_bookmark(size_t i, const Bookmark& mark);

 private:
  /// What would be written, but for what grows by itself.
  struct Stamp {
    UndoState state;
    std::string layout;
    std::optional<Baseline::Pinned> baseline;
    uint64_t version = 0;  ///< of notes and bookmarks
    bool operator==(const Stamp&) const = default;
  };
  /// A file to be written.
  struct Write {
    std::filesystem::path path;
    ProjectData data;
  };
  /// Guarded by the queue's lock, shared with its tasks.
  struct Found {
    std::shared_ptr<const Write> written;  ///< or failed
    std::string failure;
  };
  Stamp stamp(const Session& session, const WindowPart& window) const;
  bool can_save(const Session& session) const;
  bool differs(const Session& session, const Stamp& now) const;
  ProjectData data(const Session& session, const WindowPart& window) const;
  void take_found(const Session& session);
  void write(std::shared_ptr<const Write> what);

  BackgroundTasks& tasks_;
  const int kind_;
  bool keeps_ = true;  ///< files are written
  bool takes_layout_ = true;
  bool refused_ = false;  ///< this trace's is not: another file is in its place, or the folder cannot be written to
  uint64_t trace_version_ = 0;
  std::string message_, news_;
  std::optional<WindowPart> window_;
  std::vector<Note> notes_;
  std::array<std::optional<Bookmark>, kBookmarks> bookmarks_;
  uint64_t version_ = 0;

  std::optional<Stamp> last_;              ///< of the last frame
  std::optional<Stamp> written_;           ///< as it was opened, or last written
  bool grown_ = false;                     ///< since the last save
  bool touched_ = false;                   ///< somebody has changed something, so that what was tried counts too
  uint64_t tried_version_ = 0;             ///< last written
  std::string trace_id_;                   ///< of the trace that all this is of
  std::shared_ptr<const Write> to_write_;  ///< until it is written
  std::shared_ptr<Found> found_ = std::make_shared<Found>();
};

}  // namespace reattend::viz
