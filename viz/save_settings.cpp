// Writes beside the target and renames, so that a failed write leaves the old file whole.
#include "viz/save_settings.h"

#include <cmath>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"

namespace reattend::viz {
namespace {

/// A TOML basic string.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return out + "\"";
}

/// TOML spells infinity `inf`.
std::string number(double x) {
  return std::isfinite(x) ? fmt::format("{:.6g}", x) : std::string(x > 0 ? "inf" : "nan");
}

}  // namespace

std::string settings_file(const Session& session) {
  std::string text = session.settings().to_toml();
  const ReplayResult* all = session.all();
  if (all == nullptr || !(all->settings == session.settings())) return text;
  const ReplaySummary& total = all->total;
  text += fmt::format("\n[evidence]\nkind = \"replay\"\ntrace = {}\nprompt = {}\nsteps = {}\n",
                      quoted(session.path().filename().string()), session.trace()->info.n_prompt,
                      session.trace()->info.n_step);
  const std::pair<const char*, double> rows[] = {{"recovered", total.recovered},
                                                 {"oracle", total.oracle},
                                                 {"normalised", total.normalised},
                                                 {"overlap", total.overlap},
                                                 {"output_error_mean", total.output_error_mean},
                                                 {"output_error_p95", total.output_error_p95},
                                                 {"effective_stride", total.effective_stride},
                                                 {"positions", total.positions},
                                                 {"ms_per_token", total.ms_per_token},
                                                 {"ms_per_token_full", total.ms_per_token_full}};
  for (const auto& [name, value] : rows) text += fmt::format("{} = {}\n", name, number(value));
  return text;
}

void save_settings(const Session& session, const std::filesystem::path& path, bool overwrite) {
  std::error_code error;
  if (!overwrite && std::filesystem::exists(path, error)) {
    fail({path.string(), "a path that is free", "an existing file", "choose another name or overwrite it"});
  }
  std::filesystem::path beside = path;
  beside += ".new";
  {
    std::ofstream out(beside, std::ios::binary | std::ios::trunc);
    out << settings_file(session);
    out.close();
    if (!out) {
      std::filesystem::remove(beside, error);
      fail({path.string(), "a place that can be written", "a failed write", "choose another folder"});
    }
  }
  std::filesystem::rename(beside, path, error);
  if (error) fail({path.string(), "a place that can be written", error.message(), "choose another folder"});
}

}  // namespace reattend::viz
