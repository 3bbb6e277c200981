// Tried settings as dots of harm and time, with the baseline, the bounds and the front.
#pragma once
#include <cstdint>
#include <string>

#include <imgui.h>

#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

/// The predicted KL, or the estimate that ranks settings where none is predicted.
double harm_of(const Metrics& metrics, bool has_kl);
/// "KL", or the estimate's name; "ms" or "MB" per token.
std::string harm_name(const Session& session);
std::string cost_name(const Session& session);
/// "S=10 K=64: KL 0.49, 17.9 ms; measured KL 0.51": what is known of a setting.
std::string numbers_in_words(const Session& session, const Settings& settings, const Metrics& metrics);

class TriedPlot {
 public:
  void draw(Session& session, const SharedView& view, ImVec2 size);

 private:
  void draw_dots(Session& session, const SharedView& view) const;
  void draw_bounds(const Session& session, const SharedView& view) const;
  void fit(const Session& session);

  uint64_t version_ = 0;  ///< of the settings that the axes are fitted to
  double harm_low_ = 0, harm_high_ = 1, cost_low_ = 0, cost_high_ = 1;
};

}  // namespace reattend::viz
