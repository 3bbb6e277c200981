// Who lacks a kind of cones must still tell the curves of a plot apart, and read every text.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <imgui.h>

#include "viz/app.h"
#include "viz/render/colormap.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

using Triple = std::array<double, 3>;
using Matrix = std::array<Triple, 3>;

struct Sight {
  const char* name;
  Matrix of_linear_rgb;
};
/// Machado, Oliveira and Fernandes 2009, severity 1.
constexpr Sight kSights[] = {
    {"normal", {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}},
    {"protanopia",
     {{{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}}}},
    {"deuteranopia",
     {{{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}}}},
    {"tritanopia",
     {{{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}}}}};

Triple times(const Matrix& matrix, const Triple& x) {
  Triple out{};
  for (size_t i = 0; i < 3; ++i) out[i] = matrix[i][0] * x[0] + matrix[i][1] * x[1] + matrix[i][2] * x[2];
  return out;
}

Triple linear(const ImVec4& color) {
  const auto one = [](double c) { return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
  return {one(color.x), one(color.y), one(color.z)};
}

constexpr Matrix kXyz = {
    {{0.4124564, 0.3575761, 0.1804375}, {0.2126729, 0.7151522, 0.0721750}, {0.0193339, 0.1191920, 0.9503041}}};

/// CIE L*a*b* under D65.
Triple lab(const Triple& linear_rgb) {
  constexpr Triple kWhite = {0.95047, 1, 1.08883};
  Triple f = times(kXyz, linear_rgb);
  for (size_t i = 0; i < 3; ++i) {
    const double t = f[i] / kWhite[i], edge = 6.0 / 29;
    f[i] = t > edge * edge * edge ? std::cbrt(t) : t / (3 * edge * edge) + 4.0 / 29;
  }
  return {116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])};
}

Triple seen(const Sight& sight, const ImVec4& color) {
  Triple rgb = times(sight.of_linear_rgb, linear(color));
  for (double& c : rgb) c = std::clamp(c, 0.0, 1.0);
  return lab(rgb);
}

/// CIEDE2000 (Sharma, Wu and Dalal 2005).
double difference(const Triple& one, const Triple& two) {
  constexpr double kDegree = 3.14159265358979323846 / 180;
  const auto power7 = [](double c) { return std::sqrt(std::pow(c, 7) / (std::pow(c, 7) + std::pow(25.0, 7))); };
  const double grey = 0.5 * (1 - power7((std::hypot(one[1], one[2]) + std::hypot(two[1], two[2])) / 2));
  const double a1 = one[1] * (1 + grey), a2 = two[1] * (1 + grey);
  const double c1 = std::hypot(a1, one[2]), c2 = std::hypot(a2, two[2]);
  const auto hue = [](double b, double a) {
    const double h = a == 0 && b == 0 ? 0 : std::atan2(b, a) / kDegree;
    return h < 0 ? h + 360 : h;
  };
  const double h1 = hue(one[2], a1), h2 = hue(two[2], a2);
  double dh = c1 * c2 == 0 ? 0 : h2 - h1, h = c1 * c2 == 0 ? h1 + h2 : (h1 + h2) / 2;
  if (dh > 180) dh -= 360;
  if (dh < -180) dh += 360;
  if (c1 * c2 != 0 && std::abs(h1 - h2) > 180) h += h1 + h2 < 360 ? 180 : -180;
  const double dl = two[0] - one[0], dc = c2 - c1, dhh = 2 * std::sqrt(c1 * c2) * std::sin(dh / 2 * kDegree);
  const double l = (one[0] + two[0]) / 2, c = (c1 + c2) / 2, l50 = (l - 50) * (l - 50);
  const double t = 1 - 0.17 * std::cos((h - 30) * kDegree) + 0.24 * std::cos(2 * h * kDegree) +
                   0.32 * std::cos((3 * h + 6) * kDegree) - 0.20 * std::cos((4 * h - 63) * kDegree);
  const double sl = 1 + 0.015 * l50 / std::sqrt(20 + l50), sc = 1 + 0.045 * c, sh = 1 + 0.015 * c * t;
  const double turn = -2 * power7(c) * std::sin(60 * std::exp(-std::pow((h - 275) / 25, 2)) * kDegree);
  const double x = dl / sl, y = dc / sc, z = dhh / sh;
  return std::sqrt(x * x + y * y + z * z + turn * y * z);
}

struct Named {
  const char* name;
  ImVec4 Palette::*color;
};
/// What may stand in one plot.
const std::vector<Named> kPlots[] = {
    {{"recovered", &Palette::recovered},
     {"normalised", &Palette::normalised},
     {"overlap", &Palette::overlap},
     {"output error", &Palette::output_error}},
    {{"similarity", &Palette::similarity}, {"threshold", &Palette::threshold}, {"lost", &Palette::lost}},
    {{"full", &Palette::full}, {"partial", &Palette::partial}, {"chooses anew", &Palette::kept}},
    {{"kept", &Palette::kept}, {"lost", &Palette::lost}}};

TEST(Colors, TheDifferenceIsThatOfThePublishedPairs) {
  // Of the test data of Sharma, Wu and Dalal: pairs 1, 7, 17, 25 and 34.
  constexpr struct {
    Triple one, two;
    double difference;
  } kPairs[] = {{{50, 2.6772, -79.7751}, {50, 0, -82.7485}, 2.0425},
                {{50, 0, 0}, {50, -1, 2}, 2.3669},
                {{50, 2.5, 0}, {73, 25, -18}, 27.1492},
                {{60.2574, -34.0099, 36.2677}, {60.4626, -34.1751, 39.4387}, 1.2644},
                {{2.0776, 0.0795, -1.1350}, {0.9033, -0.0636, -0.5514}, 0.9082}};
  for (const auto& pair : kPairs) {
    EXPECT_NEAR(difference(pair.one, pair.two), pair.difference, 1e-4);
    EXPECT_NEAR(difference(pair.two, pair.one), pair.difference, 1e-4);
  }
}

TEST(Colors, WhatStandsInOnePlotIsToldApartByEverySight) {
  for (const bool light : {false, true}) {
    for (const Sight& sight : kSights) {
      for (const std::vector<Named>& plot : kPlots) {
        for (size_t i = 0; i < plot.size(); ++i) {
          for (size_t j = 0; j < i; ++j) {
            EXPECT_GE(
                difference(seen(sight, palette(light).*plot[i].color), seen(sight, palette(light).*plot[j].color)), 20)
                << plot[i].name << " and " << plot[j].name << ", " << sight.name << ", " << (light ? "light" : "dark");
          }
        }
      }
    }
  }
}

// What changed against the baseline is seen beside what did not, whatever the weights of both.
TEST(Colors, ChangedCellsAreToldFromAllOthersByEverySight) {
  const UiContexts contexts(1);  // one of the tables is ImPlot's
  const auto seen_at = [](const Sight& sight, Colormap map, size_t place) {
    return seen(sight, ImGui::ColorConvertU32ToFloat4(color_table(map)[place]));
  };
  for (const Sight& sight : kSights) {
    for (size_t i = 0; i < 256; i += 15) {
      for (size_t j = 0; j < 256; j += 15) {
        const Triple gained = seen_at(sight, Colormap::gained, i), lost = seen_at(sight, Colormap::newly_lost, i);
        EXPECT_GE(difference(gained, seen_at(sight, Colormap::newly_lost, j)), 20) << sight.name;
        for (const Colormap other : {Colormap::muted_blues, Colormap::muted_oranges}) {
          EXPECT_GE(difference(gained, seen_at(sight, other, j)), 20) << sight.name << " " << i << " " << j;
          EXPECT_GE(difference(lost, seen_at(sight, other, j)), 20) << sight.name << " " << i << " " << j;
        }
      }
    }
  }
}

/// Of WCAG 2.
double contrast(const ImVec4& one, const ImVec4& two) {
  const double a = times(kXyz, linear(one))[1] + 0.05, b = times(kXyz, linear(two))[1] + 0.05;
  return std::max(a, b) / std::min(a, b);
}

// 4.5 for text and 3 for lines are what WCAG 2 asks for.
TEST(Colors, TextAndLinesStandOutFromTheirGround) {
  const UiContexts contexts(1);
  for (const bool light : {false, true}) {
    apply_theme(light);
    const ImVec4* const theme = ImGui::GetStyle().Colors;
    const ImVec4 ground = theme[ImGuiCol_WindowBg];
    const Palette& colors = palette(light);
    for (const ImVec4& text :
         {colors.dim, colors.error, theme[ImGuiCol_Text], theme[ImGuiCol_TextDisabled], colors.kept}) {
      EXPECT_GE(contrast(text, ground), 4.5)
          << text.x << ' ' << text.y << ' ' << text.z << (light ? " light" : " dark");
    }
    for (const auto& [name, color] : kPlots[0]) EXPECT_GE(contrast(colors.*color, ground), 3) << name;
  }
}

}  // namespace
}  // namespace reattend::viz
