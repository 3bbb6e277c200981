// Building frames of which one is drawn.
#pragma once
#include <functional>

namespace reattend::viz {

/// Builds frames until nothing that was typed or clicked waits any more; the last is ImGui's draw data. ImGui takes no
/// more than a key or a button's change from its queue in a frame, so that none is missed: 30 keys are 60 frames, which
/// take 2 s to rasterise in software, and 20 ms to build. `begin`: the backends' NewFrame.
void build_frames(const std::function<void()>& begin, const std::function<void()>& draw);

}  // namespace reattend::viz
