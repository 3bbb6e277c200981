// Follows what the session opens, whoever asked for it.
#include "viz/session/file_queue.h"

#include <algorithm>

#include "base/error.h"

namespace reattend::viz {

bool is_settings_file(const std::filesystem::path& path) {
  return path.extension() == ".toml";
}

void FileQueue::start(const std::vector<std::filesystem::path>& traces) {
  traces_ = traces;
  if (!traces_.empty()) waiting_.push_back(traces_.front());
}

void FileQueue::add(const std::vector<std::filesystem::path>& files) {
  waiting_.insert(waiting_.end(), files.begin(), files.end());
}

void FileQueue::update(Session& session) {
  if (!session.opening().empty()) {
    opening_ = session.opening();
    return;
  }
  if (!opening_.empty()) {
    const std::filesystem::path done = std::exchange(opening_, {});
    const bool opened = session.trace() != nullptr && session.path() == done;
    const auto at = std::ranges::find(traces_, done);
    if (opened && at == traces_.end()) traces_.push_back(done);
    if (!opened && at != traces_.end()) traces_.erase(at);
    opened_ = opened_ || opened;
  }
  if (waiting_.empty() || !session.open_error().empty() || !error_.empty()) return;
  const std::filesystem::path next = std::move(waiting_.front());
  waiting_.pop_front();
  if (!is_settings_file(next)) {
    session.open(next);
    opening_ = next;
    return;
  }
  try {
    const ChosenSetting chosen = setting_of_file(next);
    session.trace() != nullptr ? session.choose(chosen) : session.set_initial(chosen);
  } catch (const Error& error) {
    error_ = error.what();
  }
}

}  // namespace reattend::viz
