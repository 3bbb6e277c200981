// The root attributes of a trace, each checked before anything is sized by it.
#include "traces/read/info.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "policies/policy.h"
#include "traces/attributes.h"
#include "traces/read/checked_file.h"
#include "traces/schema.h"

namespace reattend {
namespace {

using hdf5::AttributeValue;
using hdf5::CheckedFile;
using Attributes = std::map<std::string, AttributeValue>;

std::string number_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}
std::string number_text(int64_t value) {
  return std::to_string(value);
}

std::string attribute_text(const AttributeValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  const auto list = [](const auto& numbers) {
    std::string text;
    for (const auto x : numbers) text += (text.empty() ? "" : ", ") + number_text(x);
    return numbers.size() == 1 ? text : "[" + text + "]";
  };
  if (const auto* integers = std::get_if<std::vector<int64_t>>(&value)) return list(*integers);
  return list(std::get<std::vector<double>>(value));
}

/// Typed reads of the root attributes; errors name the attribute.
class AttributeReader {
 public:
  AttributeReader(const Attributes& all, std::string path) : all_(all), path_(std::move(path)) {}

  bool has(const std::string& name) const { return all_.contains(name); }
  std::string text(const std::string& name) const {
    const auto* value = get<std::string>(name);
    return value != nullptr ? *value : missing(name, "text");
  }
  int32_t integer(const std::string& name, int64_t low, int64_t high) const {
    const auto* value = get<std::vector<int64_t>>(name);
    if (value == nullptr || value->size() != 1) missing(name, "an integer");
    const int64_t x = value->front();
    if (x < low || x > high) {
      fail({.where = where(name),
            .expected = std::to_string(low) + " to " + std::to_string(high),
            .got = std::to_string(x)});
    }
    return static_cast<int32_t>(x);
  }
  double real(const std::string& name) const {
    const auto* value = get<std::vector<double>>(name);
    if (value == nullptr || value->size() != 1) missing(name, "a number");
    return value->front();
  }
  double real_or(const std::string& name, double otherwise) const { return has(name) ? real(name) : otherwise; }
  std::vector<int64_t> integers(const std::string& name) const {
    const auto* value = get<std::vector<int64_t>>(name);
    if (value == nullptr) missing(name, "a list of integers");
    return *value;
  }
  /// Index of the attribute's text in `choices`.
  size_t choice(const std::string& name, std::initializer_list<std::string_view> choices) const {
    const std::string found = text(name);
    const auto* const at = std::find(choices.begin(), choices.end(), found);
    if (at == choices.end()) {
      std::string list;
      for (const auto c : choices) list += (list.empty() ? "" : " or ") + std::string(c);
      fail({.where = where(name), .expected = list, .got = found});
    }
    return static_cast<size_t>(at - choices.begin());
  }
  std::string where(const std::string& name) const { return path_ + ": attribute " + name; }

 private:
  template <class T>
  const T* get(const std::string& name) const {
    const auto at = all_.find(name);
    return at == all_.end() ? nullptr : std::get_if<T>(&at->second);
  }
  [[noreturn]] std::string missing(const std::string& name, const char* kind) const {
    fail({.where = where(name),
          .expected = kind,
          .got = has(name) ? "another type" : "nothing",
          .remedy = "give a trace written by `reattend record`"});
  }
  const Attributes& all_;
  std::string path_;
};

/// One that TraceInfo keeps as it is.
void read_member(const AttributeReader& read, const schema::Attribute& attribute, std::string& out) {
  out = read.text(std::string(attribute.name));
}
void read_member(const AttributeReader& read, const schema::Attribute& attribute, std::vector<int64_t>& out) {
  out = read.integers(std::string(attribute.name));
}
void read_member(const AttributeReader& read, const schema::Attribute& attribute, double& out) {
  out = read.real(std::string(attribute.name));
}
template <class T>
void read_member(const AttributeReader& read, const schema::Attribute& attribute, T& out) {
  out = static_cast<T>(read.integer(std::string(attribute.name), attribute.low, attribute.high));
}

/// All of those; one that a trace may lack stays as it is in TraceInfo.
void read_members(const AttributeReader& read, TraceInfo& info) {
  for (const schema::Attribute& attribute : schema::kAttributes) {
    if (!attribute.needed && !read.has(std::string(attribute.name))) continue;
    std::visit(
        [&](auto member) {
          if constexpr (!std::is_same_v<decltype(member), std::monostate>) read_member(read, attribute, info.*member);
        },
        attribute.member);
  }
  const auto refuse = [&](const char* name, const std::string& expected, const std::string& got) {
    fail({.where = read.where(name), .expected = expected, .got = got});
  };
  if (info.n_head % info.n_kv_head != 0 || info.d_head % 2 != 0) {
    refuse("n_kv_head, d_head", "a divisor of n_head, and an even width",
           std::to_string(info.n_kv_head) + " of " + std::to_string(info.n_head) + ", " + std::to_string(info.d_head));
  }
  if (info.n_skipped > info.n_prompt) {
    refuse("n_skipped", "0 to " + std::to_string(info.n_prompt), std::to_string(info.n_skipped));
  }
}

/// Refuses other formats and newer major versions; a newer minor one becomes a warning. Returns whether it is newer.
bool check_version(const AttributeReader& read, TraceInfo& info) {
  read.choice("format", {schema::kFormat});
  const std::string version = read.text("format_version");
  const size_t dot = version.find('.');
  int major = -1, minor = -1;
  const char* const begin = version.data();
  const char* const end = begin + version.size();
  if (dot != std::string::npos) {
    if (std::from_chars(begin, begin + dot, major).ptr != begin + dot) major = -1;
    if (std::from_chars(begin + dot + 1, end, minor).ptr != end) minor = -1;
  }
  const std::string ours = std::to_string(schema::kMajor) + "." + std::to_string(schema::kMinor);
  if (major < 1 || minor < 0)
    fail({.where = read.where("format_version"), .expected = "a version like " + ours, .got = version});
  if (major > schema::kMajor) {
    fail({.where = read.where("format_version"),
          .expected = "at most " + ours,
          .got = version,
          .remedy = "the trace comes from a newer program: use that one, or a newer version of this one"});
  }
  const bool newer = minor > schema::kMinor;
  if (newer)
    info.warning = "written in format " + version + ", newer than " + ours + ": what is new in it is not shown";
  info.minor = minor;
  return newer;
}

/// Which layers are stored: all where the attribute says so, or there is none (format 1.0).
std::vector<int32_t> read_layers(const AttributeReader& read, int32_t n_layer) {
  const std::vector<int64_t> all = read.integers("layers");
  constexpr size_t kShown = 80;          // characters
  constexpr int32_t kMostLayers = 1024;  // of a model that a part is taken from: what is read is filled up to all
  const bool ascending = std::adjacent_find(all.begin(), all.end(), std::greater_equal<>()) == all.end();
  if (all.empty() || !ascending || all.front() < 0 || all.back() >= n_layer) {
    fail({.where = read.where("layers"),
          .expected = "rising numbers from 0 to " + std::to_string(n_layer - 1),
          .got = all.empty() ? "none" : attribute_text(all).substr(0, kShown),
          .remedy = "the file is damaged"});
  }
  if (all.size() == static_cast<size_t>(n_layer)) return {};
  if (n_layer > kMostLayers) {
    fail({.where = read.where("layers"),
          .expected = "a part of at most " + std::to_string(kMostLayers) + " layers",
          .got = "of " + std::to_string(n_layer)});
  }
  return {all.begin(), all.end()};
}

/// Which maps are stored, and which layers. `newer`: the file may know kinds of maps that this program does not.
void read_choices(const AttributeReader& read, bool newer, TraceInfo& info) {
  if (read.has("maps")) {
    const std::string name = read.text("maps");
    const auto* const found = std::find(kMapsNames.begin(), kMapsNames.end(), name);
    if (found == kMapsNames.end() && !newer) {
      fail({.where = read.where("maps"), .expected = "top, dense, binned or none", .got = name});
    }
    info.maps = found == kMapsNames.end() ? Maps::none : static_cast<Maps>(found - kMapsNames.begin());
  }
  if (info.maps != Maps::binned) info.map_bin = 0;
  if (info.maps != Maps::binned && info.maps != Maps::dense) info.n_column = 0;
  if (read.has("layers")) info.layers = read_layers(read, info.n_layer);
}

/// How the model scores positions, and which of them a layer sees.
void check_scores(const CheckedFile& file, const AttributeReader& read, const TraceInfo& info) {
  // Passed over they would give other rows: what can't be read is not taken for absent.
  for (const char* const name : {"attention_scale", "attention_cap", "windows"}) {
    if (read.has(name) || !file.has_attribute(name)) continue;
    fail({.where = read.where(name), .expected = "numbers", .got = "another type"});
  }
  for (const auto& [name, value] :
       {std::pair{"attention_scale", info.attention_scale}, {"attention_cap", info.attention_cap}}) {
    const double most = std::string_view(name) == "attention_cap" ? kLargestCap : 1e6;
    if (!read.has(name) || (value >= 1e-6 && value <= most)) continue;
    fail({.where = read.where(name), .expected = "1e-06 to " + number_text(most), .got = number_text(value)});
  }
  if (info.windows.empty()) return;
  const auto sane = [](int64_t window) { return window >= 0 && window <= schema::kMost; };
  if (info.windows.size() != static_cast<size_t>(info.n_layer) || !std::ranges::all_of(info.windows, sane)) {
    fail({.where = read.where("windows"),
          .expected = fmt::format("{} numbers of positions, up to {}", info.n_layer, schema::kMost),
          .got = attribute_text(info.windows).substr(0, 80)});
  }
  for (int32_t i = 0; i < info.n_stored(); ++i) {
    if (info.acts(info.stored_layer(i))) continue;
    fail({.where = read.where("layers"),
          .expected = "layers without a window",
          .got = fmt::format("layer {}, whose window is {} positions", info.stored_layer(i),
                             info.windows[static_cast<size_t>(info.stored_layer(i))])});
  }
}

}  // namespace

void add_warning(std::string& warning, const std::string& more) {
  warning += (warning.empty() ? "" : "; ") + more;
}

namespace {

/// The policy, or the first of its parameters, that this program does not know; empty where it knows all of them.
std::string unknown_name(const nlohmann::json& settings) {
  const auto name = settings.is_object() ? settings.find("name") : settings.end();
  if (name == settings.end() || !name->is_string()) return {};
  const PolicyInfo* const policy = find_policy(name->get<std::string>());
  if (policy == nullptr) return "policy \"" + name->get<std::string>() + "\"";
  for (const auto& [key, value] : settings.items()) {
    if (key != "name" && !policy->takes(key)) return "\"" + key + "\" of policy " + std::string(policy->name);
  }
  return {};
}

/// A policy or parameter of a name that is unknown here was added by a newer program: within a minor version too, for
/// it changes no dataset. The recording itself can be read.
void read_settings(const AttributeReader& read, bool newer, TraceInfo& info) {
  const auto settings = nlohmann::json::parse(read.text("settings"), nullptr, false);
  const std::string unknown = unknown_name(settings);
  try {
    info.settings = Settings::from_json(settings, read.where("settings"));
    try {
      info.settings.check_against_model(info.n_layer);
    } catch (const Error& error) {
      throw Error(read.where("settings") + ": " + error.what());
    }
  } catch (const Error& error) {
    if (!newer && unknown.empty()) throw Error(error.what());
    info.settings = Settings(), info.policy_known = false;
    const std::string by = read.has("engine_version") ? ", version " + read.text("engine_version") : std::string();
    add_warning(
        info.warning,
        unknown.empty()
            ? std::string("its settings are unknown here: ") + error.what()
            : to_line({.where = fmt::format("made by a newer reattend (format {}{})", read.text("format_version"), by),
                       .expected = "a policy that is known here",
                       .got = unknown,
                       .remedy = "what was recorded is shown, the setting is not: take that program, or a "
                                 "newer version of this one"}));
  }
}

}  // namespace

void check_has_steps(const TraceInfo& info) {
  if (info.n_step > 0) return;
  fail({.where = info.path.string(), .expected = "at least one decode step", .got = "none", .remedy = kNoStepRemedy});
}

TraceInfo read_info(const CheckedFile& file) {
  const Attributes all = file.attributes();
  const AttributeReader read(all, file.path().string());
  TraceInfo info;
  info.path = file.path();
  for (const auto& [name, value] : all) info.attributes.emplace(name, attribute_text(value));
  const bool newer = check_version(read, info);
  read_members(read, info);
  info.rope.base = read.real("rope_base");
  info.rope.layout = read.choice("rope_layout", {"pairs", "halves"}) == 0 ? RopeLayout::pairs : RopeLayout::halves;
  info.rope.d_head = info.d_head;
  if (!(info.rope.base > 0) || !std::isfinite(info.rope.base)) {
    fail({.where = read.where("rope_base"), .expected = "a positive number", .got = number_text(info.rope.base)});
  }
  info.kv_type = kKvTypes[read.choice("kv_type", {"f32", "f16", "bf16", "q8"})];
  read_choices(read, newer, info);
  check_scores(file, read, info);
  for (const CalibrationField& field : kCalibrationFields) {
    const double found = read.real_or(std::string("calibration_") + field.name, field.otherwise);
    info.calibration.*field.value = is_plausible(field, found) ? found : field.otherwise;
    if (is_plausible(field, found)) continue;
    add_warning(info.warning, std::string("its calibration_") + field.name + " of " + number_text(found) + " " +
                                  field.unit + " is no machine's and is left out");
  }
  read_settings(read, newer, info);
  return info;
}

}  // namespace reattend
