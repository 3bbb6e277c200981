// What panels share beyond the session: the parts of the axes in view, what the mouse is on, and the look.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <imgui.h>

#include "replay/prepared.h"
#include "viz/session/player.h"

namespace reattend::viz {

struct Cell {
  int32_t step = 0, position = 0;
  bool operator==(const Cell&) const = default;
};

/// Limits of an axis, in its own units. Cell i lies at i - 0.5 .. i + 0.5.
struct Limits {
  double low = 0, high = 1;
  bool operator==(const Limits&) const = default;
};

/// A range of steps that is being drawn with the mouse.
struct RangeDrag {
  ImGuiID plot = 0;  ///< in which it began
  int32_t from = 1;  ///< step
};

/// Which plot the keys for zooming and panning mean: the one that the mouse was on last.
enum class Focus : uint8_t { timeline, heat_map };

/// What keys ask of the search in the text; the panel that has it does it and clears it.
enum class FindRequest : uint8_t { none, type, next, previous };

/// What the colours of the text are by.
enum class TextColors : uint8_t { weight, loss, logprob };
inline constexpr std::array<const char*, 3> kTextColors = {"weight", "loss over steps", "log-probability"};

struct SharedView {
  Limits steps;                                   ///< of every pane that has them: across, in the heat map downwards
  Limits heat_positions;                          ///< of the heat map, across
  bool fit_timeline = true, fit_heat_map = true;  ///< the panel's own axis; done and cleared by the panel
  Focus focus = Focus::heat_map;

  std::optional<Steps> range;  ///< whose statistics are shown, and which can be saved as a trace
  std::optional<RangeDrag> dragged_range;
  Player player;
  bool follow = false;  ///< a trace that is being recorded is opened anew as it grows

  std::optional<Cell> hover;       ///< what the mouse was on in the last frame, in the heat map or the text
  std::optional<Cell> next_hover;  ///< collected while this frame is drawn

  FindRequest find = FindRequest::none;
  std::optional<std::string> look_for;  ///< a text for the search that was not typed there
  std::vector<int32_t> found;           ///< positions at which the text holds what is looked for, ascending

  TextColors text_colors = TextColors::weight;
  std::string layout;  ///< name of the panels' arrangement

  bool light = false;
  bool marks = true;        ///< heat map and text tell attended from lost positions by colour
  bool logarithmic = true;  ///< colour scale of attention weights
  uint32_t n_saved = 0;     ///< settings files written by hand so far

  // Where things are on the screen, for keys and for tests.
  ImVec2 threshold_line;                 ///< middle of the draggable line, 0 when there is none
  ImVec2 threshold_zero, threshold_one;  ///< screen positions of similarity 0 and 1
  ImVec2 heat_corner, heat_size;         ///< of the plotted area
  ImVec2 minimap_corner, minimap_size;
  ImVec2 landscape_corner, landscape_size;
};

}  // namespace reattend::viz
