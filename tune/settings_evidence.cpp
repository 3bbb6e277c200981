// Reads [evidence] of a settings file, which anybody may have written.
#include "tune/settings_evidence.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "policies/toml_text.h"

namespace reattend {
namespace {

std::string file_name(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

/// Nothing where `table` does not name a trace.
std::optional<SettingsFile::Source> source_of(const toml::table& table) {
  const auto name = table["trace"].value<std::string>();
  const auto n_prompt = table["n_prompt"].value<int64_t>(), n_step = table["n_step"].value<int64_t>();
  if (!name || !n_prompt || !n_step) return std::nullopt;
  return SettingsFile::Source{.name = file_name(*name), .n_prompt = *n_prompt, .n_step = *n_step};
}

std::string in_words(const toml::table& evidence) {
  std::vector<std::string> kl, all;
  for (const char* const how : {"predicted", "measured"}) {
    const auto value = evidence[how]["mean_kl"].value<double>();
    if (value && std::isfinite(*value)) kl.push_back(fmt::format("{:.3g} {}", *value, how));
  }
  if (!kl.empty()) all.push_back(fmt::format("KL {}", fmt::join(kl, ", ")));
  const auto gain = evidence["predicted"]["speed_up"].value<double>();
  if (gain && std::isfinite(*gain) && *gain > 0) {
    all.push_back(
        fmt::format("predicted {:.2f} times as {}", std::max(*gain, 1 / *gain), *gain >= 1 ? "fast" : "slow"));
  }
  return fmt::format("{}", fmt::join(all, "; "));
}

}  // namespace

bool SettingsFile::names(const TraceInfo& trace) const {
  const std::string name = ascii_of(trace.path.filename().string());
  return std::ranges::any_of(traces, [&](const Source& each) {
    return each.name == name && each.n_prompt == trace.n_prompt && each.n_step == trace.n_step;
  });
}

SettingsFile read_settings_file(const std::filesystem::path& path) {
  const std::string text = read_settings_text(path);
  SettingsFile out{.settings = Settings::from_toml(text, path.string()), .traces = {}, .evidence = {}};
  const toml::table file = parse_toml(text, path.string());
  const toml::table* const evidence = file["evidence"].as_table();
  if (evidence == nullptr) return out;
  if (const auto one = source_of(*evidence)) out.traces.push_back(*one);
  if (const toml::array* const several = (*evidence)["traces"].as_array()) {
    for (const toml::node& each : *several) {
      if (each.as_table() == nullptr) continue;
      if (const auto one = source_of(*each.as_table())) out.traces.push_back(*one);
    }
  }
  out.evidence = in_words(*evidence);
  return out;
}

}  // namespace reattend
