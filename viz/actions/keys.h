// Keys: which chord calls which action, from the table and from the user's own file.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <imgui.h>

#include "viz/actions/actions.h"

namespace reattend::viz {

/// "Ctrl+Shift+P", "Left", "?", "F1"; nothing for what is no key.
std::optional<ImGuiKeyChord> parse_chord(std::string_view text);
/// What parse_chord() takes.
std::string to_text(ImGuiKeyChord chord);

struct KeyBinding {
  ImGuiKeyChord chord;
  Call call;
};

class Keys {
 public:
  /// The keys of the table, which must outlive this. Throws std::logic_error for a chord that two actions have.
  explicit Keys(const Actions& actions);
  /// Other keys than the table's, as JSON: {"step.next": ["Right", "J"], "layer.set layer=3": ["3"]}. A call named
  /// there has these keys and no others; none at all with []. A chord that another call had is taken from it. Throws
  /// Error naming `where` for what is no call or no key; the keys are then as before.
  void replace(std::string_view json, const std::string& where);

  const std::vector<KeyBinding>& all() const { return bindings_; }
  /// "Right, J" of the call of an action without arguments; empty where it has no key.
  std::string shown(const Action& action) const;
  /// Calls of keys that were pressed in this frame; none while text is being typed.
  std::vector<Call> pressed() const;

 private:
  const Actions& actions_;
  std::vector<KeyBinding> bindings_;
};

/// The user's keys from `file`, which need not be there. What was wrong with it, in a line; empty if nothing was.
std::string load_keys(Keys& keys, const std::filesystem::path& file);

}  // namespace reattend::viz
