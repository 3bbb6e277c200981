// The table of layouts, and how one is made of dock nodes.
#include "viz/panels/layouts.h"

#include <algorithm>
#include <string_view>

#include <imgui_internal.h>

namespace reattend::viz {
namespace {

constexpr Layout::Place kTuning[] = {{"Landscape", Dock::centre_top},
                                     {"Ledger", Dock::centre_bottom},
                                     {"Timeline", Dock::right_top},
                                     {"Attention", Dock::right_bottom}};
constexpr Layout::Place kReading[] = {{"Tokens", Dock::centre_top},   {"Attention", Dock::centre_bottom},
                                      {"Timeline", Dock::right_top},  {"Why lost", Dock::right_bottom},
                                      {"Ledger", Dock::right_bottom}, {"Landscape", Dock::right_bottom},
                                      {"Texts", Dock::centre_top}};
constexpr const char* kOverviewFront[] = {"Tune", "Trace", "Timeline", "Attention", "Landscape", "Tokens"};
constexpr const char* kTuningFront[] = {"Tune", "Trace", "Landscape", "Ledger", "Timeline", "Attention"};
constexpr const char* kReadingFront[] = {"Tune", "Trace", "Tokens", "Attention", "Timeline", "Why lost"};

constexpr Layout kLayouts[] = {
    {.name = "overview",
     .help = "a bit of everything: steps and attention in the middle, settings left, landscape and text right",
     .left = 25,
     .right = 26,
     .left_top = 0.72F,
     .middle_top = 0.5F,
     .right_top = 0.58F,
     .places = {},
     .front = kOverviewFront},
    {.name = "tuning",
     .help = "which setting: landscape and layers in the middle",
     .left = 25,
     .right = 34,
     .left_top = 0.72F,
     .middle_top = 0.55F,
     .right_top = 0.5F,
     .places = kTuning,
     .front = kTuningFront},
    {.name = "reading",
     .help = "what is lost of the text: text and attention in the middle, reasons right",
     .left = 25,
     .right = 34,
     .left_top = 0.72F,
     .middle_top = 0.5F,
     .right_top = 0.5F,
     .places = kReading,
     .front = kReadingFront},
};

}  // namespace

std::span<const Layout> layouts() {
  return kLayouts;
}

const Layout& find_layout(const std::string& name) {
  const auto* const found = std::ranges::find(kLayouts, std::string_view(name), &Layout::name);
  return found != std::end(kLayouts) ? *found : kLayouts[0];
}

Fit fit_for(ImVec2 room) {
  // The controls over the attention map are 36 heights of text wide, the sliders 25, a landscape 25; a plot of less
  // than 15 shows nothing.
  constexpr float kThreeColumns = 88, kTwoRows = 36;
  const float em = ImGui::GetFontSize();
  return {.three_columns = room.x >= kThreeColumns * em, .two_rows = room.y >= kTwoRows * em};
}

void Docks::start(const std::string& layout, float scale) {
  layout_ = find_layout(layout).name;
  scale_ = scale;
}

void Docks::choose(const std::string& layout) {
  layout_ = find_layout(layout).name;
  chosen_ = true;
}

void Docks::build(const std::vector<std::unique_ptr<Panel>>& panels) {
  const Layout& layout = find_layout(layout_);
  const float em = ImGui::GetFontSize();
  ImGui::DockBuilderRemoveNode(space_);
  ImGui::DockBuilderAddNode(space_, ImGuiDockNodeFlags_DockSpace);
  ImGui::DockBuilderSetNodeSize(space_, ImGui::GetMainViewport()->WorkSize);
  ImGuiID middle = space_;
  // A share of what is left at each split; on a narrow window the sliders get no more than that.
  constexpr float kMostOfWidth = 0.42F;
  const auto column = [&](ImGuiDir side, float width) {
    const float share = std::min(kMostOfWidth, width * em / ImGui::DockBuilderGetNode(middle)->Size.x);
    return ImGui::DockBuilderSplitNode(middle, side, share, nullptr, &middle);
  };
  const ImGuiID left = column(ImGuiDir_Left, layout.left);
  const ImGuiID right = fit_.three_columns ? column(ImGuiDir_Right, layout.right) : middle;
  struct Rows {
    ImGuiID top, bottom;
  };
  const auto rows = [&](ImGuiID whole, float share) {
    Rows out{whole, whole};
    if (fit_.two_rows) ImGui::DockBuilderSplitNode(whole, ImGuiDir_Up, share, &out.top, &out.bottom);
    return out;
  };
  const Rows left_rows = rows(left, layout.left_top), middle_rows = rows(middle, layout.middle_top);
  const Rows right_rows = fit_.three_columns ? rows(right, layout.right_top) : middle_rows;
  const auto node = [&](Dock dock) {
    switch (dock) {
      case Dock::left_top:
        return left_rows.top;
      case Dock::left_bottom:
        return left_rows.bottom;
      case Dock::centre_top:
        return middle_rows.top;
      case Dock::centre_bottom:
        return middle_rows.bottom;
      case Dock::right_top:
        return right_rows.top;
      case Dock::right_bottom:
        break;
    }
    return right_rows.bottom;
  };
  built_.clear();
  for (const auto& panel : panels) {
    const auto moved = std::ranges::find(layout.places, std::string_view(panel->name()), &Layout::Place::panel);
    const ImGuiID at = node(moved != layout.places.end() ? moved->dock : panel->dock());
    built_[panel->name()] = at;
    ImGui::DockBuilderDockWindow(panel->name(), at);
    panel->open = true;
  }
  ImGui::DockBuilderFinish(space_);
  // Windows are docked when they are drawn; a frame later places have tabs, and one more shows the one chosen.
  frames_to_settle_ = 3;
}

/// Of several that share a place in this window the first one named is seen.
void Docks::bring_to_front() const {
  const std::span<const char* const> front = find_layout(layout_).front;
  for (auto name = front.rbegin(); name != front.rend(); ++name) {
    const ImGuiWindow* const window = ImGui::FindWindowByName(*name);
    if (window == nullptr || window->DockNode == nullptr || window->DockNode->TabBar == nullptr) continue;
    window->DockNode->TabBar->NextSelectedTabId = window->TabId;
    // A place goes on showing the window that has the keyboard's focus.
    const ImGuiWindow* const focused = ImGui::GetCurrentContext()->NavWindow;
    if (focused != nullptr && focused->RootWindow->DockNode == window->DockNode) ImGui::SetWindowFocus(*name);
  }
}

bool Docks::untouched(const std::vector<std::unique_ptr<Panel>>& panels) const {
  return std::ranges::all_of(panels, [this](const auto& panel) {
    const ImGuiWindow* const window = ImGui::FindWindowByName(panel->name());
    const auto at = built_.find(panel->name());
    return window == nullptr || (at != built_.end() && window->DockId == at->second);
  });
}

namespace {

void scale_node(ImGuiDockNode* node, float factor) {
  if (node == nullptr) return;
  node->SizeRef.x *= factor, node->SizeRef.y *= factor;
  for (ImGuiDockNode* const child : node->ChildNodes) scale_node(child, factor);
}

}  // namespace

void Docks::draw(const std::vector<std::unique_ptr<Panel>>& panels) {
  space_ = ImGui::GetID("dockspace");
  const Fit fit = fit_for(ImGui::GetMainViewport()->WorkSize);
  const bool fits_no_more = fit != fit_ && !built_.empty() && untouched(panels);
  const float scale = ImGui::GetStyle().FontScaleDpi;
  if (chosen_ || fits_no_more || ImGui::DockBuilderGetNode(space_) == nullptr) {
    fit_ = fit;
    build(panels);
  } else if (scale_ > 0 && scale_ != scale) {
    scale_node(ImGui::DockBuilderGetNode(space_), scale / scale_);
  }
  chosen_ = false, scale_ = scale;
  ImGui::DockSpaceOverViewport(space_, ImGui::GetMainViewport());
  if (frames_to_settle_ > 0 && --frames_to_settle_ == 1) bring_to_front();
}

void Docks::place_new(const Panel& panel, const std::vector<std::unique_ptr<Panel>>& panels) const {
  if (ImGui::FindWindowByName(panel.name()) != nullptr) return;
  if (built_.contains(panel.name()) || ImGui::FindWindowSettingsByID(ImHashStr(panel.name())) != nullptr) return;
  for (const auto& other : panels) {
    const ImGuiWindow* const window = ImGui::FindWindowByName(other->name());
    if (other->dock() != panel.dock() || window == nullptr || window->DockId == 0) continue;
    return ImGui::SetNextWindowDockID(window->DockId);
  }
}

}  // namespace reattend::viz
