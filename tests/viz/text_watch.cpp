// Compares the room that a text takes with the rectangle that it is clipped to.
#include "text_watch.h"

#include <algorithm>
#include <cfloat>
#include <cstring>

#include <fmt/format.h>
#include <imgui_internal.h>

namespace reattend::viz::testing {
namespace {

/// Where the wrapped functions report to: they have no other way.
TextWatch* watch = nullptr;

/// Edges of letters lie between pixels, and clip rectangles on them.
constexpr float kSlack = 1.5F;

bool scrolls(const ImGuiWindow* window, ImGuiAxis axis) {
  for (; window != nullptr; window = window->ParentWindow) {
    if (window->ScrollMax[axis] > 0 && (axis == ImGuiAxis_X ? window->ScrollbarX : window->ScrollbarY)) return true;
    if ((window->Flags & ImGuiWindowFlags_ChildWindow) == 0) break;
  }
  return false;
}

bool is_shown(const ImGuiWindow& window) {
  return window.WasActive && !window.Hidden && !window.SkipItems && (window.Flags & ImGuiWindowFlags_Tooltip) == 0;
}

}  // namespace

TextWatch::TextWatch() {
  watch = this;
}

TextWatch::~TextWatch() {
  watch = nullptr;
}

void TextWatch::see(const ImDrawList& list, const ImFont* font, float size, ImVec2 at, const char* begin,
                    const char* end, float wrap, const ImVec4* clip) {
  ++n_text_;
  ImFont* const with = font != nullptr ? const_cast<ImFont*>(font) : ImGui::GetFont();
  if (end == nullptr) end = begin + std::strlen(begin);
  const ImVec2 room = with->CalcTextSizeA(size > 0 ? size : ImGui::GetFontSize(), FLT_MAX, wrap, begin, end);
  ImVec4 seen = list._ClipRectStack.back();
  if (clip != nullptr) {
    seen = {std::max(seen.x, clip->x), std::max(seen.y, clip->y), std::min(seen.z, clip->z), std::min(seen.w, clip->w)};
  }
  const ImVec2 far(at.x + room.x, at.y + room.y);
  if (far.x <= seen.x || at.x >= seen.z || far.y <= seen.y || at.y >= seen.w) return;  // scrolled away
  const ImGuiWindow* const window = ImGui::GetCurrentContext()->CurrentWindow;
  const auto report = [&](const char* how, float by) {
    cut_.push_back({window->Name, std::string(begin, end), fmt::format("{} by {:.0f}", how, by)});
  };
  const float across = std::max(far.x - seen.z, seen.x - at.x), down = std::max(far.y - seen.w, seen.y - at.y);
  // A bar of more tabs than fit scrolls, and has a list of them.
  const ImGuiTabBar* const tabs = ImGui::GetCurrentContext()->CurrentTabBar;
  const bool tabs_scroll = tabs != nullptr && tabs->WidthAllTabs > tabs->BarRect.GetWidth();
  if (across > kSlack && !tabs_scroll && !scrolls(window, ImGuiAxis_X)) report("cut at the side", across);
  // Ascents leave room that no letter uses.
  if (down > 0.2F * room.y + kSlack && !scrolls(window, ImGuiAxis_Y)) report("cut above or below", down);
}

std::vector<CutText> TextWatch::cut() const {
  std::vector<CutText> all = cut_;
  ImGuiContext& context = *ImGui::GetCurrentContext();
  for (const ImGuiWindow* const window : context.Windows) {
    if (!is_shown(*window)) continue;
    // A window that hosts others has no content of its own.
    if (window->DockNodeAsHost != nullptr) continue;
    const float beyond = window->ContentSize.x - window->WorkRect.GetWidth();
    if (beyond > kSlack && !window->ScrollbarX) {
      all.push_back({window->Name, "", fmt::format("something lies {:.0f} beyond the right edge", beyond)});
    }
    const float below = window->ContentSize.y + 2 * window->WindowPadding.y - window->InnerRect.GetHeight();
    const bool may_scroll = (window->Flags & ImGuiWindowFlags_NoScrollbar) == 0;
    if (below > kSlack && !may_scroll && (window->Flags & ImGuiWindowFlags_MenuBar) == 0) {
      all.push_back({window->Name, "", fmt::format("something lies {:.0f} below the lower edge", below)});
    }
  }
  for (int i = 0; i < context.Tables.GetMapSize(); ++i) {
    const ImGuiTable* const table = context.Tables.TryGetMapData(i);
    if (table == nullptr || table->LastFrameActive + 1 < context.FrameCount) continue;
    if (!is_shown(*table->OuterWindow) || table->InnerWindow->ScrollbarX) continue;
    for (const ImGuiTableColumn& column : table->Columns) {
      if (!column.IsEnabled) continue;
      const float beyond = std::max(column.ContentMaxXFrozen, column.ContentMaxXUnfrozen) - column.WorkMaxX;
      if (beyond > kSlack) {
        all.push_back({table->OuterWindow->Name,
                       ImGui::TableGetColumnName(table, static_cast<int>(&column - table->Columns.Data)),
                       fmt::format("column too narrow by {:.0f}", beyond)});
      }
    }
  }
  std::vector<CutText> once;
  for (const CutText& each : all) {
    if (std::ranges::find(once, each) == once.end()) once.push_back(each);
  }
  return once;
}

}  // namespace reattend::viz::testing

// The linker calls these in place of ImDrawList::AddText(pos, color, text, end) and ImDrawList::AddText(font, size,
// pos, color, text, end, wrap, clip), which become __real_...; `self` is what they are called on.
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier)
void __real__ZN10ImDrawList7AddTextERK6ImVec2jPKcS4_(ImDrawList* self, const ImVec2& at, ImU32 color, const char* begin,
                                                     const char* end);
void __real__ZN10ImDrawList7AddTextEP6ImFontfRK6ImVec2jPKcS6_fPK6ImVec4(ImDrawList* self, ImFont* font, float size,
                                                                        const ImVec2& at, ImU32 color,
                                                                        const char* begin, const char* end, float wrap,
                                                                        const ImVec4* clip);

void __wrap__ZN10ImDrawList7AddTextERK6ImVec2jPKcS4_(ImDrawList* self, const ImVec2& at, ImU32 color, const char* begin,
                                                     const char* end) {
  using reattend::viz::testing::watch;
  if (watch != nullptr) watch->see(*self, nullptr, 0, at, begin, end, 0, nullptr);
  __real__ZN10ImDrawList7AddTextERK6ImVec2jPKcS4_(self, at, color, begin, end);
}

void __wrap__ZN10ImDrawList7AddTextEP6ImFontfRK6ImVec2jPKcS6_fPK6ImVec4(ImDrawList* self, ImFont* font, float size,
                                                                        const ImVec2& at, ImU32 color,
                                                                        const char* begin, const char* end, float wrap,
                                                                        const ImVec4* clip) {
  using reattend::viz::testing::watch;
  if (watch != nullptr) watch->see(*self, font, size, at, begin, end, wrap, clip);
  __real__ZN10ImDrawList7AddTextEP6ImFontfRK6ImVec2jPKcS6_fPK6ImVec4(self, font, size, at, color, begin, end, wrap,
                                                                     clip);
}
// NOLINTEND(bugprone-reserved-identifier)
}
