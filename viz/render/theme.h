// Colours, spacing and fonts.
#pragma once
#include <string>

#include <imgui.h>

namespace reattend::viz {

/// Meanings of colour, the same in every panel. What may stand in one plot differs, for people with normal sight and
/// for those who lack one of the three kinds of cones, by at least 20 units of CIEDE2000 (tests/viz/colors_test.cpp).
struct Palette {
  ImVec4 full, partial;                                 ///< steps
  ImVec4 kept, lost;                                    ///< positions
  ImVec4 recovered, normalised, overlap, output_error;  ///< curves
  ImVec4 similarity, threshold, cursor;                 ///< a curve, lines
  ImVec4 dim, error;                                    ///< text
  ImVec4 note;                                          ///< marks of notes
};
const Palette& palette(bool light);

/// What people may make of the size of text, as parts of the usual one.
inline constexpr float kLeastText = 0.6F, kMostText = 3;

/// Both may be called at any time: what the one sets the other keeps.
void set_up_style(float scale);
void apply_theme(bool light);

/// DejaVu Sans and behind it those of the fallback fonts that the system has, else the built-in font.
/// Returns whether system fonts were found.
bool load_fonts();
/// The files that are looked for, for scripts that DejaVu Sans lacks: "FreeSans.ttf, ...".
std::string fallback_fonts();

}  // namespace reattend::viz
