// Reads and writes the preferences as JSON; a hand-edited file may hold anything.
#include "viz/start/preferences.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json_text.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

namespace fs = std::filesystem;
constexpr size_t kMostBytes = 1 << 16;

fs::path whole(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  return (error ? path : absolute).lexically_normal();
}

Preferences from_json(const nlohmann::json& json) {
  // Beyond these a file is broken, or of a display that nobody has.
  constexpr int kMostPixels = 16384;
  constexpr float kMostScale = 8;
  Preferences out;
  out.width = std::clamp(json.value("width", 0), 0, kMostPixels);
  out.height = std::clamp(json.value("height", 0), 0, kMostPixels);
  out.light = json.value("light", false);
  out.text = std::clamp(json.value("text", 1.0F), kLeastText, kMostText);
  out.scale = std::clamp(json.value("scale", 1.0F), 1 / kMostScale, kMostScale);
  out.layout = json.value("layout", "");
  out.tour_seen = json.value("tour_seen", false);
  for (const std::string& path : json.value("recent", std::vector<std::string>())) {
    if (out.recent.size() < kMostRecent) out.recent.emplace_back(path);
  }
  return out;
}

std::string to_json(const Preferences& preferences) {
  std::vector<std::string> recent;
  for (const fs::path& path : preferences.recent) recent.push_back(path.string());
  const nlohmann::ordered_json json = {{"width", preferences.width},  {"height", preferences.height},
                                       {"light", preferences.light},  {"text", preferences.text},
                                       {"scale", preferences.scale},  {"layout", preferences.layout},
                                       {"recent", std::move(recent)}, {"tour_seen", preferences.tour_seen}};
  return json_text(json, 2) + "\n";
}

/// Throws Error for what is not a file of preferences; without one everything is as usual.
Preferences read(const fs::path& path) {
  std::error_code error;
  if (path.empty() || !fs::exists(path, error)) return {};
  const Complaint wanted = {.where = path.string(),
                            .expected = "the window's preferences, as JSON",
                            .got = "something else",
                            .remedy = "everything is as usual; the next change of them writes the file anew"};
  try {
    return from_json(nlohmann::json::parse(read_text(path, wanted, kMostBytes)));
  } catch (const nlohmann::json::exception&) {
    fail(wanted);
  }
}

}  // namespace

PreferenceFile::PreferenceFile(fs::path path) : path_(std::move(path)) {
  try {
    now_ = read(path_);
  } catch (const Error& error) {
    complaint_ = error.what();
  }
}

void PreferenceFile::read_recent() {
  try {
    if (!path_.empty()) now_.recent = read(path_).recent;
  } catch (const Error&) {
    now_.recent.clear();  // that the file is broken was said when it was first read
  }
}

void PreferenceFile::write() {
  if (path_.empty()) return;
  try {
    WholeFile file(path_);
    file.write(to_json(now_));
    file.publish();
  } catch (const Error& error) {
    complaint_ = error.what();
  }
}

void PreferenceFile::save() {
  read_recent();
  write();
}

void PreferenceFile::opened(const fs::path& trace) {
  read_recent();
  std::erase(now_.recent, whole(trace));
  now_.recent.insert(now_.recent.begin(), whole(trace));
  if (now_.recent.size() > kMostRecent) now_.recent.resize(kMostRecent);
  write();
}

void PreferenceFile::forget(const fs::path& trace) {
  read_recent();
  std::erase(now_.recent, whole(trace));
  write();
}

fs::path config_folder() {
  const char *config = std::getenv("XDG_CONFIG_HOME"), *home = std::getenv("HOME");
  fs::path folder;
  if (config != nullptr && *config != '\0') {
    folder = config;
  } else if (home != nullptr && *home != '\0') {
    folder = fs::path(home) / ".config";
  } else {
    return {};
  }
  folder /= "reattend";
  std::error_code error;
  fs::create_directories(folder, error);
  return error ? fs::path() : folder;
}

}  // namespace reattend::viz
