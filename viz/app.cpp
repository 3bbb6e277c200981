// The window's default layout, menu, status line and dialogs; everything else is a panel's.
#include "viz/app.h"

#include <utility>

#include <fmt/format.h>
#include <imgui.h>
#include <imgui_internal.h>
#include <implot.h>

#include "base/error.h"
#include "base/utf8.h"
#include "viz/actions/panel_menu.h"
#include "viz/panels/step_axis.h"
#include "viz/render/theme.h"
#include "viz/session/baseline.h"
#include "viz/session/state_keeping.h"

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
  bench_.traces = paths;
  if (!paths.empty()) session_.open(paths.front());
}

void App::add(const std::filesystem::path& path) {
  bench_.open(path);
}

std::optional<double> App::next_frame_in() const {
  constexpr double kDriving = 0.02;
  if (driver_.has_work() || running_.busy()) return kDriving;
  const std::optional<double> look = follower_.next_in(session_, view_.follow);
  if (!view_.player.playing()) return look;
  const double step = view_.player.seconds_to_next();
  return look ? std::min(*look, step) : step;
}

void App::use_keys(const std::filesystem::path& file) {
  bench_.notice = keys_problem_ = load_keys(keys_, file);
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
  if (bench_.front.empty()) bench_.front = kFrontPanel;
}

void App::draw_entries(const char* menu) {
  for (const Action& action : actions_.all()) {
    if (action.menu != menu) continue;
    const bool checked = action.checked && action.checked(bench_);
    const std::string what = action.what ? action.what(bench_) : std::string();
    const std::string text = fmt::format("{}{}{}###{}", action.title, what.empty() ? "" : ": ", what, action.title);
    const bool can = !action.what || !what.empty();
    if (ImGui::MenuItem(text.c_str(), keys_.shown(action).c_str(), checked, can)) act({&action});
  }
}

void App::draw_menu() {
  if (!ImGui::BeginMainMenuBar()) return;
  if (ImGui::BeginMenu("Trace")) {
    for (const auto& path : bench_.traces) {
      if (ImGui::MenuItem(path.string().c_str(), nullptr, path == session_.path())) session_.open(path);
    }
    ImGui::Separator();
    draw_entries("Trace");
    ImGui::EndMenu();
  }
  if (ImGui::BeginMenu("Edit")) {
    draw_entries("Edit");
    // Another trace under the setting under trial.
    for (const auto& path : bench_.traces) {
      if (path == session_.path() || session_.tuning() == nullptr) continue;
      const std::string text = fmt::format("make {} the baseline", path.filename().string());
      if (ImGui::MenuItem(text.c_str())) session_.data<Baseline>().pin({session_.settings(), path});
    }
    ImGui::EndMenu();
  }
  if (ImGui::BeginMenu("View")) {
    for (const auto& panel : panels_) ImGui::MenuItem(panel->name(), nullptr, &panel->open);
    ImGui::Separator();
    draw_entries("View");
    ImGui::EndMenu();
  }
  if (ImGui::BeginMenu("Help")) {
    draw_entries("Help");
    ImGui::EndMenu();
  }
  ImGui::EndMainMenuBar();
}

void App::draw_recording() {
  const TraceInfo& info = session_.trace()->info;
  if (!info.live) return;
  ImGui::TextColored(palette(view_.light).full, "recording, %d steps", info.n_step);
  ImGui::Checkbox("follow", &view_.follow);
  ImGui::SetItemTooltip(
      "takes new steps as they are written, and replays them; that takes processors away from the recording,\n"
      "whose own times of a step are longer then");
}

void App::draw_status() {
  const float height = ImGui::GetFrameHeight();
  constexpr ImGuiWindowFlags kFlags =
      ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_MenuBar;
  if (ImGui::BeginViewportSideBar("##status", ImGui::GetMainViewport(), ImGuiDir_Down, height, kFlags) &&
      ImGui::BeginMenuBar()) {
    if (session_.trace() != nullptr) {
      ImGui::TextUnformatted(session_.path().filename().string().c_str());
      draw_recording();
      ImGui::TextDisabled("%s", session_.settings().summary().c_str());
    }
    const BackgroundTasks::Activity activity = session_.activity();
    if (activity.busy) {
      std::string text = activity.what.empty() ? "working" : activity.what;
      if (activity.total > 0) text += fmt::format(" {:.0f} %", 100 * activity.done / activity.total);
      ImGui::TextColored(palette(view_.light).kept, "%s ...", visible(text).c_str());
    } else if (!session_.replay_error().empty()) {
      ImGui::TextColored(palette(view_.light).error, "%s", visible(session_.replay_error()).c_str());
    } else if (const std::string notice = session_.notice(); !notice.empty()) {
      ImGui::TextDisabled("%s", visible(notice).c_str());
    }
    if (!bench_.notice.empty()) {
      ImGui::TextColored(palette(view_.light).error, "%s", visible(bench_.notice).c_str());
      ImGui::SetItemTooltip("%s", visible(bench_.notice).c_str());
    }
    constexpr const char* kHint = "Ctrl+K find, ? keys";
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

void App::act(const Call& call) {
  bench_.notice.clear();
  running_ = {};
  try {
    running_.start(bench_, call);
  } catch (const Error& error) {
    bench_.notice = error.what();
  }
}

void App::go_on() {
  if (!running_.busy()) return;
  try {
    running_.poll(bench_);
  } catch (const Error& error) {
    bench_.notice = error.what();
  }
}

/// A trace that has grown is looked at as before; where all of its steps were in view, they still are.
void App::enter_view() {
  trace_version_ = session_.trace_version();
  const bool grown = session_.path() == viewed_ && session_.trace() != nullptr;
  const auto covers = [](const Limits& limits, int32_t first, int32_t last) {
    return limits.low < first && limits.high > last;
  };
  const bool all = covers(view_.steps, 1, viewed_steps_);
  if (grown) {
    const int32_t n_position = session_.trace()->info.n_prompt + viewed_steps_;
    view_.fit_heat_map = view_.fit_heat_map || covers(view_.heat_positions, 0, n_position - 1);
  }
  viewed_ = session_.path();
  viewed_steps_ = session_.trace() != nullptr ? session_.trace()->info.n_step : 0;
  view_.dragged_range.reset();
  if (session_.trace() != nullptr && (!grown || all)) view_.steps = all_steps(session_.trace()->info);
  if (grown) return;
  view_.fit_timeline = view_.fit_heat_map = true;
  view_.range.reset();
  view_.player.stop();
}

void App::draw_frame() {
  session_.update();
  go_on();
  follower_.update(session_, view_.follow, ImGui::GetIO().DeltaTime);
  if (trace_version_ != session_.trace_version()) enter_view();
  // The middle button pans as the left one does.
  ImPlot::GetInputMap().Pan =
      ImGui::IsMouseDown(ImGuiMouseButton_Middle) ? ImGuiMouseButton_Middle : ImGuiMouseButton_Left;
  if (!ImGui::IsPopupOpen("", ImGuiPopupFlags_AnyPopupId | ImGuiPopupFlags_AnyPopupLevel)) {
    for (const Call& call : keys_.pressed()) act(call);
  }
  play_on(session_, view_, ImGui::GetIO().DeltaTime);
  view_.hover = std::exchange(view_.next_hover, std::nullopt);

  begin_frame(session_, view_);
  draw_menu();
  goal_.draw(session_, view_);
  draw_status();
  const ImGuiID dockspace = ImGui::GetID("dockspace");
  const ImGuiDockNode* node = ImGui::DockBuilderGetNode(dockspace);
  if (bench_.reset_layout || node == nullptr) {
    build_layout(dockspace);
    bench_.reset_layout = false;
  }
  ImGui::DockSpaceOverViewport(dockspace, ImGui::GetMainViewport());
  std::optional<Call> chosen;
  for (const auto& panel : panels_) {
    if (!panel->open) continue;
    const bool drawn = ImGui::Begin(panel->name(), &panel->open, ImGuiWindowFlags_NoCollapse);
    if (const auto call = draw_panel_menu(actions_, bench_, *panel)) chosen = call;
    if (drawn) panel->draw(session_, view_);
    ImGui::End();
  }
  if (chosen) act(*chosen);
  // Only what has been docked has others before it.
  const ImGuiWindow* const front = ImGui::FindWindowByName(bench_.front.c_str());
  if (front != nullptr && front->DockNode != nullptr) ImGui::SetWindowFocus(std::exchange(bench_.front, {}).c_str());
  key_sheet_.draw(actions_, keys_, bench_, keys_problem_);
  if (const auto call = command_palette_.draw(actions_, keys_, bench_)) act(*call);
  draw_open_error();
  end_frame(session_, view_);
}

}  // namespace reattend::viz
