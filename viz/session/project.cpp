// Compares what would be written with what was, once a frame.
#include "viz/session/project.h"

#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "viz/session/session.h"

namespace reattend::viz {

void Project::enter(std::shared_ptr<Replayer>) {
  last_.reset();
}

void Project::update(const Session& session) {
  take_found(session);
  if (to_write_ && !tasks_.waiting_for(kind_)) write(to_write_);
  if (std::exchange(trace_version_, session.trace_version()) == session.trace_version()) return;
  const std::shared_ptr<const FoundProject>& found = session.trace()->project;
  // Where project files are left alone, the file that grows is the same one.
  const std::string id = found ? found->trace_id : session.path().string();
  if (std::exchange(trace_id_, id) == id) {
    // What is not written yet still differs; that selection and axes went on with the trace is nobody's change.
    if (written_) written_->state.selection = session.selection();
    grown_ = true;
    return session.data<Tried>().take_up_again();
  }
  written_.reset();
  notes_.clear(), message_.clear(), news_.clear(), window_.reset();
  bookmarks_ = {};
  refused_ = touched_ = false;
  if (!found) return;
  if (!found->refused.empty()) {
    refused_ = true;
    message_ = news_ = "project file not used, and nothing is kept: " + found->refused;
  }
  if (!found->data) return;
  const ProjectData& data = *found->data;
  notes_ = data.notes, bookmarks_ = data.bookmarks;
  window_ = {data.axes, takes_layout_ ? data.layout : std::string()};
  Tried& tried = session.data<Tried>();
  for (const TriedSetting& each : data.tried) tried.add_from_file(each);
  Baseline& baseline = session.data<Baseline>();
  if (data.baseline && !baseline.pinned()) baseline.pin(*data.baseline);
}

bool Project::idle() const {
  bool news = false;
  tasks_.locked([&] { news = found_->written != nullptr; });
  return !news;
}

std::optional<WindowPart> Project::take_window() {
  return std::exchange(window_, std::nullopt);
}

Project::Stamp Project::stamp(const Session& session, const WindowPart& window) const {
  return {{session.settings(), session.bounds(), session.selection(), window.axes},
          window.layout,
          session.data<Baseline>().pinned(),
          version_};
}

bool Project::differs(const Session& session, const Stamp& now) const {
  return written_ && (now != *written_ || (touched_ && tried_version_ != session.data<Tried>().version()));
}

ProjectData Project::data(const Session& session, const WindowPart& window) const {
  return {.trace_id = session.trace()->project->trace_id,
          .settings = session.settings(),
          .bounds = session.bounds(),
          .selection = session.selection(),
          .axes = window.axes,
          .layout = window.layout,
          .baseline = session.data<Baseline>().pinned(),
          .tried = session.data<Tried>().settings(),
          .notes = notes_,
          .bookmarks = bookmarks_};
}

void Project::take_found(const Session& session) {
  Found found;
  tasks_.locked([&] { found = std::exchange(*found_, {}); });
  if (found.written && found.written == to_write_) to_write_.reset();
  if (found.failure.empty() || found.written->path != project_path(session.path())) return;
  refused_ = true;
  message_ = news_ = "nothing is kept beyond this window: " + found.failure;
}

void Project::write(std::shared_ptr<const Write> what) {
  to_write_ = std::move(what);
  tasks_.post(kind_, [what = to_write_, found = found_](const BackgroundTasks::Context& context) {
    std::string failure;
    try {
      write_text_file(what->path, project_text(what->data), true);
    } catch (const Error& error) {
      failure = error.what();
    }
    context.deliver([&] { *found = {what, failure}; });
  });
}

bool Project::can_save(const Session& session) const {
  const bool open =
      session.tuning() != nullptr && session.trace()->project && trace_version_ == session.trace_version();
  return open && keeps_ && !refused_ && session.shows_trial();
}

void Project::save(const Session& session, const WindowPart& window, bool at_rest) {
  if (!can_save(session)) return;
  Stamp now = stamp(session, window);
  const bool stayed = last_ == now;
  last_ = now;
  if (!at_rest || !stayed) return;
  if (!written_) {
    written_ = std::move(now), tried_version_ = session.data<Tried>().version();
    return;
  }
  if (std::exchange(grown_, false)) written_->state.axes = now.state.axes;
  if (!differs(session, now)) return;
  touched_ = true;
  written_ = std::move(now), tried_version_ = session.data<Tried>().version();
  write(std::make_shared<const Write>(Write{project_path(session.path()), data(session, window)}));
}

void Project::save_now(const Session& session, const WindowPart& window) {
  tasks_.drop(kind_);
  // What still waits may be of the trace before.
  if (const auto waiting = std::exchange(to_write_, nullptr))
    write_text_file(waiting->path, project_text(waiting->data), true);
  if (!can_save(session) || !differs(session, stamp(session, window))) return;
  write_text_file(project_path(session.path()), project_text(data(session, window)), true);
}

void Project::add_note(Note note) {
  if (notes_.size() >= kMostNotes) return;
  notes_.push_back(std::move(note)), ++version_;
}

void Project::change_note(size_t i, const Note& note) {
  if (notes_[i] == note) return;
  notes_[i] = note, ++version_;
}

void Project::remove_note(size_t i) {
  notes_.erase(notes_.begin() + static_cast<long>(i)), ++version_;
}

void Project::set_bookmark(size_t i, const Bookmark& mark) {
  bookmarks_[i] = mark, ++version_;
}

}  // namespace reattend::viz
