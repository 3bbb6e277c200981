// The window's menu and status line, and what is drawn when; everything else is a panel's.
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
#include "viz/actions/panel_menu.h"
#include "viz/panels/step_axis.h"
#include "viz/panels/waiting.h"
#include "viz/render/elided_text.h"
#include "viz/render/theme.h"
#include "viz/session/state_keeping.h"

namespace reattend::viz {

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

App::App(OpenSource open, const std::function<void()>& wake, const Means& means, PreferenceFile preferences)
    : session_(std::move(open), wake, means), panels_(make_panels()), start_(wake, std::move(preferences)) {
  const Preferences& as_before = start_.preferences().now();
  ImGui::GetStyle().FontScaleMain = as_before.text;
  bench_.set_light(as_before.light);
  bench_.notice = start_.preferences().complaint();
  docks_.start(as_before.layout, as_before.scale);
}

void App::open(const std::vector<std::filesystem::path>& paths) {
  bench_.files.start(paths);
  bench_.files.update(session_);
}

void App::set_scale(float scale) {
  set_up_style(scale);
}

std::string App::title() const {
  const std::filesystem::path& path = session_.opening().empty() ? session_.path() : session_.opening();
  return path.empty() ? "reattend" : visible(path.filename().string()) + " \u2013 reattend";
}

std::optional<double> App::next_frame_in() const {
  constexpr double kDriving = 0.02;
  if (driver_.has_work() || running_.busy()) return kDriving;
  const std::optional<double> look = follower_.next_in(session_, view_.follow);
  if (!view_.player.playing()) return look;
  const double step = view_.player.seconds_to_next();
  return look ? std::min(*look, step) : step;
}

void App::keep_preferences() {
  Preferences& now = start_.preferences().now();
  now.text = ImGui::GetStyle().FontScaleMain, now.scale = ImGui::GetStyle().FontScaleDpi;
  now.light = view_.light, now.layout = docks_.layout();
  start_.preferences().save();
}

void App::use_keys(const std::filesystem::path& file) {
  keys_problem_ = load_keys(keys_, file);
  if (!keys_problem_.empty()) bench_.notice = keys_problem_;
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
    draw_entries("Trace");
    ImGui::Separator();
    for (const auto& path : bench_.files.traces()) {
      if (ImGui::MenuItem(visible(path.string()).c_str(), nullptr, path == session_.path())) session_.open(path);
    }
    ImGui::EndMenu();
  }
  if (ImGui::BeginMenu("Edit")) {
    draw_entries("Edit");
    // Another trace under the setting under trial.
    for (const auto& path : bench_.files.traces()) {
      if (path == session_.path() || session_.tuning() == nullptr) continue;
      const std::string text = fmt::format("make {} the baseline", visible(path.filename().string()));
      ImGui::PushID(path.c_str());  // files of one name in two folders
      if (ImGui::MenuItem(text.c_str())) pin_file(session_, path);
      ImGui::PopID();
    }
    ImGui::EndMenu();
  }
  if (ImGui::BeginMenu("View")) {
    for (const auto& panel : panels_) ImGui::MenuItem(panel->name(), nullptr, &panel->open);
    ImGui::Separator();
    if (ImGui::BeginMenu("layout")) {
      for (const Layout& layout : layouts()) {
        if (ImGui::MenuItem(layout.name, nullptr, docks_.layout() == layout.name)) bench_.layout = layout.name;
        ImGui::SetItemTooltip("%s", layout.help);
      }
      ImGui::EndMenu();
    }
    draw_entries("View");
    int percent = static_cast<int>(std::lround(100 * ImGui::GetStyle().FontScaleMain));
    ImGui::SetNextItemWidth(ImGui::GetFontSize() * 10);
    if (ImGui::SliderInt("size of text", &percent, static_cast<int>(100 * kLeastText),
                         static_cast<int>(100 * kMostText), "%d %%", ImGuiSliderFlags_AlwaysClamp)) {
      ImGui::GetStyle().FontScaleMain = static_cast<float>(percent) / 100;
    }
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
    constexpr const char* kHint = "Ctrl+K find, ? keys";
    const Palette& colors = palette(view_.light);
    const float em = ImGui::GetFontSize(), width = ImGui::GetWindowWidth();
    const float end = width - ImGui::CalcTextSize(kHint).x - ImGui::GetStyle().WindowPadding.x;
    // What comes first must leave room for what follows, which may be an error.
    const auto say = [&](const std::string& text, float most, const ImVec4& color) {
      const float room = std::min(end - em - ImGui::GetCursorPosX(), most);
      if (!text.empty() && room > 2 * em) elided_text(visible(text), room, color);
    };
    const BackgroundTasks::Activity activity = session_.activity();
    if (session_.trace() != nullptr) {
      say(session_.path().filename().string(), width * 0.2F, ImGui::GetStyleColorVec4(ImGuiCol_Text));
      draw_recording();
      const std::string origin = session_.origin();
      say(session_.settings().summary(), width * 0.3F, ImGui::GetStyleColorVec4(ImGuiCol_Text));
      say(origin, width * 0.25F, colors.dim);
    }
    if (!session_.replay_error().empty()) {
      say(session_.replay_error(), width, colors.error);
    } else if (activity.busy) {
      std::string text = activity.what.empty() ? "working" : activity.what;
      if (activity.total > 0) text += fmt::format(" {:.0f} %", 100 * activity.done / activity.total);
      say(text + " \u2026", width * 0.3F, colors.kept);
    } else {
      say(session_.notice(), width * 0.4F, colors.dim);
    }
    say(bench_.notice, width, colors.error);
    ImGui::SetCursorPosX(end);
    ImGui::TextDisabled("%s", kHint);
    ImGui::EndMenuBar();
  }
  ImGui::End();
}

void App::act(const Call& call) {
  bench_.notice.clear();
  bench_.last_call = to_line(call);
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
  start_.update(bench_);
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

  view_.layout = docks_.layout();
  if (std::string layout = begin_frame(session_, view_); !layout.empty()) bench_.layout = std::move(layout);
  if (std::string news = session_.data<Project>().take_news(); !news.empty()) bench_.notice = std::move(news);
  draw_menu();
  draw_status();
  if (!start_.draw_welcome(bench_)) draw_panels();
  key_sheet_.draw(actions_, keys_, bench_, keys_problem_);
  if (const auto call = command_palette_.draw(actions_, keys_, bench_)) act(*call);
  start_.draw_dialogs(bench_);
  end_frame(session_, view_);
}

void App::draw_panels() {
  goal_.draw(session_, view_);
  if (!bench_.layout.empty()) docks_.choose(std::exchange(bench_.layout, {}));
  if (std::exchange(bench_.reset_layout, false)) docks_.choose(docks_.layout());
  docks_.draw(panels_);
  std::optional<Call> chosen;
  for (const auto& panel : panels_) {
    if (!panel->open) continue;
    docks_.place_new(*panel, panels_);
    const bool drawn = ImGui::Begin(panel->name(), &panel->open, ImGuiWindowFlags_NoCollapse);
    if (const auto call = draw_panel_menu(actions_, bench_, *panel)) chosen = call;
    if (drawn) session_.trace() != nullptr ? panel->draw(session_, view_) : draw_waiting(session_, panel->shows());
    ImGui::End();
  }
  if (chosen) act(*chosen);
  // Only what has been docked has others before it.
  if (!docks_.settled()) return;
  const ImGuiWindow* const front = ImGui::FindWindowByName(bench_.front.c_str());
  if (front != nullptr && front->DockNode != nullptr) ImGui::SetWindowFocus(std::exchange(bench_.front, {}).c_str());
}

}  // namespace reattend::viz
