// Chords as text and back, and the bindings that result from the table and a file.
#include "viz/actions/keys.h"

#include <algorithm>
#include <stdexcept>
#include <system_error>

#include "base/ascii.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json_text.h"

namespace reattend::viz {
namespace {

constexpr size_t kMostBytes = 1 << 16;  ///< of a file of keys

struct KeyName {
  ImGuiKey key;
  const char* name;
};
/// Other names than Dear ImGui's.
constexpr KeyName kNames[] = {
    {ImGuiKey_LeftArrow, "Left"}, {ImGuiKey_RightArrow, "Right"}, {ImGuiKey_UpArrow, "Up"},
    {ImGuiKey_DownArrow, "Down"}, {ImGuiKey_Escape, "Esc"},       {ImGuiKey_Comma, ","},
    {ImGuiKey_Period, "."},       {ImGuiKey_LeftBracket, "["},    {ImGuiKey_RightBracket, "]"},
    {ImGuiKey_Equal, "="},        {ImGuiKey_Minus, "-"},          {ImGuiKey_Slash, "/"},
    {ImGuiKey_Semicolon, ";"},    {ImGuiKey_Apostrophe, "'"},     {ImGuiKey_GraveAccent, "`"},
    {ImGuiKey_Backslash, "\\"},
};
constexpr KeyName kModifiers[] = {
    {ImGuiMod_Ctrl, "Ctrl"}, {ImGuiMod_Shift, "Shift"}, {ImGuiMod_Alt, "Alt"}, {ImGuiMod_Super, "Super"}};
/// What Shift and the slash give on most keyboards.
constexpr const char* kQuestionMark = "?";
constexpr ImGuiKeyChord kQuestionChord = ImGuiMod_Shift | ImGuiKey_Slash;

std::string name_of(ImGuiKey key) {
  for (const KeyName& each : kNames) {
    if (each.key == key) return each.name;
  }
  return ImGui::GetKeyName(key);
}

bool same(std::string_view a, std::string_view b) {
  return ascii_lower(a) == ascii_lower(b);
}

/// Keys of the keyboard only: Dear ImGui counts those of gamepads and the mouse among its keys too.
std::optional<ImGuiKey> key_named(std::string_view name) {
  for (int key = ImGuiKey_Tab; key < ImGuiKey_GamepadStart; ++key) {
    const auto each = static_cast<ImGuiKey>(key);
    const bool holds = each >= ImGuiKey_LeftCtrl && each <= ImGuiKey_RightSuper;
    if (!holds && same(name, name_of(each))) return each;
  }
  return std::nullopt;
}

ImGuiKeyChord chord_or_error(const std::string& text, const std::string& where) {
  if (const auto chord = parse_chord(text)) return *chord;
  fail(
      {.where = where, .expected = "a key such as F2, Right or Ctrl+Shift+P", .got = "\"" + text + "\"", .remedy = {}});
}

bool same_call(const Call& a, const Call& b) {
  return a.action == b.action && a.arguments == b.arguments;
}

}  // namespace

std::optional<ImGuiKeyChord> parse_chord(std::string_view text) {
  if (text == kQuestionMark) return kQuestionChord;
  ImGuiKeyChord chord = 0;
  for (size_t plus = text.find('+'); plus != std::string_view::npos; plus = text.find('+')) {
    const std::string_view name = text.substr(0, plus);
    const auto at = std::ranges::find_if(kModifiers, [&](const KeyName& each) { return same(name, each.name); });
    if (at == std::end(kModifiers)) return std::nullopt;
    chord |= at->key;
    text.remove_prefix(plus + 1);
  }
  const auto key = key_named(text);
  if (!key) return std::nullopt;
  return chord | *key;
}

std::string to_text(ImGuiKeyChord chord) {
  if (chord == kQuestionChord) return kQuestionMark;
  std::string text;
  for (const KeyName& each : kModifiers) {
    if ((chord & each.key) != 0) text += std::string(each.name) + "+";
  }
  return text + name_of(static_cast<ImGuiKey>(chord & ~ImGuiMod_Mask_));
}

Keys::Keys(const Actions& actions) : actions_(actions) {
  for (const Action& action : actions.all()) {
    for (const DefaultKey& key : action.keys) {
      const std::optional<ImGuiKeyChord> chord = parse_chord(key.chord);
      if (!chord) throw std::logic_error(action.name + " has a key that is none: " + key.chord);
      if (std::ranges::find(bindings_, *chord, &KeyBinding::chord) != bindings_.end()) {
        throw std::logic_error("two actions have the key " + key.chord);
      }
      bindings_.push_back({*chord, actions.parse(action, key.arguments)});
    }
  }
}

void Keys::replace(std::string_view json, const std::string& where) {
  const auto refuse = [&](const std::string& got) {
    fail({where, R"(keys by action, as in {"step.next": ["Right", "J"]})", got, "mend or remove it"});
  };
  nlohmann::json file;
  try {
    file = read_json(json);
  } catch (const Error&) {
    refuse("no JSON");
  }
  if (!file.is_object()) refuse(json_text(file).substr(0, 80));
  std::vector<KeyBinding> all = bindings_;
  for (const auto& [line, chords] : file.items()) {
    Call call;
    try {
      call = actions_.parse(line);
    } catch (const Error& error) {
      throw Error(where + ": " + error.what());
    }
    std::erase_if(all, [&](const KeyBinding& each) { return same_call(each.call, call); });
    if (!chords.is_array()) refuse(line + " with " + json_text(chords).substr(0, 80));
    for (const auto& text : chords) {
      if (!text.is_string()) refuse(line + " with " + json_text(text).substr(0, 80));
      const ImGuiKeyChord chord = chord_or_error(text.get<std::string>(), where);
      std::erase_if(all, [&](const KeyBinding& each) { return each.chord == chord; });
      all.push_back({chord, call});
    }
  }
  bindings_ = std::move(all);
}

std::string Keys::shown(const Action& action) const {
  std::string text;
  for (const KeyBinding& each : bindings_) {
    if (each.call.action != &action || !each.call.arguments.empty()) continue;
    text += (text.empty() ? "" : ", ") + to_text(each.chord);
  }
  return text;
}

std::vector<Call> Keys::pressed() const {
  std::vector<Call> calls;
  if (ImGui::GetIO().WantTextInput) return calls;
  for (const KeyBinding& each : bindings_) {
    const ImGuiInputFlags repeat = each.call.action->repeats ? ImGuiInputFlags_Repeat : ImGuiInputFlags_None;
    if (ImGui::Shortcut(each.chord, ImGuiInputFlags_RouteGlobal | repeat)) calls.push_back(each.call);
  }
  return calls;
}

std::string load_keys(Keys& keys, const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return {};
  try {
    keys.replace(read_text(file, {.where = file.string(), .expected = "keys by action", .remedy = "mend or remove it"},
                           kMostBytes),
                 file.string());
  } catch (const Error& wrong) {
    return wrong.what();
  }
  return {};
}

}  // namespace reattend::viz
