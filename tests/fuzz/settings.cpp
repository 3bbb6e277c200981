// Any text as a settings file and as a parameter's value: refused in one line, or written and read again unchanged.
#include "policies/policy.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/error.h"
#include "tests/fuzz/targets.h"

namespace reattend::fuzz {
namespace {

/// What `call` gives, nothing where it refuses. An Error anywhere else is a broken promise.
template <class Call>
auto unless_refused(const Call& call) -> std::optional<decltype(call())> {
  try {
    return call();
  } catch (const Error& error) {
    promise(std::string_view(error.what()).find('\n') == std::string_view::npos, "an error is one line");
    return std::nullopt;
  }
}

}  // namespace

void settings(std::span<const uint8_t> data) {
  const std::string text(data.begin(), data.end());
  if (const auto read = unless_refused([&] { return Settings::from_toml(text, "FILE"); })) {
    promise(Settings::from_toml(read->to_toml(), "FILE") == *read, "settings are written as they are read");
    promise(Settings::from_json(read->to_json(), "FILE") == *read, "JSON holds the same");
    promise(read->summary().find('\n') == std::string::npos, "a summary is one line");
  }
  for (const Parameter* const parameter : parameters()) {
    if (const auto value = unless_refused([&] { return parse_value(*parameter, text); })) {
      check_value(*parameter, *value, "FILE");
      promise(parse_value(*parameter, to_text(*value)) == *value, "a value's text means the value");
    }
  }
}

}  // namespace reattend::fuzz
