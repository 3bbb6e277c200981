// Passes on what each part was asked for.
#include "viz/start/start.h"

#include <algorithm>
#include <utility>

#include <imgui.h>

#include "base/utf8.h"

namespace reattend::viz {
namespace {

/// A text that stays until it was read; true when it was.
bool draw_error(const char* title, const std::string& text) {
  if (!ImGui::IsPopupOpen(title)) ImGui::OpenPopup(title);
  const ImGuiViewport& viewport = *ImGui::GetMainViewport();
  const float em = ImGui::GetFontSize();
  ImGui::SetNextWindowPos(viewport.GetCenter(), ImGuiCond_Always, ImVec2(0.5F, 0.5F));
  ImGui::SetNextWindowSize(ImVec2(std::min(40 * em, viewport.WorkSize.x - em), 0));
  if (!ImGui::BeginPopupModal(title, nullptr, ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoSavedSettings))
    return false;
  ImGui::PushTextWrapPos(0);
  ImGui::TextUnformatted(visible(text).c_str());
  ImGui::PopTextWrapPos();
  ImGui::Spacing();
  if (ImGui::Button("copy")) ImGui::SetClipboardText(text.c_str());
  ImGui::SameLine();
  const bool read = ImGui::Button("close") || ImGui::IsKeyPressed(ImGuiKey_Escape);
  if (read) ImGui::CloseCurrentPopup();
  ImGui::EndPopup();
  return read;
}

}  // namespace

Start::Start(const std::function<void()>& wake, PreferenceFile preferences)
    : preferences_(std::move(preferences)), dialog_(wake), welcome_(wake) {}

void Start::update(Workbench& bench) {
  bench.files.update(bench.session);
  if (bench.files.take_opened()) {
    preferences_.opened(bench.session.path());
    const bool first_time = preferences_.is_kept() && !preferences_.now().tour_seen;
    if (first_time && !coach_.running()) coach_.start();
  }
  if (std::exchange(bench.choosing, false)) dialog_.open(bench.session.path().parent_path());
  if (std::exchange(bench.touring, false)) coach_.start();
}

bool Start::draw_welcome(Workbench& bench) {
  const Session& session = bench.session;
  if (session.trace() != nullptr || !session.opening().empty() || !bench.files.idle()) return false;
  const WelcomeWish wish = welcome_.draw(preferences_.now().recent, bench.view.light);
  switch (wish.what) {
    case WelcomeWish::What::choose_file:
      dialog_.open();
      break;
    case WelcomeWish::What::open:
      bench.open(wish.path);
      break;
    case WelcomeWish::What::forget:
      preferences_.forget(wish.path);
      break;
    case WelcomeWish::What::nothing:
      break;
  }
  return true;
}

void Start::draw_dialogs(Workbench& bench) {
  if (const auto chosen = dialog_.draw()) bench.open(*chosen);
  if (bench.session.trace() != nullptr && coach_.running()) {
    for (const auto& panel : bench.panels) {
      if (panel->name() == coach_.panel_to_show()) bench.show(*panel);
    }
    coach_.draw(bench.session, bench.view);
    if (!coach_.running()) {
      preferences_.now().tour_seen = true;
      preferences_.save();
    }
  }
  Session& session = bench.session;
  if (!session.open_error().empty()) {
    if (draw_error("Cannot open the trace", session.open_error())) session.clear_open_error();
  } else if (!bench.files.error().empty()) {
    if (draw_error("Cannot take the settings", bench.files.error())) bench.files.clear_error();
  }
}

}  // namespace reattend::viz
