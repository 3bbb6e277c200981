// Colours, spacing and fonts.
#pragma once
#include <string>

#include <imgui.h>

namespace reattend::viz {

/// Meanings of colour, the same in every panel. Blue and orange stay apart for the colour-blind.
struct Palette {
  ImVec4 full, partial;      ///< steps
  ImVec4 kept, lost;         ///< positions
  ImVec4 threshold, cursor;  ///< lines
  ImVec4 dim, error;         ///< text
  ImVec4 note;               ///< marks of notes
};
const Palette& palette(bool light);

/// Sizes for the display's scale are set once; colours may change at any time.
void set_up_style(float scale);
void apply_theme(bool light);

/// DejaVu Sans and behind it those of the fallback fonts that the system has, else the built-in font.
/// Returns whether system fonts were found.
bool load_fonts();
/// The files that are looked for, for scripts that DejaVu Sans lacks: "FreeSans.ttf, ...".
std::string fallback_fonts();

}  // namespace reattend::viz
