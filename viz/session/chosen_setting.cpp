// Looks for a settings file that was tuned on a trace, among those beside it.
#include "viz/session/chosen_setting.h"

#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"
#include "tune/settings_evidence.h"

namespace reattend::viz {
namespace {

namespace fs = std::filesystem;

std::string in_words(const fs::path& path, const SettingsFile& file) {
  return fmt::format("from {}{}", path.filename().string(), file.evidence.empty() ? "" : ": " + file.evidence);
}

/// Folders of a user hold anything, and as much of it as they like.
constexpr int kMostEntries = 10000, kMostFiles = 100;

std::optional<ChosenSetting> tuned_beside(const TraceInfo& info) {
  std::optional<ChosenSetting> best;
  fs::file_time_type newest;
  const fs::path folder = info.path.has_parent_path() ? info.path.parent_path() : fs::path(".");
  std::error_code error;
  int n_entry = 0, n_file = 0;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (++n_entry > kMostEntries || n_file >= kMostFiles) break;
    std::error_code unreadable;
    if (at->path().extension() != ".toml" || !at->is_regular_file(unreadable)) continue;
    ++n_file;
    const fs::file_time_type written = at->last_write_time(unreadable);
    if (unreadable || (best && written <= newest)) continue;
    try {
      const SettingsFile file = read_settings_file(at->path());
      if (!file.names(info)) continue;
      best = ChosenSetting{.settings = file.settings, .why = in_words(at->path(), file)};
      newest = written;
    } catch (const Error&) {
      continue;  // another program's
    }
  }
  return best;
}

}  // namespace

ChosenSetting first_setting(const TraceInfo& info) {
  if (!info.settings.is_full()) return {.settings = info.settings, .why = "as recorded"};
  if (const auto tuned = tuned_beside(info)) return *tuned;
  return {.settings = Settings(kDefaultPolicy), .why = "the default: none was tuned here"};
}

ChosenSetting setting_of_file(const fs::path& path) {
  const SettingsFile file = read_settings_file(path);
  return {.settings = file.settings, .why = in_words(path, file)};
}

}  // namespace reattend::viz
