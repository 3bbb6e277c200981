// A look is one stat() of the file; reading happens on the session's background thread.
#include "viz/session/follower.h"

#include <algorithm>
#include <system_error>

namespace reattend::viz {
namespace {

constexpr double kLookSeconds = 1;
/// A writer that was killed changes its file no more: after so many looks it is opened anew all the same.
constexpr int kMostUnchanged = 5;

bool grows(const Session& session) {
  return session.trace() != nullptr && session.trace()->info.live;
}

}  // namespace

std::optional<double> Follower::next_in(const Session& session, bool on) const {
  return on && grows(session) ? std::optional(std::max(0.0, kLookSeconds - waited_)) : std::nullopt;
}

void Follower::update(Session& session, bool on, double seconds) {
  if (!on || !grows(session)) {
    waited_ = 0, n_unchanged_ = 0;
    return;
  }
  waited_ += seconds;
  if (waited_ < kLookSeconds || session.waiting_for(Task::open) || session.waiting_for(Task::masses)) return;
  waited_ = 0;
  std::error_code error;
  const Stamp now = {std::filesystem::file_size(session.path(), error),
                     std::filesystem::last_write_time(session.path(), error)};
  if (error || (now == seen_ && ++n_unchanged_ < kMostUnchanged)) return;
  seen_ = now, n_unchanged_ = 0;
  session.reopen();
}

}  // namespace reattend::viz
