// A bar of a picture's colours with the values that they stand for.
#pragma once
#include <imgui.h>

#include "viz/render/heatmap.h"

namespace reattend::viz {

/// At the cursor. With `signs` two bars, of positive values and of negative ones.
void draw_color_scale(const HeatColors& colors, bool signs, ImVec2 size);

}  // namespace reattend::viz
