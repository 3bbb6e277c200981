// One column of text and buttons in the middle of the window.
#include "viz/start/welcome.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <imgui.h>

#include "base/utf8.h"
#include "viz/render/elided_text.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

namespace fs = std::filesystem;
constexpr const char* kRecord = "reattend record --prompt-file book.txt --raw --steps 256 --out trace.h5";

std::string in_words(const FileFacts& facts) {
  return fmt::format("{}{}{}", size_in_words(facts.bytes), facts.changed.empty() ? "" : ", ", facts.changed);
}

}  // namespace

std::vector<fs::path> sample_traces() {
  std::vector<fs::path> all = {fs::path("out") / "trace.h5"};
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  // build/bin/reattend-view
  if (!error) all.push_back(program.parent_path().parent_path().parent_path() / "out" / "trace.h5");
  return all;
}

Welcome::Welcome(std::function<void()> wake) : tasks_(1, std::move(wake)) {}

void Welcome::look_for(const std::vector<fs::path>& recent) {
  asked_ = recent;
  tasks_.post(0, [this, recent](const BackgroundTasks::Context& context) {
    std::vector<FileFacts> found, samples;
    for (const fs::path& path : recent) found.push_back(facts_of(path));
    for (const fs::path& path : sample_traces()) samples.push_back(facts_of(path));
    std::erase_if(samples, [&](const FileFacts& sample) {
      std::error_code error;
      return !sample.exists || std::ranges::any_of(recent, [&](const fs::path& path) {
        return fs::equivalent(path, sample.path, error);
      });
    });
    context.deliver([&] { recent_ = std::move(found), samples_ = std::move(samples); });
  });
}

void Welcome::draw_sample(WelcomeWish& wish) {
  std::vector<FileFacts> samples;
  tasks_.locked([&] { samples = samples_; });
  if (samples.empty()) return;
  ImGui::SeparatorText("The trace that ./run recorded");
  if (elided_button(visible(samples.front().path.string()), ImGui::GetFontSize() * 28, "sample")) {
    wish = {WelcomeWish::What::open, samples.front().path};
  }
  ImGui::SameLine();
  ImGui::TextDisabled("%s", size_in_words(samples.front().bytes).c_str());
}

void Welcome::draw_recent(WelcomeWish& wish, bool light) {
  std::vector<FileFacts> recent;
  tasks_.locked([&] { recent = recent_; });
  if (asked_.empty()) return;
  ImGui::SeparatorText("Recent traces");
  for (size_t i = 0; i < asked_.size(); ++i) {
    const auto known = std::ranges::find(recent, asked_[i], &FileFacts::path);
    const bool missing = known != recent.end() && !known->exists;
    ImGui::PushID(static_cast<int>(i));
    const float right = ImGui::GetCursorPosX() + ImGui::GetContentRegionAvail().x;
    const float cross = ImGui::GetFrameHeight(), gap = ImGui::GetStyle().ItemSpacing.x;
    const std::string facts = known == recent.end() ? "\u2026" : missing ? "not there any more" : in_words(*known);
    const float room = ImGui::GetContentRegionAvail().x - cross - 2 * gap - ImGui::CalcTextSize(facts.c_str()).x;
    ImGui::BeginDisabled(missing);
    if (elided_button(visible(asked_[i].string()), room, "open")) wish = {WelcomeWish::What::open, asked_[i]};
    ImGui::EndDisabled();
    ImGui::SameLine();
    ImGui::TextColored(palette(light).dim, "%s", facts.c_str());
    ImGui::SameLine(right - cross);
    if (ImGui::Button("\u00d7", ImVec2(cross, 0))) wish = {WelcomeWish::What::forget, asked_[i]};
    ImGui::SetItemTooltip("take it off this list; the file stays");
    ImGui::PopID();
  }
}

WelcomeWish Welcome::draw(const std::vector<fs::path>& recent, bool light) {
  // Files come and go while a trace is open.
  if (recent != asked_ || ImGui::GetFrameCount() != frame_ + 1) look_for(recent);
  frame_ = ImGui::GetFrameCount();
  WelcomeWish wish;
  const ImGuiViewport& viewport = *ImGui::GetMainViewport();
  const float em = ImGui::GetFontSize(), width = std::min(46 * em, viewport.WorkSize.x - 2 * em);
  ImGui::GetBackgroundDrawList()->AddRectFilled(
      viewport.WorkPos, ImVec2(viewport.WorkPos.x + viewport.WorkSize.x, viewport.WorkPos.y + viewport.WorkSize.y),
      ImGui::GetColorU32(ImGuiCol_WindowBg));
  ImGui::SetNextWindowPos(ImVec2(viewport.GetWorkCenter().x, viewport.WorkPos.y), ImGuiCond_Always, ImVec2(0.5F, 0));
  ImGui::SetNextWindowSize(ImVec2(width, viewport.WorkSize.y));
  constexpr ImGuiWindowFlags kFlags = ImGuiWindowFlags_NoTitleBar | ImGuiWindowFlags_NoResize |
                                      ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoDocking |
                                      ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoBackground;
  if (ImGui::Begin("Welcome", nullptr, kFlags)) {
    ImGui::Dummy(ImVec2(0, std::min(3 * em, viewport.WorkSize.y * 0.05F)));
    ImGui::PushFont(nullptr, ImGui::GetStyle().FontSizeBase * 1.8F);
    ImGui::TextUnformatted("reattend");
    ImGui::PopFont();
    ImGui::TextWrapped(
        "A trace is a decode that was recorded. This window replays it under a cache policy and shows what that keeps "
        "and what it loses, what it is predicted to cost, and which setting would do better.");
    ImGui::Spacing();
    if (ImGui::Button("Open \u2026", ImVec2(8 * em, 0))) wish.what = WelcomeWish::What::choose_file;
    ImGui::SameLine();
    ImGui::TextWrapped("or drop traces (.h5) and settings (.toml) on this window");
    ImGui::Spacing();
    draw_sample(wish);
    draw_recent(wish, light);
    ImGui::SeparatorText("Record one of your own prompt");
    ImGui::TextWrapped("%s", kRecord);
    if (ImGui::Button("copy the command")) ImGui::SetClipboardText(kRecord);
    ImGui::SameLine();
    ImGui::TextWrapped("`reattend get-model` gets the default model first");
  }
  ImGui::End();
  return wish;
}

}  // namespace reattend::viz
