// The window's default layout, menu, status line and dialogs; everything else is a panel's.
#include "viz/app.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <imgui.h>
#include <imgui_internal.h>
#include <implot.h>

#include "base/error.h"
#include "base/utf8.h"
#include "viz/panels/step_axis.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

/// What one sees first of the panels that share a place.
constexpr const char* kFrontPanel = "Attention";

}  // namespace

UiContexts::UiContexts(float scale) {
  IMGUI_CHECKVERSION();
  ImGui::CreateContext();
  ImPlot::CreateContext();
  ImGuiIO& io = ImGui::GetIO();
  io.ConfigFlags |= ImGuiConfigFlags_DockingEnable;
  io.ConfigWindowsMoveFromTitleBarOnly = true;
  io.IniFilename = nullptr;
  // Panels show everything at a double click themselves; nobody double-clicks a fifth button.
  ImPlot::GetInputMap().Fit = ImGuiMouseButton_COUNT - 1;
  load_fonts();
  set_up_style(scale);
  apply_theme(false);
}

UiContexts::~UiContexts() {
  ImPlot::DestroyContext();
  ImGui::DestroyContext();
}

App::App(OpenSource open, std::function<void()> wake, const Means& means)
    : session_(std::move(open), std::move(wake), means), panels_(make_panels()) {}

void App::open(const std::vector<std::filesystem::path>& paths) {
  paths_ = paths;
  if (!paths_.empty()) session_.open(paths_.front());
}

void App::add(const std::filesystem::path& path) {
  if (std::find(paths_.begin(), paths_.end(), path) == paths_.end()) paths_.push_back(path);
  session_.open(path);
}

std::optional<double> App::next_frame_in() const {
  return view_.player.playing() ? std::optional(view_.player.seconds_to_next()) : std::nullopt;
}

void App::set_light(bool light) {
  view_.light = light;
  apply_theme(light);
}

void App::bring_to_front(const std::string& name, const std::string& option) {
  std::string names;
  for (const auto& panel : panels_) {
    if (name == panel->name()) front_ = name;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", panel->name());
  }
  if (front_ != name) fail_usage({.where = option, .expected = "one of " + names, .got = "\"" + name + "\""});
}

void App::build_layout(ImGuiID dockspace) {
  ImGui::DockBuilderRemoveNode(dockspace);
  ImGui::DockBuilderAddNode(dockspace, ImGuiDockNodeFlags_DockSpace);
  ImGui::DockBuilderSetNodeSize(dockspace, ImGui::GetMainViewport()->WorkSize);
  ImGuiID centre = dockspace;
  // Shares of 1600 x 900: text and sliders need their widths, the plots take the rest.
  const ImGuiID left = ImGui::DockBuilderSplitNode(centre, ImGuiDir_Left, 0.235F, nullptr, &centre);
  const ImGuiID right = ImGui::DockBuilderSplitNode(centre, ImGuiDir_Right, 0.30F, nullptr, &centre);
  ImGuiID left_bottom = 0, centre_bottom = 0, right_bottom = 0;
  const ImGuiID right_top = ImGui::DockBuilderSplitNode(right, ImGuiDir_Up, 0.58F, nullptr, &right_bottom);
  const ImGuiID left_top = ImGui::DockBuilderSplitNode(left, ImGuiDir_Up, 0.72F, nullptr, &left_bottom);
  const ImGuiID centre_top = ImGui::DockBuilderSplitNode(centre, ImGuiDir_Up, 0.5F, nullptr, &centre_bottom);
  const auto node = [&](Dock dock) {
    switch (dock) {
      case Dock::left_top:
        return left_top;
      case Dock::left_bottom:
        return left_bottom;
      case Dock::centre_top:
        return centre_top;
      case Dock::centre_bottom:
        return centre_bottom;
      case Dock::right_top:
        return right_top;
      case Dock::right_bottom:
        break;
    }
    return right_bottom;
  };
  for (const auto& panel : panels_) {
    ImGui::DockBuilderDockWindow(panel->name(), node(panel->dock()));
    panel->open = true;
  }
  ImGui::DockBuilderFinish(dockspace);
  if (front_.empty()) front_ = kFrontPanel;
}

void App::draw_menu() {
  if (!ImGui::BeginMainMenuBar()) return;
  if (ImGui::BeginMenu("Trace")) {
    for (const auto& path : paths_) {
      if (ImGui::MenuItem(path.string().c_str(), nullptr, path == session_.path())) session_.open(path);
    }
    ImGui::EndMenu();
  }
  if (ImGui::BeginMenu("View")) {
    for (const auto& panel : panels_) ImGui::MenuItem(panel->name(), nullptr, &panel->open);
    ImGui::Separator();
    if (ImGui::MenuItem("reset layout")) reset_layout_ = true;
    if (ImGui::MenuItem("light colours", nullptr, view_.light)) set_light(!view_.light);
    ImGui::EndMenu();
  }
  if (ImGui::BeginMenu("Help")) {
    if (ImGui::MenuItem("keys", "?")) show_keys_ = true;
    ImGui::EndMenu();
  }
  ImGui::EndMainMenuBar();
}

void App::draw_status() {
  const float height = ImGui::GetFrameHeight();
  constexpr ImGuiWindowFlags kFlags =
      ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_MenuBar;
  if (ImGui::BeginViewportSideBar("##status", ImGui::GetMainViewport(), ImGuiDir_Down, height, kFlags) &&
      ImGui::BeginMenuBar()) {
    if (session_.trace() != nullptr) {
      ImGui::TextUnformatted(session_.path().filename().string().c_str());
      ImGui::TextDisabled("%s", session_.settings().summary().c_str());
    }
    const BackgroundTasks::Activity activity = session_.activity();
    if (activity.busy) {
      std::string text = activity.what.empty() ? "working" : activity.what;
      if (activity.total > 0) text += fmt::format(" {:.0f} %", 100 * activity.done / activity.total);
      ImGui::TextColored(palette(view_.light).kept, "%s ...", visible(text).c_str());
    } else if (!session_.replay_error().empty()) {
      ImGui::TextColored(palette(view_.light).error, "%s", visible(session_.replay_error()).c_str());
    }
    constexpr const char* kHint = "? keys";
    ImGui::SetCursorPosX(ImGui::GetWindowWidth() - ImGui::CalcTextSize(kHint).x - ImGui::GetStyle().WindowPadding.x);
    ImGui::TextDisabled("%s", kHint);
    ImGui::EndMenuBar();
  }
  ImGui::End();
}

void App::draw_open_error() {
  constexpr const char* kTitle = "Cannot open the trace";
  if (session_.open_error().empty()) return;
  if (!ImGui::IsPopupOpen(kTitle)) ImGui::OpenPopup(kTitle);
  ImGui::SetNextWindowPos(ImGui::GetMainViewport()->GetCenter(), ImGuiCond_Always, ImVec2(0.5F, 0.5F));
  ImGui::SetNextWindowSize(ImVec2(ImGui::GetFontSize() * 40, 0));
  if (!ImGui::BeginPopupModal(kTitle, nullptr, ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoSavedSettings))
    return;
  ImGui::PushTextWrapPos(0);
  ImGui::TextUnformatted(visible(session_.open_error()).c_str());
  ImGui::PopTextWrapPos();
  ImGui::Spacing();
  if (ImGui::Button("copy")) ImGui::SetClipboardText(session_.open_error().c_str());
  ImGui::SameLine();
  if (ImGui::Button("close") || ImGui::IsKeyPressed(ImGuiKey_Escape)) {
    session_.clear_open_error();
    ImGui::CloseCurrentPopup();
  }
  ImGui::EndPopup();
}

void App::draw_key_sheet() {
  if (!show_keys_) return;
  ImGui::SetNextWindowPos(ImGui::GetMainViewport()->GetCenter(), ImGuiCond_Appearing, ImVec2(0.5F, 0.5F));
  constexpr ImGuiWindowFlags kFlags = ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoDocking;
  if (ImGui::Begin("Keys", &show_keys_, kFlags) && ImGui::BeginTable("keys", 2, ImGuiTableFlags_RowBg)) {
    for (const KeyBinding& binding : key_bindings()) {
      if (binding.keys == nullptr) continue;
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(binding.keys);
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(binding.help);
    }
    constexpr std::pair<const char*, const char*> kMouse[] = {
        {"wheel", "zoom at the mouse; over an axis, that axis only"},
        {"drag, middle drag", "pan; on the threshold line, move it"},
        {"Ctrl drag", "mark a range of steps"},
        {"right drag", "zoom to a rectangle"},
        {"click", "select step, position or layer"},
        {"double click", "show everything"},
        {"Ctrl click", "type a slider's value"},
    };
    for (const auto& [mouse, help] : kMouse) {
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(mouse);
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(help);
    }
    ImGui::EndTable();
  }
  ImGui::End();
}

void App::zoom(double factor) {
  const auto zoom_axis = [factor](Limits& limits, double centre) {
    limits = {centre + (limits.low - centre) * factor, centre + (limits.high - centre) * factor};
  };
  const auto middle = [](const Limits& limits) { return (limits.low + limits.high) / 2; };
  if (view_.focus == Focus::timeline) return zoom_axis(view_.steps, session_.selection().step);
  zoom_axis(view_.heat_positions, view_.hover ? view_.hover->position : middle(view_.heat_positions));
  zoom_axis(view_.steps, view_.hover ? view_.hover->step : middle(view_.steps));
}

void App::pan(double share) {
  Limits& limits = view_.focus == Focus::timeline ? view_.steps : view_.heat_positions;
  const double by = (limits.high - limits.low) * share;
  limits = {limits.low + by, limits.high + by};
}

void App::act(Action action) {
  constexpr double kPan = 0.1, kZoom = 0.8;
  constexpr float kText = 1.1F, kSmallest = 0.6F, kLargest = 3;
  const Selection at = session_.selection();
  float& text = ImGui::GetStyle().FontScaleMain;
  switch (action) {
    case Action::pan_left:
      return pan(-kPan);
    case Action::pan_right:
      return pan(kPan);
    case Action::zoom_in:
      return zoom(kZoom);
    case Action::zoom_out:
      return zoom(1 / kZoom);
    case Action::fit:
      if (session_.trace() != nullptr) view_.steps = all_steps(session_.trace()->info);
      (view_.focus == Focus::timeline ? view_.fit_timeline : view_.fit_heat_map) = true;
      return;
    case Action::step_back:
      return session_.select_step(at.step - 1);
    case Action::step_on:
      return session_.select_step(at.step + 1);
    case Action::first_step:
      return session_.select_step(1);
    case Action::last_step:
      if (session_.trace() != nullptr) session_.select_step(session_.trace()->info.n_step);
      return;
    case Action::previous_full:
      return session_.go_to_full_step(-1);
    case Action::next_full:
      return session_.go_to_full_step(1);
    case Action::layer_down:
      return session_.select_layer(at.layer - 1);
    case Action::layer_up:
      return session_.select_layer(at.layer + 1);
    case Action::head_down:
      return session_.select_kv_head(at.kv_head - 1);
    case Action::head_up:
      return session_.select_kv_head(at.kv_head + 1);
    case Action::toggle_marks:
      view_.marks = !view_.marks;
      return;
    case Action::toggle_log:
      view_.logarithmic = !view_.logarithmic;
      return;
    case Action::larger_text:
      text = std::min(text * kText, kLargest);
      return;
    case Action::smaller_text:
      text = std::max(text / kText, kSmallest);
      return;
    case Action::normal_text:
      text = 1;
      return;
    case Action::clear:
      show_keys_ = false;
      return session_.select_position(-1);
    case Action::key_sheet:
      show_keys_ = !show_keys_;
      return;
  }
}

void App::draw_frame() {
  session_.update();
  if (trace_version_ != session_.trace_version()) {
    trace_version_ = session_.trace_version();
    view_.fit_timeline = view_.fit_heat_map = true;
    view_.range.reset(), view_.dragged_range.reset();
    view_.player.stop();
    if (session_.trace() != nullptr) view_.steps = all_steps(session_.trace()->info);
  }
  // The middle button pans as the left one does.
  ImPlot::GetInputMap().Pan =
      ImGui::IsMouseDown(ImGuiMouseButton_Middle) ? ImGuiMouseButton_Middle : ImGuiMouseButton_Left;
  if (!ImGui::IsPopupOpen("", ImGuiPopupFlags_AnyPopupId | ImGuiPopupFlags_AnyPopupLevel)) {
    if (const auto action = pressed_action()) act(*action);
  }
  play_on(session_, view_, ImGui::GetIO().DeltaTime);
  view_.hover = std::exchange(view_.next_hover, std::nullopt);

  draw_menu();
  goal_.draw(session_, view_);
  draw_status();
  const ImGuiID dockspace = ImGui::GetID("dockspace");
  const ImGuiDockNode* node = ImGui::DockBuilderGetNode(dockspace);
  if (reset_layout_ || node == nullptr) {
    build_layout(dockspace);
    reset_layout_ = false;
  }
  ImGui::DockSpaceOverViewport(dockspace, ImGui::GetMainViewport());
  for (const auto& panel : panels_) {
    if (!panel->open) continue;
    if (ImGui::Begin(panel->name(), &panel->open, ImGuiWindowFlags_NoCollapse)) panel->draw(session_, view_);
    ImGui::End();
  }
  // Only what has been docked has others before it.
  const ImGuiWindow* const front = ImGui::FindWindowByName(front_.c_str());
  if (front != nullptr && front->DockNode != nullptr) ImGui::SetWindowFocus(std::exchange(front_, {}).c_str());
  draw_key_sheet();
  draw_open_error();
}

}  // namespace reattend::viz
