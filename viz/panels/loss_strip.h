// The strip beside a text's scrollbar: where in the whole text something is lost, found or selected.
#pragma once
#include <vector>

#include "viz/panels/token_colors.h"
#include "viz/session/text_layout.h"

namespace reattend::viz {

class LossStrip {
 public:
  /// At the right end of the current window, beside its scrollbar; a press or drag scrolls there. `step` is the
  /// selected one: while the mouse is over another step the strip stays.
  void draw(const Session& session, const SharedView& view, const TokenColors& colors, const TextLayout& layout,
            int32_t step, float width);

 private:
  /// What places_ was made of.
  struct Key {
    const void* losses = nullptr;
    const void* answer = nullptr;
    uint64_t trace = 0;
    TextColors by = TextColors::weight;
    int32_t step = 0, layer = 0, kv_head = 0, n_line = 0, n_place = 0;
    bool weights = false, sets = false;  ///< known
    bool operator==(const Key&) const = default;
  };
  void take_losses(const Session& session, const SharedView& view, const TokenColors& colors, const TextLayout& layout,
                   int32_t step, int32_t n_place);

  Key key_;
  std::vector<float> places_;  ///< from top to bottom, the largest loss of the lines there, 0 .. 1
};

}  // namespace reattend::viz
