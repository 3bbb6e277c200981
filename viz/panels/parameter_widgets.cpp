// Draws widgets of parameters by their ranges, units and help; nothing about a single parameter is written here.
#include "viz/panels/parameter_widgets.h"

#include <algorithm>

#include <fmt/format.h>
#include <imgui.h>
#include <imgui_stdlib.h>

#include "base/error.h"
#include "policies/value_text.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

/// Where the slider of a count ends: beyond the trace's own length larger numbers change nothing.
int slider_end(const Parameter& parameter, const TraceInfo& info) {
  double end = parameter.high;
  if (parameter.unit == "positions") end = std::min(end, 1.0 * info.n_prompt + info.n_step);
  if (parameter.unit == "steps") end = std::min(end, 1.0 * info.n_step);
  return static_cast<int>(std::max(end, parameter.low + 1));
}

/// `decides`: whether its condition holds.
void show_help(const PolicyParameter& taken, bool decides) {
  const Parameter& parameter = *taken.parameter;
  std::string range;
  if (parameter.type == ParamType::count || parameter.type == ParamType::real) {
    range =
        fmt::format("\n{} to {}{}{}", parameter.low, parameter.high, parameter.unit.empty() ? "" : " ", parameter.unit);
  }
  const std::string text = fmt::format("{}: {}{}\ndefault {}; right-click for the default, or to type it as text",
                                       parameter.key, parameter.help, range, to_text(taken.initial));
  const std::string idle = decides ? "" : fmt::format("\nwithout effect here: it takes {}", taken.when.text());
  if (ImGui::IsItemHovered(ImGuiHoveredFlags_ForTooltip | ImGuiHoveredFlags_AllowWhenDisabled)) {
    ImGui::SetTooltip("%s%s", text.c_str(), idle.c_str());
  }
}

}  // namespace

bool ParameterWidgets::edit_text(const Parameter& parameter, Value& value) {
  std::string& text = texts_[parameter.key];
  if (!ImGui::InputText("##text", &text, ImGuiInputTextFlags_EnterReturnsTrue)) return false;
  try {
    value = parse_value(parameter, text);
    error_.clear();
    return true;
  } catch (const Error& error) {
    error_ = error.what();
    return false;
  }
}

bool ParameterWidgets::edit(const Session& session, const Parameter& parameter, Value& value) {
  if (texts_.contains(parameter.key)) return edit_text(parameter, value);
  if (const auto* text = std::get_if<std::string>(&value); text != nullptr && parameter.type == ParamType::choice) {
    bool changed = false;
    if (ImGui::BeginCombo("##choice", text->c_str())) {
      for (const std::string_view choice : parameter.choices) {
        const std::string name(choice);
        if (ImGui::Selectable(name.c_str(), name == *text) && name != *text) value = name, changed = true;
        if (changed) break;
      }
      ImGui::EndCombo();
    }
    return changed;
  }
  if (const auto* number = std::get_if<double>(&value)) {
    double x = *number;
    // The places that are shown are where a logarithm ends towards 0.
    const ImGuiSliderFlags scale = parameter.decades ? ImGuiSliderFlags_Logarithmic : ImGuiSliderFlags_None;
    if (!ImGui::SliderScalar("##real", ImGuiDataType_Double, &x, &parameter.low, &parameter.high,
                             parameter.decades ? "%.5f" : "%.3f", ImGuiSliderFlags_AlwaysClamp | scale)) {
      return false;
    }
    value = x;
    return true;
  }
  if (session.settings().is_auto(parameter.key)) {
    if (ImGui::Button("auto", ImVec2(ImGui::CalcItemWidth(), 0))) texts_[parameter.key] = {};
    return false;
  }
  const auto* fraction = parameter.type == ParamType::count ? std::get_if<std::string>(&value) : nullptr;
  if (const auto* count = std::get_if<int64_t>(&value); count != nullptr || fraction != nullptr) {
    // A fraction of the prompt is shown as what it amounts to, and becomes a number when it is moved.
    const TraceInfo& info = session.trace()->info;
    auto x = static_cast<int>(count != nullptr ? *count : fraction_of(*fraction, info.n_prompt));
    const int low = static_cast<int>(parameter.low), high = slider_end(parameter, info);
    const std::string format = (fraction != nullptr ? *fraction + " = %d " : "%d ") + std::string(parameter.unit);
    if (!ImGui::SliderInt("##count", &x, low, high, format.c_str(), ImGuiSliderFlags_Logarithmic)) return false;
    x = std::clamp(x, low, static_cast<int>(parameter.high));
    value = int64_t{parameter.odd ? x | 1 : x};
    return true;
  }
  if (std::holds_alternative<std::monostate>(value)) {
    if (ImGui::Button("never", ImVec2(ImGui::CalcItemWidth(), 0))) {
      value = session.settings().info().find(parameter.key)->initial;
      return true;
    }
    return false;
  }
  // Lists.
  texts_[parameter.key] = to_text(value);
  return edit_text(parameter, value);
}

void ParameterWidgets::draw_one(Session& session, const PolicyParameter& taken) {
  const Parameter& parameter = *taken.parameter;
  ImGui::PushID(parameter.key.data(), parameter.key.data() + parameter.key.size());
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  ImGui::AlignTextToFramePadding();
  const bool decides = session.settings().decides(parameter.key);
  ImGui::BeginDisabled(!decides);
  ImGui::TextUnformatted(parameter.key.data(), parameter.key.data() + parameter.key.size());
  show_help(taken, decides);
  ImGui::TableNextColumn();
  Value value = session.settings().get(parameter.key);
  ImGui::SetNextItemWidth(-1);
  bool changed = edit(session, parameter, value);
  ImGui::EndDisabled();
  show_help(taken, decides);
  if (ImGui::BeginPopupContextItem("menu")) {
    if (ImGui::MenuItem("default")) {
      value = taken.initial, changed = true, texts_.erase(parameter.key);
    }
    if (parameter.allows_never && ImGui::MenuItem("never")) value = std::monostate{}, changed = true;
    const Value automatic = std::string("auto");
    if (taken.initial == automatic && ImGui::MenuItem("auto")) value = automatic, changed = true;
    const bool number = parameter.type == ParamType::count || parameter.type == ParamType::real;
    if (number && ImGui::MenuItem("edit as text", nullptr, texts_.contains(parameter.key))) {
      if (texts_.erase(parameter.key) == 0) texts_[parameter.key] = to_text(value);
    }
    ImGui::EndPopup();
  }
  if (changed) {
    Settings settings = session.settings();
    try {
      settings.set(parameter.key, value);
      session.set_settings(settings);
      error_.clear();
    } catch (const Error& error) {
      error_ = error.what();
    }
  }
  ImGui::PopID();
}

void ParameterWidgets::draw(Session& session, const SharedView& view) {
  if (!ImGui::BeginTable("parameters", 2, ImGuiTableFlags_SizingFixedFit)) return;
  ImGui::TableSetupColumn("name");
  ImGui::TableSetupColumn("value", ImGuiTableColumnFlags_WidthStretch);
  for (const PolicyParameter& taken : session.settings().info().parameters) draw_one(session, taken);
  ImGui::EndTable();
  if (error_.empty()) return;
  ImGui::PushTextWrapPos(0);
  ImGui::TextColored(palette(view.light).error, "%s", error_.c_str());
  ImGui::PopTextWrapPos();
}

}  // namespace reattend::viz
