// The setting that a trace is entered with, and in words why that one.
#pragma once
#include <string>

#include "policies/settings.h"
#include "traces/trace_info.h"

namespace reattend::viz {

struct ChosenSetting {
  Settings settings{kDefaultPolicy};
  std::string why;
};

/// What the trace was recorded under, unless that is full attention; else the newest settings file in its folder whose
/// evidence names it; else the default. Reads the folder: for the background thread.
ChosenSetting first_setting(const TraceInfo& info);

/// Of a settings file that a user gives. Throws Error as Settings::from_toml_file() does.
ChosenSetting setting_of_file(const std::filesystem::path& path);

}  // namespace reattend::viz
