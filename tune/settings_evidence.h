// What a settings file says of how its setting was found: the other direction of settings_file.h.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "policies/settings.h"
#include "traces/trace_info.h"

namespace reattend {

struct SettingsFile {
  /// A trace that the setting was found on.
  struct Source {
    std::string name;  ///< of its file, without the folder
    int64_t n_prompt = 0, n_step = 0;
  };
  Settings settings;
  std::vector<Source> traces;  ///< none: the file says nothing of them
  std::string evidence;        ///< in words, "KL 0.0819 predicted, 0.0656 measured, 1.99 times as fast"; may be empty

  /// Whether the setting was found on this trace: its file has that name and the trace that length.
  bool names(const TraceInfo& trace) const;
};

/// Throws Error where Settings::from_toml_file() does. Evidence that is not as settings_file() writes it is left out.
SettingsFile read_settings_file(const std::filesystem::path& path);

}  // namespace reattend
