// JSON that comes from anywhere: every member is checked, and one that is not known is refused.
#include "viz/session/project_file.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json_number.h"
#include "base/sha256.h"

namespace reattend::viz {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "reattend-view";
constexpr int kVersion = 1;
constexpr size_t kMostBytes = size_t{8} << 20;
constexpr int kMostDepth = 8;  // lists by layer within settings within tried: 4
constexpr double kMostCells = 1 << 30;
constexpr const char* kRemedy = "move the file away to begin a new one";

[[noreturn]] void refuse(const std::string& where, const std::string& expected, const std::string& got) {
  fail({where, expected, got, kRemedy});
}

/// One object of the file, of which every member must be known.
class Members {
 public:
  Members(const json& object, std::string where, std::initializer_list<std::string_view> known)
      : object_(object), where_(std::move(where)) {
    if (!object_.is_object()) refuse(where_, "an object", object_.type_name());
    for (const auto& [key, value] : object_.items()) {
      if (std::ranges::find(known, key) == known.end()) refuse(where_, "members of a project file", '"' + key + '"');
    }
  }
  const std::string& where() const { return where_; }
  /// Null where there is none, or null itself.
  const json* find(const char* key) const {
    const auto at = object_.find(key);
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }
  const json& at(const char* key) const {
    const json* const found = find(key);
    if (found == nullptr) refuse(where_, fmt::format("\"{}\"", key), "none");
    return *found;
  }
  std::string text(const char* key, size_t most) const {
    const json& value = at(key);
    if (!value.is_string()) refuse(place(key), "a text", value.type_name());
    auto out = value.get<std::string>();
    if (out.size() > most) refuse(place(key), fmt::format("at most {} bytes", most), fmt::format("{}", out.size()));
    return out;
  }
  /// nan for null and nothing.
  double number(const char* key) const {
    const json* const value = find(key);
    if (value == nullptr) return std::nan("");
    if (!value->is_number()) refuse(place(key), "a number", value->type_name());
    return value->get<double>();
  }
  int32_t whole(const char* key, int32_t low) const {
    const json& value = at(key);
    const double number = value.is_number_integer() ? value.get<double>() : std::nan("");
    if (!(number >= low && number <= kMostCells)) {
      refuse(place(key), fmt::format("a whole number from {}", low), json_text(value));
    }
    return static_cast<int32_t>(number);
  }
  std::string place(const std::string& key) const { return where_ + ", " + key; }

 private:
  const json& object_;
  std::string where_;
};

json limits_json(const Limits& limits) {
  return json::array({limits.low, limits.high});
}

Limits limits_from(const Members& from, const char* key) {
  const json& value = from.at(key);
  const bool two = value.is_array() && value.size() == 2 && value[0].is_number() && value[1].is_number();
  const Limits out = two ? Limits{value[0].get<double>(), value[1].get<double>()} : Limits{0, 0};
  if (!(out.low < out.high) || !(std::abs(out.low) <= kMostCells) || !(std::abs(out.high) <= kMostCells)) {
    refuse(from.place(key), "two numbers, the lower first", two ? json_text(value) : value.type_name());
  }
  return out;
}

json axes_json(const ShownAxes& axes) {
  return {{"steps", limits_json(axes.steps)}, {"positions", limits_json(axes.heat_positions)}};
}

ShownAxes axes_from(const json& object, const std::string& where) {
  const Members from(object, where, {"steps", "positions"});
  return {limits_from(from, "steps"), limits_from(from, "positions")};
}

json selection_json(const Selection& at) {
  return {{"layer", at.layer}, {"kv_head", at.kv_head}, {"step", at.step}, {"position", at.position}};
}

Selection selection_from(const json& object, const std::string& where) {
  const Members from(object, where, {"layer", "kv_head", "step", "position"});
  return {from.whole("layer", 0), from.whole("kv_head", 0), from.whole("step", 1), from.whole("position", -1)};
}

json bounds_json(const TuneBounds& bounds) {
  return {{"max_kl", bounds.max_kl},
          {"max_output_error", json_number(bounds.max_output_error)},
          {"max_lost_mass", json_number(bounds.max_lost_mass)},
          {"min_agreement", json_number(bounds.min_agreement)},
          {"max_ms", json_number(bounds.max_ms)}};
}

TuneBounds bounds_from(const json& object, const std::string& where) {
  const Members from(object, where, {"max_kl", "max_output_error", "max_lost_mass", "min_agreement", "max_ms"});
  const auto optional = [&](const char* key) {
    const double value = from.number(key);
    return std::isnan(value) ? std::nullopt : std::optional(value);
  };
  TuneBounds out = {.max_output_error = optional("max_output_error"),
                    .max_lost_mass = optional("max_lost_mass"),
                    .max_kl = from.number("max_kl"),
                    .min_agreement = optional("min_agreement"),
                    .max_ms = optional("max_ms")};
  try {
    check_bounds(out);
  } catch (const Error& error) {
    refuse(where, "bounds that are numbers above 0", error.what());
  }
  return out;
}

/// The numbers of a tried setting that the file keeps.
struct Kept {
  const char* key;
  double Metrics::*field;
};
constexpr Kept kKept[] = {{"predicted_kl", &Metrics::predicted_kl},
                          {"cost", &Metrics::cost},
                          {"speed_up", &Metrics::speed_up},
                          {"estimate", &Metrics::estimate},
                          {"lost", &Metrics::lost},
                          {"output_error_mean", &Metrics::output_error_mean},
                          {"output_error_p95", &Metrics::output_error_p95}};
struct KeptScore {
  const char* key;
  double Score::*field;
};
constexpr KeptScore kKeptScore[] = {
    {"kl", &Score::kl}, {"agreement", &Score::agreement}, {"ms", &Score::ms}, {"full_ms", &Score::full_ms}};

json tried_json(const TriedSetting& tried) {
  json out = {{"settings", tried.settings.to_json()}};
  for (const Kept& each : kKept) out[each.key] = json_number(tried.metrics.*each.field);
  if (tried.metrics.measured) {
    for (const KeptScore& each : kKeptScore)
      out["measured"][each.key] = json_number((*tried.metrics.measured).*each.field);
  }
  return out;
}

TriedSetting tried_from(const json& object, const std::string& where) {
  const Members from(object, where,
                     {"settings", "measured", "predicted_kl", "cost", "speed_up", "estimate", "lost",
                      "output_error_mean", "output_error_p95"});
  TriedSetting out = {
      .settings = Settings::from_json(from.at("settings"), from.place("settings")), .metrics = {}, .from_file = true};
  for (const Kept& each : kKept) out.metrics.*each.field = from.number(each.key);
  if (const json* const measured = from.find("measured")) {
    const Members score(*measured, from.place("measured"), {"kl", "agreement", "ms", "full_ms"});
    out.metrics.measured.emplace();
    for (const KeptScore& each : kKeptScore) (*out.metrics.measured).*each.field = score.number(each.key);
  }
  return out;
}

json note_json(const Note& note) {
  json out = {{"text", note.text}, {"first_step", note.steps.first}, {"last_step", note.steps.last}};
  if (note.first_position >= 0) {
    out["first_position"] = note.first_position, out["last_position"] = note.last_position;
  }
  if (note.layer >= 0) out["layer"] = note.layer;
  return out;
}

Note note_from(const json& object, const std::string& where) {
  const Members from(object, where, {"text", "first_step", "last_step", "first_position", "last_position", "layer"});
  Note out = {.text = from.text("text", kMostNoteBytes),
              .steps = {from.whole("first_step", 1), from.whole("last_step", 1)}};
  if (from.find("first_position") != nullptr) {
    out.first_position = from.whole("first_position", 0);
    out.last_position = from.whole("last_position", out.first_position);
  }
  if (from.find("layer") != nullptr) out.layer = from.whole("layer", 0);
  if (out.steps.size() < 1) refuse(where, "the last step not before the first", "the reverse");
  return out;
}

json baseline_json(const Baseline::Pinned& pinned) {
  json out = {{"settings", pinned.settings.to_json()}};
  if (!pinned.trace.empty()) out["trace"] = pinned.trace.string();
  return out;
}

Baseline::Pinned baseline_from(const json& object, const std::string& where) {
  constexpr size_t kMostPath = 4096;
  const Members from(object, where, {"settings", "trace"});
  Baseline::Pinned out = {Settings::from_json(from.at("settings"), from.place("settings")), {}};
  if (from.find("trace") != nullptr) out.trace = from.text("trace", kMostPath);
  return out;
}

/// Calls take(value, where) for each of a list's values.
template <class Take>
void for_each_of(const Members& from, const char* key, size_t most, const Take& take) {
  const json* const list = from.find(key);
  if (list == nullptr) return;
  if (!list->is_array()) refuse(from.place(key), "a list", list->type_name());
  if (list->size() > most) refuse(from.place(key), fmt::format("at most {}", most), fmt::format("{}", list->size()));
  for (size_t i = 0; i < list->size(); ++i) take((*list)[i], fmt::format("{} {}", from.place(key), i + 1));
}

/// Nothing where it is no JSON, or nested deeper than any that this program writes.
json parse(std::string_view text) {
  bool deep = false;
  const json::parser_callback_t keep = [&deep](int depth, json::parse_event_t, json&) {
    deep = deep || depth > kMostDepth;
    return !deep;
  };
  json out = json::parse(text, keep, false);
  return deep ? json(json::value_t::discarded) : out;
}

}  // namespace

std::filesystem::path project_path(const std::filesystem::path& trace) {
  std::filesystem::path path = trace;
  path += ".view.json";
  return path;
}

std::string trace_id(const TraceInfo& info, const std::vector<std::string>& token_texts) {
  std::string text =
      fmt::format("{}\n{}\n{} {} {} {} {} {} {}\n", info.created_utc, info.attribute("model_sha256"), info.n_layer,
                  info.n_head, info.n_kv_head, info.d_head, info.n_vocab, info.n_prompt, info.n_skipped);
  const auto n = std::min(token_texts.size(), static_cast<size_t>(info.n_prompt));
  for (size_t i = 0; i < n; ++i) text += fmt::format("{}:{}", token_texts[i].size(), token_texts[i]);
  return sha256(std::as_bytes(std::span(text)));
}

std::string project_text(const ProjectData& data) {
  json out = {{"format", kFormat},
              {"version", kVersion},
              {"trace", data.trace_id},
              {"settings", data.settings.to_json()},
              {"bounds", bounds_json(data.bounds)},
              {"selection", selection_json(data.selection)},
              {"axes", axes_json(data.axes)},
              {"layout", data.layout},
              {"tried", json::array()},
              {"notes", json::array()},
              {"bookmarks", json::array()}};
  if (data.baseline) out["baseline"] = baseline_json(*data.baseline);
  for (const TriedSetting& each : data.tried) out["tried"].push_back(tried_json(each));
  for (const Note& each : data.notes) out["notes"].push_back(note_json(each));
  for (const std::optional<Bookmark>& each : data.bookmarks) {
    out["bookmarks"].push_back(
        each ? json{{"selection", selection_json(each->selection)}, {"axes", axes_json(each->axes)}} : json());
  }
  return json_text(out, 1) + "\n";
}

ProjectData project_from_text(std::string_view text, const std::string& where) {
  const json file = parse(text);
  if (file.is_discarded() || !file.is_object()) refuse(where, "a project file of the window", "no JSON object");
  const auto format = file.find("format"), version = file.find("version");
  if (format == file.end() || *format != kFormat || version == file.end() || !version->is_number_integer()) {
    refuse(where, fmt::format("\"format\": \"{}\" and a \"version\"", kFormat), "another JSON file");
  }
  if (version->get<double>() != kVersion) {
    refuse(where, fmt::format("version {}", kVersion),
           fmt::format("version {}, of a newer program", json_text(*version)));
  }
  const Members from(file, where,
                     {"format", "version", "trace", "settings", "bounds", "selection", "axes", "layout", "baseline",
                      "tried", "notes", "bookmarks"});
  constexpr size_t kMostName = 200;
  ProjectData out = {.trace_id = from.text("trace", kMostName),
                     .settings = Settings::from_json(from.at("settings"), from.place("settings")),
                     .bounds = bounds_from(from.at("bounds"), from.place("bounds")),
                     .selection = selection_from(from.at("selection"), from.place("selection")),
                     .axes = axes_from(from.at("axes"), from.place("axes")),
                     .layout = from.text("layout", kMostName),
                     .baseline = {},
                     .tried = {},
                     .notes = {},
                     .bookmarks = {}};
  if (const json* const baseline = from.find("baseline")) {
    out.baseline = baseline_from(*baseline, from.place("baseline"));
  }
  for_each_of(from, "tried", Tried::kMost,
              [&](const json& each, const std::string& at) { out.tried.push_back(tried_from(each, at)); });
  for_each_of(from, "notes", kMostNotes,
              [&](const json& each, const std::string& at) { out.notes.push_back(note_from(each, at)); });
  size_t n = 0;
  for_each_of(from, "bookmarks", kBookmarks, [&](const json& each, const std::string& at) {
    std::optional<Bookmark>& mark = out.bookmarks[n++];
    if (each.is_null()) return;
    const Members members(each, at, {"selection", "axes"});
    mark = {selection_from(members.at("selection"), members.place("selection")),
            axes_from(members.at("axes"), members.place("axes"))};
  });
  return out;
}

FoundProject read_project(const std::filesystem::path& trace, const std::string& trace_id) {
  const std::filesystem::path path = project_path(trace);
  std::error_code error;
  FoundProject out = {.trace_id = trace_id, .data = {}, .refused = {}};
  if (!std::filesystem::exists(path, error) && !error) return out;
  try {
    const Complaint wanted = {
        path.string(), fmt::format("a project file of at most {} bytes", kMostBytes), {}, kRemedy};
    ProjectData data = project_from_text(read_text(path, wanted, kMostBytes), path.string());
    if (data.trace_id != trace_id) refuse(path.string(), "the project file of this trace", "another trace's");
    out.data = std::move(data);
  } catch (const Error& refused) {
    out.refused = refused.what();
  }
  return out;
}

}  // namespace reattend::viz
