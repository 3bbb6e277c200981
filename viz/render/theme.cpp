// One dark and one light look; fonts are looked up in the system's folders at run time.
#include "viz/render/theme.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <implot.h>

namespace reattend::viz {
namespace {

constexpr float kFontSize = 15;

/// For what DejaVu Sans lacks, in the order in which they are asked for a character: Han, Kana and Hangul; the scripts
/// of South and South-East Asia; emoji; everything else. The first of two names of one font has no Hangul.
constexpr std::array<std::string_view, 8> kFallbackFonts = {
    "DroidSansFallback.ttf",    "DroidSansFallbackFull.ttf", "FreeSans.ttf",     "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf", "NotoEmoji-Regular.ttf",     "Symbola_hint.ttf", "unifont.otf"};

/// Font files of the system and of the user by their names.
std::map<std::string, std::filesystem::path> font_files() {
  namespace fs = std::filesystem;
  std::array<fs::path, 3> roots = {"/usr/share/fonts", "/usr/local/share/fonts", {}};
  if (const char* home = std::getenv("HOME")) roots[2] = fs::path(home) / ".local/share/fonts";
  std::map<std::string, fs::path> files;
  for (const fs::path& root : roots) {
    std::error_code error;
    for (fs::recursive_directory_iterator at(root, fs::directory_options::skip_permission_denied, error), end;
         !error && at != end; at.increment(error)) {
      files.emplace(at->path().filename().string(), at->path());
    }
  }
  return files;
}

/// The four colours that stay apart, by what they do in most places, and what does not stand beside them in a plot.
struct Inks {
  ImVec4 blue, teal, orange, wine;
  ImVec4 partial, cursor, dim, error, note;
};

constexpr Palette palette_of(const Inks& inks) {
  return {.full = inks.orange,
          .partial = inks.partial,
          .kept = inks.blue,
          .lost = inks.orange,
          .recovered = inks.blue,
          .normalised = inks.teal,
          .overlap = inks.orange,
          .output_error = inks.wine,
          .similarity = inks.blue,
          .threshold = inks.wine,
          .cursor = inks.cursor,
          .dim = inks.dim,
          .error = inks.error,
          .note = inks.note};
}

}  // namespace

const Palette& palette(bool light) {
  static constexpr Palette kDark = palette_of({.blue = {0.33F, 0.53F, 0.96F, 1},
                                               .teal = {0.50F, 0.95F, 0.82F, 1},
                                               .orange = {0.98F, 0.68F, 0.16F, 1},
                                               .wine = {0.76F, 0.25F, 0.49F, 1},
                                               .partial = {0.20F, 0.29F, 0.40F, 1},
                                               .cursor = {1, 1, 1, 0.75F},
                                               .dim = {0.62F, 0.66F, 0.72F, 1},
                                               .error = {1, 0.45F, 0.40F, 1},
                                               .note = {0.98F, 0.93F, 0.45F, 1}});
  static constexpr Palette kLight = palette_of({.blue = {0.07F, 0.23F, 0.79F, 1},
                                                .teal = {0.10F, 0.60F, 0.54F, 1},
                                                .orange = {0.83F, 0.41F, 0.00F, 1},
                                                .wine = {0.51F, 0.09F, 0.25F, 1},
                                                .partial = {0.76F, 0.82F, 0.89F, 1},
                                                .cursor = {0, 0, 0, 0.75F},
                                                .dim = {0.38F, 0.42F, 0.47F, 1},
                                                .error = {0.75F, 0.10F, 0.08F, 1},
                                                .note = {0.48F, 0.22F, 0.62F, 1}});
  return light ? kLight : kDark;
}

void set_up_style(float scale) {
  ImGuiStyle& style = ImGui::GetStyle();
  ImGuiStyle fresh;  // ScaleAllSizes() scales what is there
  std::ranges::copy(style.Colors, fresh.Colors);
  fresh.FontScaleMain = style.FontScaleMain;
  style = fresh;
  style.WindowPadding = ImVec2(8, 6);
  style.FramePadding = ImVec2(6, 3);
  style.ItemSpacing = ImVec2(7, 4);
  style.CellPadding = ImVec2(5, 2);
  style.WindowRounding = style.FrameRounding = style.TabRounding = style.GrabRounding = 3;
  style.WindowBorderSize = style.PopupBorderSize = 1;
  style.ScrollbarSize = 11;
  style.FontSizeBase = kFontSize;
  style.ScaleAllSizes(scale);
  style.FontScaleDpi = scale;
  ImPlotStyle& plot = ImPlot::GetStyle();
  plot.PlotPadding = ImVec2(6 * scale, 5 * scale);
  plot.LabelPadding = ImVec2(4 * scale, 3 * scale);
  plot.LegendPadding = ImVec2(6 * scale, 4 * scale);
  plot.PlotMinSize = ImVec2(60 * scale, 20 * scale);
}

void apply_theme(bool light) {
  if (light) {
    ImGui::StyleColorsLight();
    ImPlot::StyleColorsLight();
    ImVec4* colors = ImGui::GetStyle().Colors;
    colors[ImGuiCol_WindowBg] = ImVec4(0.97F, 0.975F, 0.98F, 1);
    colors[ImGuiCol_FrameBg] = ImVec4(0.87F, 0.89F, 0.92F, 1);
    colors[ImGuiCol_TextDisabled] = ImVec4(0.40F, 0.43F, 0.47F, 1);
    ImPlot::GetStyle().Colors[ImPlotCol_FrameBg] = ImVec4(0, 0, 0, 0);
    return;
  }
  ImGui::StyleColorsDark();
  ImPlot::StyleColorsDark();
  ImVec4* colors = ImGui::GetStyle().Colors;
  colors[ImGuiCol_WindowBg] = ImVec4(0.075F, 0.085F, 0.10F, 1);
  colors[ImGuiCol_PopupBg] = ImVec4(0.10F, 0.115F, 0.135F, 0.98F);
  colors[ImGuiCol_FrameBg] = ImVec4(0.15F, 0.18F, 0.22F, 1);
  colors[ImGuiCol_TitleBgActive] = colors[ImGuiCol_TitleBg] = ImVec4(0.10F, 0.12F, 0.145F, 1);
  colors[ImGuiCol_MenuBarBg] = ImVec4(0.10F, 0.12F, 0.145F, 1);
  ImPlot::GetStyle().Colors[ImPlotCol_FrameBg] = ImVec4(0, 0, 0, 0);
}

bool load_fonts() {
  ImFontAtlas& atlas = *ImGui::GetIO().Fonts;
  const std::map<std::string, std::filesystem::path> files = font_files();
  const auto text = files.find("DejaVuSans.ttf");
  if (text == files.end() || atlas.AddFontFromFileTTF(text->second.c_str(), kFontSize) == nullptr) {
    atlas.AddFontDefaultVector();
    return false;
  }
  for (const std::string_view name : kFallbackFonts) {
    const auto file = files.find(std::string(name));
    if (file == files.end()) continue;
    ImFontConfig config;
    config.MergeMode = true;
    atlas.AddFontFromFileTTF(file->second.c_str(), 0, &config);
  }
  return true;
}

std::string fallback_fonts() {
  std::string names;
  for (const std::string_view name : kFallbackFonts) names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
  return names;
}

}  // namespace reattend::viz
