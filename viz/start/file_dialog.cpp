// A path to type into, a table of the folder's traces and settings files, and two buttons.
#include "viz/start/file_dialog.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include <imgui.h>
#include <imgui_stdlib.h>

#include "base/utf8.h"

namespace reattend::viz {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTitle = "Open a trace or a settings file";

}  // namespace

FileDialog::FileDialog(std::function<void()> wake) : tasks_(1, std::move(wake)) {}

void FileDialog::open(const fs::path& folder) {
  asked_ = true;
  std::error_code error;
  const bool before = !list_.folder.empty() && list_.error.empty();
  enter(!folder.empty() ? folder : before ? list_.folder : fs::current_path(error));
}

bool FileDialog::idle() const {
  bool unread = false;
  tasks_.locked([&] { unread = read_.has_value(); });
  return !tasks_.waiting_for(0) && !unread;
}

void FileDialog::enter(const fs::path& folder) {
  folder_ = folder.lexically_normal();
  if (!folder_.has_filename() && folder_.has_relative_path()) folder_ = folder_.parent_path();  // "a/b/" is "a/b"
  typed_ = folder_.string();
  selected_.clear();
  tasks_.post(0, [this, at = folder_](const BackgroundTasks::Context& context) {
    FolderList list = list_folder(at, context.cancel);
    context.deliver([&] { read_ = std::move(list); });
  });
}

void FileDialog::take(const fs::path& path, bool folder) {
  if (folder) return enter(path);
  chosen_ = path;
  ImGui::CloseCurrentPopup();
}

void FileDialog::draw_path() {
  if (ImGui::Button("up")) enter(folder_.parent_path());
  ImGui::SetItemTooltip("to the folder above");
  ImGui::SameLine();
  ImGui::SetNextItemWidth(-1);
  if (ImGui::InputText("##path", &typed_, ImGuiInputTextFlags_EnterReturnsTrue)) {
    enter(folder_ / typed_);  // which may be a file: whoever reads it finds out
  }
  ImGui::SetItemTooltip("a folder to go to, or a file to open: type it and press Enter");
}

void FileDialog::draw_entries(float height) {
  constexpr ImGuiTableFlags kFlags = ImGuiTableFlags_ScrollY | ImGuiTableFlags_RowBg | ImGuiTableFlags_SizingFixedFit;
  if (!ImGui::BeginTable("entries", 3, kFlags, ImVec2(0, height))) return;
  ImGui::TableSetupScrollFreeze(0, 1);
  ImGui::TableSetupColumn("name", ImGuiTableColumnFlags_WidthStretch);
  ImGui::TableSetupColumn("size", 0, ImGui::GetFontSize() * 4);
  ImGui::TableSetupColumn("changed", 0, ImGui::CalcTextSize("2026-12-01 23:59").x);
  ImGui::TableHeadersRow();
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(list_.entries.size()));
  while (clipper.Step()) {
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      const FileFacts& entry = list_.entries[static_cast<size_t>(i)];
      const std::string name = visible(entry.path.filename().string()) + (entry.folder ? "/" : "");
      ImGui::TableNextRow();
      ImGui::TableNextColumn();
      ImGui::PushID(i);
      constexpr ImGuiSelectableFlags kRow = ImGuiSelectableFlags_SpanAllColumns |
                                            ImGuiSelectableFlags_AllowDoubleClick |
                                            ImGuiSelectableFlags_NoAutoClosePopups;
      const bool pressed = ImGui::Selectable(name.c_str(), entry.path == selected_, kRow);
      ImGui::SetItemTooltip("%s", name.c_str());
      ImGui::PopID();
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(size_in_words(entry.bytes).c_str());
      ImGui::TableNextColumn();
      ImGui::TextUnformatted(entry.changed.c_str());
      if (!pressed) continue;
      selected_ = entry.path;
      if (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) {
        ImGui::EndTable();
        return take(fs::path(entry.path), entry.folder);
      }
    }
  }
  ImGui::EndTable();
}

std::optional<fs::path> FileDialog::draw() {
  std::optional<FolderList> read;
  tasks_.locked([&] { read = std::exchange(read_, std::nullopt); });
  std::optional<fs::path> file;
  if (read && read->folder == folder_) {
    if (read->is_file)
      file = read->folder;
    else
      list_ = std::move(*read);
  }
  if (std::exchange(asked_, false)) ImGui::OpenPopup(kTitle);
  const float em = ImGui::GetFontSize();
  const ImVec2 room = ImGui::GetMainViewport()->WorkSize;
  ImGui::SetNextWindowPos(ImGui::GetMainViewport()->GetWorkCenter(), ImGuiCond_Always, ImVec2(0.5F, 0.5F));
  ImGui::SetNextWindowSize(ImVec2(std::min(48 * em, room.x - em), std::min(32 * em, room.y - em)));
  if (!ImGui::BeginPopupModal(kTitle, nullptr, ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoResize)) return {};
  chosen_.reset();
  if (file) take(*file, false);
  draw_path();
  const float line = ImGui::GetFrameHeightWithSpacing();
  draw_entries(ImGui::GetContentRegionAvail().y - 2 * line);
  if (list_.folder != folder_) {
    ImGui::TextDisabled("reading the folder \u2026");
  } else if (!list_.error.empty()) {
    ImGui::TextDisabled("cannot be read: %s", list_.error.c_str());
  } else if (list_.entries.empty()) {
    ImGui::TextDisabled("no traces (.h5), settings (.toml) or folders here");
  } else {
    ImGui::TextDisabled(list_.cut ? "traces (.h5) and settings (.toml); the folder holds more than are shown"
                                  : "traces (.h5) and settings (.toml)");
  }
  ImGui::BeginDisabled(selected_.empty());
  if (ImGui::Button("open")) {
    const auto at = std::ranges::find(list_.entries, selected_, &FileFacts::path);
    take(fs::path(selected_), at != list_.entries.end() && at->folder);
  }
  ImGui::EndDisabled();
  ImGui::SameLine();
  if (ImGui::Button("cancel") || ImGui::IsKeyPressed(ImGuiKey_Escape)) ImGui::CloseCurrentPopup();
  ImGui::EndPopup();
  return std::exchange(chosen_, std::nullopt);
}

}  // namespace reattend::viz
