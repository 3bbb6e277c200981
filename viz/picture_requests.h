// What hosts do about pictures that actions ask for.
#pragma once
#include <functional>

#include "viz/actions/workbench.h"
#include "viz/png.h"

namespace reattend::viz {

/// After a frame was drawn: `read` gives it, once and only where somebody asked. `scale`: pixels per unit of the
/// screen.
void serve_pictures(Workbench& bench, float scale, const std::function<Picture()>& read);

/// Whole pixels of `whole` around a rectangle, as far as they are there.
Picture cut(const Picture& whole, ImVec2 corner, ImVec2 size);

}  // namespace reattend::viz
