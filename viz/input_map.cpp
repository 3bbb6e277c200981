// The table of keys, after the habits of trace viewers: WASD, F, full stop and comma, brackets, question mark.
#include "viz/input_map.h"

namespace reattend::viz {
namespace {

constexpr KeyBinding kBindings[] = {
    {ImGuiKey_W, Action::zoom_in, "W", "zoom in (of the plot that the mouse was on last)", true},
    {ImGuiKey_S, Action::zoom_out, "S", "zoom out", true},
    {ImGuiKey_A, Action::pan_left, "A", "pan left", true},
    {ImGuiKey_D, Action::pan_right, "D", "pan right", true},
    {ImGuiKey_F, Action::fit, "F", "show everything", false},
    {ImGuiKey_LeftArrow, Action::step_back, "Left", "previous step", true},
    {ImGuiKey_RightArrow, Action::step_on, "Right", "next step", true},
    {ImGuiKey_Home, Action::first_step, "Home", "first step", false},
    {ImGuiKey_End, Action::last_step, "End", "last step", false},
    {ImGuiKey_Comma, Action::previous_full, ",", "previous full step", true},
    {ImGuiKey_Period, Action::next_full, ".", "next full step", true},
    {ImGuiKey_LeftBracket, Action::layer_down, "[", "previous layer", true},
    {ImGuiKey_RightBracket, Action::layer_up, "]", "next layer", true},
    {ImGuiKey_UpArrow, Action::head_down, "Up", "previous KV head", true},
    {ImGuiKey_DownArrow, Action::head_up, "Down", "next KV head", true},
    {ImGuiKey_M, Action::toggle_marks, "M", "attended and lost positions in two colours, or attention alone", false},
    {ImGuiKey_L, Action::toggle_log, "L", "logarithmic or linear colours", false},
    {ImGuiMod_Ctrl | ImGuiKey_Equal, Action::larger_text, "Ctrl =", "larger text", true},
    {ImGuiMod_Ctrl | ImGuiKey_Minus, Action::smaller_text, "Ctrl -", "smaller text", true},
    {ImGuiMod_Ctrl | ImGuiKey_0, Action::normal_text, "Ctrl 0", "text of normal size", false},
    {ImGuiKey_Escape, Action::clear, "Esc", "clear the selected position, close this sheet", false},
    {ImGuiMod_Shift | ImGuiKey_Slash, Action::key_sheet, "?", "this sheet (F1 too)", false},
    {ImGuiKey_F1, Action::key_sheet, nullptr, nullptr, false},
};

}  // namespace

std::span<const KeyBinding> key_bindings() {
  return kBindings;
}

std::optional<Action> pressed_action() {
  if (ImGui::GetIO().WantTextInput) return std::nullopt;
  for (const KeyBinding& binding : kBindings) {
    const ImGuiInputFlags repeat = binding.repeats ? ImGuiInputFlags_Repeat : ImGuiInputFlags_None;
    if (ImGui::Shortcut(binding.chord, ImGuiInputFlags_RouteGlobal | repeat)) return binding.action;
  }
  return std::nullopt;
}

}  // namespace reattend::viz
