// Follows a trace that is being recorded: opens it anew as it grows, until its writer closes it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>

#include "viz/session/session.h"

namespace reattend::viz {

class Follower {
 public:
  /// Once a frame. While the trace is being recorded it looks at the file's size and time once a second, and has the
  /// session open it anew when they have changed; one opening and its masses are awaited before the next.
  void update(Session& session, bool on, double seconds);
  /// Until it looks again; nothing where nobody records, or nobody follows.
  std::optional<double> next_in(const Session& session, bool on) const;

 private:
  /// Changes with what is written.
  struct Stamp {
    uintmax_t size = 0;
    std::filesystem::file_time_type time;
    bool operator==(const Stamp&) const = default;
  };

  Stamp seen_;
  double waited_ = 0;    ///< seconds since it looked last
  int n_unchanged_ = 0;  ///< looks that have found nothing new
};

}  // namespace reattend::viz
