// Keys: one table of chords, actions and their help, from which the key sheet is drawn too.
#pragma once
#include <cstdint>
#include <optional>
#include <span>

#include <imgui.h>

namespace reattend::viz {

enum class Action : uint8_t {
  pan_left,
  pan_right,
  zoom_in,
  zoom_out,
  fit,
  step_back,
  step_on,
  first_step,
  last_step,
  previous_full,
  next_full,
  layer_down,
  layer_up,
  head_down,
  head_up,
  toggle_marks,
  toggle_log,
  larger_text,
  smaller_text,
  normal_text,
  clear,
  key_sheet,
};

struct KeyBinding {
  ImGuiKeyChord chord;
  Action action;
  const char* keys;  ///< as shown; null for a second chord of an action
  const char* help;
  bool repeats;
};

std::span<const KeyBinding> key_bindings();

/// The action of a key pressed in this frame; nothing while text is being typed.
std::optional<Action> pressed_action();

}  // namespace reattend::viz
