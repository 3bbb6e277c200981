// What the colours of tokens say: their weight at a step, what they lost over steps, or their log-probability.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include <imgui.h>

#include "viz/session/loss_sums.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// 0: nothing is drawn.
struct TokenColor {
  ImU32 behind = 0, line = 0;
};

/// Of a token that was generated, when it was chosen; nothing of the prompt's, or where the trace has none.
std::optional<float> logprob_of(const Session& session, int32_t position);

class TokenColors {
 public:
  /// A line of the panel: what colours are by, and what they mean. Asks for what it takes.
  void draw_choice(const Session& session, SharedView& view, int32_t step);
  TokenColor of(const Session& session, const SharedView& view, int32_t position, int32_t step) const;
  /// All that is known of a token, for a tooltip.
  std::string describe(const Session& session, int32_t position, int32_t step) const;

  /// Sums of the selected layer and KV head under the session's setting; null where they are not asked for or known.
  const PositionLosses* losses() const;
  /// A loss in 0 .. 1 on the scale that losses are drawn on: the step's own, or the sum over steps where colours are by
  /// that. 0 where nothing is lost or known.
  float loss_place(const Session& session, const SharedView& view, int32_t position, int32_t step) const;

 private:
  std::string legend(const Session& session, const SharedView& view, int32_t step) const;

  std::shared_ptr<const PositionLosses> losses_;
  bool current_ = false;  ///< losses_ is of the session's setting and selection
};

}  // namespace reattend::viz
