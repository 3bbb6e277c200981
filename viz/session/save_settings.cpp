// The trace library's settings file and its way of writing one, for what the window shows.
#include "viz/session/save_settings.h"

#include "base/error.h"
#include "base/files.h"
#include "tune/settings_file.h"

namespace reattend::viz {

std::string settings_file(const Session& session) {
  if (!session.setting_error().empty()) throw Error("not saved: " + session.setting_error(), ExitCode::usage);
  return session.total_is_current()
             ? reattend::settings_file(session.settings(), *session.total(), session.trace()->info)
             : session.settings().to_toml();
}

void save_settings(const Session& session, const std::filesystem::path& path, bool overwrite) {
  write_text_file(path, settings_file(session), overwrite);
}

}  // namespace reattend::viz
