// How the similarities of due steps are spread: bars along the right edge of their plot. A click picks the steps of a
// bar, further ones go from one of them to the next.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "viz/session/due_steps.h"
#include "viz/session/session.h"
#include "viz/session/shared_view.h"

namespace reattend::viz {

class SimilaritySpread {
 public:
  /// What is drawn from now on. Picked similarities stay picked as long as a step has one of them.
  void take(const DueSteps& due);
  /// In the current plot, whose y axis shows `shown`.
  void draw(const SharedView& view, Limits shown);
  /// Whether the mouse is on the bars; says what is there, and takes clicks. Behind all that the plot draws.
  bool point_at(Session& session);

  /// The similarities that are picked, the upper end not among them; nothing: all.
  const std::optional<Limits>& picked() const { return picked_; }
  bool leaves_out(float similarity) const {
    return picked_ && !(similarity >= picked_->low && similarity < picked_->high);
  }
  /// Steps at which a KV head of the layer has one of them, ascending; none where nothing is picked.
  const std::vector<int32_t>& steps() const { return steps_; }

 private:
  struct Bar {
    int32_t n_refreshed = 0, n_stayed = 0;
    int32_t n() const { return n_refreshed + n_stayed; }
  };
  void count(Limits shown, float height);
  /// What a bar holds, counted from the top.
  Limits limits_of(size_t bar) const;
  void pick(Session& session, size_t bar);
  void find_steps();

  std::vector<DueStep> due_;  ///< those that have a similarity
  Limits shown_;              ///< that bars_ are of
  float height_ = 0;          ///< 0: not counted
  float thick_ = 1;           ///< of a bar, in pixels
  std::vector<Bar> bars_;     ///< from the top
  int32_t most_ = 1;
  std::optional<Limits> picked_;
  std::vector<int32_t> steps_;
};

/// Bands over the steps that are picked, in the current plot with the steps across.
void mark_picked_steps(const SimilaritySpread& spread, const SharedView& view);

}  // namespace reattend::viz
