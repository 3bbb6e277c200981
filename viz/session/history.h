// Undo and redo of the setting under trial, the bounds, the selection and what the axes show.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "viz/session/provider.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// The parts of the axes that are in view.
struct ShownAxes {
  Limits steps, heat_positions;
  bool operator==(const ShownAxes&) const = default;
};
ShownAxes shown_axes(const SharedView& view);
void show_axes(const ShownAxes& axes, SharedView& view);

/// What can be gone back to.
struct UndoState {
  Settings settings;
  TuneBounds bounds;
  Selection selection;
  ShownAxes axes;
  bool operator==(const UndoState&) const = default;
};
UndoState undo_state(const Session& session, const SharedView& view);
void apply(const UndoState& state, Session& session, SharedView& view);

/// "K 64 → 128", "layer 3 → 4": settings first, then bounds, selection and axes.
std::string change_in_words(const UndoState& before, const UndoState& after);

/// States of one trace, the oldest first, also while it grows. A provider without background work, so that panels find
/// it by its type.
class History final : public Provider {
 public:
  static constexpr size_t kMost = 500;

  History(BackgroundTasks&, int) {}
  void enter(std::shared_ptr<Replayer>) override;
  void update(const Session& session) override;
  bool idle() const override { return true; }

  /// Once a frame. A change becomes an entry when it stays for a frame in which no key or button is held, so that a
  /// drag is one. Changes of selection and axes alone that follow each other within a second are one too.
  void observe(const UndoState& now, bool at_rest, double seconds);
  /// The state before this one, or after it; null where there is none. `now` is recorded first.
  const UndoState* undo(const UndoState& now);
  const UndoState* redo(const UndoState& now);
  /// One of entries().
  const UndoState& go_to(size_t entry);

  struct Entry {
    UndoState state;
    std::string change;  ///< what led to it; empty for the first
  };
  const std::vector<Entry>& entries() const { return entries_; }
  /// Which of them is shown.
  size_t place() const { return place_; }

 private:
  void record(const UndoState& now, double seconds);
  void trim();

  std::vector<Entry> entries_;
  size_t place_ = 0;
  std::filesystem::path path_;  ///< of the trace
  bool entered_ = false;        ///< since the last update
  bool grown_ = false;          ///< what is selected and shown went on with the trace, which is nobody's change
  UndoState last_;              ///< of the last frame
  bool seen_ = false;           ///< last_ is of this trace
  bool just_moved_ = false;     ///< undo or redo asked for this state; plots may round its limits
  double changed_ = 0;          ///< seconds of the last entry
};

}  // namespace reattend::viz
